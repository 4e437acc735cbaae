//! Arguments that select tests and variants.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use ifq_model::revision::{Defect, Revision};
use ifq_sim::commands::selection::Selection;
use ifq_sim::format::Input;
use ifq_sim::format::input::read;

use super::exit::{EXIT_OK, EXIT_USAGE};

/// Arguments that select revisions and defects.
#[derive(Clone, Debug, Args)]
pub struct SelectionArgs {
    /// Only this revision
    #[arg(long, value_parser = revision())]
    pub revision: Option<Revision>,
    /// Add a defect to the revision (may be repeated)
    #[arg(long = "defect", value_name = "ID", value_parser = defect())]
    pub defects: Vec<Defect>,
    /// Fix one of the revision's own defects (may be repeated)
    #[arg(long, value_name = "ID", value_parser = defect())]
    pub without: Vec<Defect>,
    /// Fix all of the revision's own defects
    #[arg(long, conflicts_with = "without")]
    pub fixed: bool,
}

impl SelectionArgs {
    /// The selection that the arguments describe.
    #[must_use]
    pub fn selection(&self) -> Selection {
        Selection {
            revision: self.revision,
            defects: self.defects.clone(),
            without: self.without.clone(),
            fixed: self.fixed,
        }
    }
}

/// Prints each reason for skipping a variant once, with its count.
pub(super) fn note_skipped(reasons: &[String]) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    for (reason, count) in counts {
        let variants = if count == 1 { "variant" } else { "variants" };
        errln!("ifq: skipped {count} {variants}: {reason}");
    }
}

/// Parses the name of a revision.
pub(super) fn revision() -> impl TypedValueParser<Value = Revision> {
    PossibleValuesParser::new(Revision::ALL.map(Revision::name)).map(|name| {
        Revision::ALL.into_iter().find(|r| r.name() == name).unwrap_or(Revision::ALL[0])
    })
}

/// Parses the identifier of a defect.
pub fn defect() -> impl TypedValueParser<Value = Defect> {
    PossibleValuesParser::new(Defect::ALL.iter().map(|d| d.name()))
        .map(|name| *Defect::ALL.iter().find(|d| d.name() == name).unwrap_or(&Defect::ALL[0]))
}

/// The tests that a command works on.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The valid tests.
    pub tests: Cow<'a, [Input]>,
    /// The exit code so far: that of a usage error if a file could not be read.
    pub code: u8,
}

/// The tests of the named files, or the library if no files are named. Prints an error for each file
/// that cannot be read; the command works on the others.
///
/// # Errors
/// The exit code, if there is no valid test.
pub fn read_or<'a>(paths: &[PathBuf], library: &'a [Input]) -> Result<Inputs<'a>, u8> {
    if paths.is_empty() {
        return Ok(Inputs { tests: Cow::Borrowed(library), code: EXIT_OK });
    }
    let (tests, errors) = read(paths);
    let code = if errors.is_empty() { EXIT_OK } else { usage_errors(&errors) };
    if tests.is_empty() { Err(code) } else { Ok(Inputs { tests: Cow::Owned(tests), code }) }
}

/// Prints errors, each after the name of the command; returns the exit code for a usage error.
pub(super) fn usage_errors(errors: &[impl Display]) -> u8 {
    for error in errors {
        errln!("ifq: {error}");
    }
    EXIT_USAGE
}

/// Prints one error after the name of the command; returns the exit code for a usage error.
pub(super) fn usage_error(error: impl Display) -> u8 {
    usage_errors(&[error])
}
