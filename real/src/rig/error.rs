//! Errors of rig files, with their place.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A field of a rig file, or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// `machine.host`.
    Host,
    /// `nic.interface`.
    Interface,
    /// `nic.queues`.
    Queues,
    /// `nic.address`.
    Address,
    /// `nic.ring`.
    Ring,
    /// `peer.host`.
    PeerHost,
    /// `peer.interface`.
    PeerInterface,
    /// `peer.namespace`.
    Namespace,
    /// `peer.address`.
    PeerAddress,
    /// `limits.first_port`.
    FirstPort,
}

impl Field {
    /// The name as the file has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Field::Host => "machine.host",
            Field::Interface => "nic.interface",
            Field::Queues => "nic.queues",
            Field::Address => "nic.address",
            Field::Ring => "nic.ring",
            Field::PeerHost => "peer.host",
            Field::PeerInterface => "peer.interface",
            Field::Namespace => "peer.namespace",
            Field::PeerAddress => "peer.address",
            Field::FirstPort => "limits.first_port",
        }
    }
}

/// What is wrong about a field, and what to do. The rig finds some of this, and does not know the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// The field.
    pub field: Field,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub help: String,
}

impl Complaint {
    /// About a field.
    #[must_use]
    pub fn new(field: Field, problem: impl Into<String>, help: impl Into<String>) -> Self {
        Complaint { field, problem: problem.into(), help: help.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.field.name(), self.problem, self.help)
    }
}

/// An error of a rig file: `FILE:LINE:COLUMN: what is wrong; what to do`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {problem}; {help}")]
pub struct RigError {
    file: String,
    line: usize,
    column: usize,
    problem: String,
    help: String,
}

impl RigError {
    /// An error at `span`, in bytes of `text`.
    pub(super) fn new(
        file: &str,
        text: &str,
        span: Range<usize>,
        problem: String,
        help: String,
    ) -> Self {
        let before = &text[..span.start.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        RigError { file: file.to_owned(), line, column, problem, help }
    }

    /// An error of the TOML parser or of serde.
    pub(super) fn parse(file: &str, text: &str, error: &toml::de::Error) -> Self {
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
                    format!("expected {field} here; docs/RIGS.md has an example of every field"),
                ),
                None => (message, "expected TOML as in docs/RIGS.md".to_owned()),
            },
        };
        RigError::new(file, text, span, problem, help)
    }
}

/// The word of `expected` that resembles the one that `problem` quotes.
fn near<'e>(problem: &str, expected: &'e str) -> Option<&'e str> {
    let word = quoted(problem).next()?;
    quoted(expected)
        .map(|other| (strsim::damerau_levenshtein(word, other), other))
        .filter(|(distance, other)| *distance * 3 <= other.len().max(3))
        .min()
        .map(|(_, other)| other)
}

/// The parts in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
