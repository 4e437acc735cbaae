//! Errors of test files, with their place.

use std::ops::Range;
use std::string::FromUtf8Error;

use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

use super::json::JsonError;

/// A syntax or validation error in a text: `FILE:LINE:COLUMN: message; expected ...`.
#[derive(Debug, Error, Diagnostic)]
#[error(transparent)]
#[diagnostic(transparent)]
pub struct ParseError(Box<ParseReport>);

#[derive(Debug, Error, Diagnostic)]
#[error("{file}:{line}:{column}: {message}; expected {expected}")]
struct ParseReport {
    file: String,
    line: usize,
    column: usize,
    message: String,
    expected: String,
    #[source_code]
    text: NamedSource<String>,
    #[label("expected {expected}")]
    span: SourceSpan,
}

impl ParseError {
    /// An error at `span`, in bytes of `text`.
    pub(super) fn new(file: &str, text: &str, problem: Problem) -> Self {
        let Problem { span, message, expected } = problem;
        let (line, column) = line_and_column(text, span.start);
        ParseError(Box::new(ParseReport {
            file: file.to_owned(),
            line,
            column,
            message,
            expected,
            text: NamedSource::new(file, text.to_owned()),
            span: (span.start, span.end.saturating_sub(span.start)).into(),
        }))
    }

    /// The error of a file that is not UTF-8, at the first byte that is not.
    pub(super) fn not_utf8(file: &str, error: &FromUtf8Error) -> Self {
        let start = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        let problem = Problem::new(start..start, "bytes that are not UTF-8", "UTF-8 text");
        ParseError::new(file, &text, problem)
    }

    /// The name of the text.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The line, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The column in characters, counted from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.0.column
    }

    /// The error.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What was expected.
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.0.expected
    }
}

/// An error of [`super::load`].
#[derive(Debug, Error, Diagnostic)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// The file's name does not end in `.ifq` or `.json`.
    #[error("{path}: unknown file type; expected a name that ends in .ifq or .json")]
    Ending {
        /// The file.
        path: String,
    },
    /// The text is not a valid test.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Parse(#[from] ParseError),
    /// The JSON is not a valid test.
    #[error("{path}: {error}")]
    Json {
        /// The file.
        path: String,
        /// The error, with its place.
        error: Box<JsonError>,
    },
}

/// An error with a span in bytes, before file, line and column are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) expected: String,
}

impl Problem {
    pub(super) fn new(
        span: Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Problem { span, message: message.into(), expected: expected.into() }
    }
}

/// The line and the column in characters, both from 1, of the character at a byte of a text.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    (line, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_not_bytes() {
        assert_eq!(line_and_column("äö x", 5), (1, 4));
    }

    #[test]
    fn an_offset_after_a_newline_is_on_the_next_line() {
        assert_eq!(line_and_column("a\nb\n", 4), (3, 1));
        assert_eq!(line_and_column("", 0), (1, 1));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_located() {
        let error = String::from_utf8(b"test a\nabout \xff".to_vec()).unwrap_err();
        let error = ParseError::not_utf8("x.ifq", &error);
        assert_eq!((error.line(), error.column()), (2, 7));
        assert_eq!(error.to_string(), "x.ifq:2:7: bytes that are not UTF-8; expected UTF-8 text");
    }
}
