//! Errors of TOML files that a person wrote, with their place and the nearest names.

use std::ops::Range;

use thiserror::Error;

/// An error of a TOML file that a person wrote: `FILE:LINE:COLUMN: what is wrong; what to do`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {problem}; {help}")]
pub struct TomlError {
    file: String,
    line: usize,
    column: usize,
    problem: String,
    help: String,
}

impl TomlError {
    /// An error at `span`, in bytes of `text`.
    pub(crate) fn new(
        file: &str,
        text: &str,
        span: Range<usize>,
        problem: String,
        help: String,
    ) -> Self {
        let before = &text[..span.start.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        TomlError { file: file.to_owned(), line, column, problem, help }
    }

    /// An error of the TOML parser or of serde.
    /// `document` describes the file.
    pub(crate) fn parse(file: &str, text: &str, error: &toml::de::Error, document: &str) -> Self {
        let message = error.message().replace('\n', " ");
        let span = error.span().unwrap_or(0..0);
        let (problem, help) = match message.split_once(", expected ") {
            Some((problem, expected)) => {
                let near = near(problem, expected);
                let near = near.map(|near| format!(" (did you mean `{near}`?)"));
                let what = format!("{problem}{}", near.unwrap_or_default());
                (what, format!("expected {expected}"))
            }
            None => match message.strip_prefix("missing field ") {
                Some(field) => (
                    format!("the field {field} is missing"),
                    format!("expected {field} here; {document} has an example of every field"),
                ),
                None => (message, format!("expected TOML as in {document}")),
            },
        };
        TomlError::new(file, text, span, problem, help)
    }
}

/// The word of `expected` that resembles the one that `problem` quotes.
fn near<'e>(problem: &str, expected: &'e str) -> Option<&'e str> {
    nearest(quoted(problem).next()?, quoted(expected))
}

/// The word that resembles another one.
pub(crate) fn nearest<'e>(word: &str, words: impl Iterator<Item = &'e str>) -> Option<&'e str> {
    words
        .map(|other| (strsim::damerau_levenshtein(word, other), other))
        .filter(|(distance, other)| *distance * 3 <= other.len().max(3))
        .min()
        .map(|(_, other)| other)
}

/// The parts in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
