//! Files, revisions and defects from the command line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;

use super::EXIT_USAGE;
use crate::format;

/// A test and where it came from.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its file.
    pub path: String,
    /// The test.
    pub test: Test,
}

/// Which kernels to look at.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// Only this revision
    #[arg(long, value_parser = revision())]
    pub revision: Option<Revision>,
    /// Switch a defect on (may be repeated); without such a switch, what the files expect is checked
    #[arg(long = "defect", value_name = "ID", value_parser = defect())]
    pub defects: Vec<Defect>,
    /// Mend one of the revision's own defects (may be repeated)
    #[arg(long, value_name = "ID", value_parser = defect())]
    pub without: Vec<Defect>,
    /// Mend all of the revision's own defects
    #[arg(long, conflicts_with = "without")]
    pub fixed: bool,
}

impl Which {
    /// Whether a defect is switched on or fixed by hand.
    #[must_use]
    pub fn switches(&self) -> bool {
        !self.defects.is_empty() || !self.without.is_empty() || self.fixed
    }

    /// Whether a revision was asked for.
    #[must_use]
    pub fn has(&self, revision: Revision) -> bool {
        self.revision.is_none_or(|asked| asked == revision)
    }

    /// The variants of a test with the switches that were given, if any: one for each of its
    /// revisions, or for the one asked for. Where a switch changes nothing there is a reason instead
    /// of a variant.
    #[must_use]
    pub fn variants(&self, test: &Test) -> Vec<Result<Variant, String>> {
        let revisions = test.revisions.iter().filter(|r| self.has(**r));
        revisions.map(|revision| self.variant(*revision)).collect()
    }

    fn variant(&self, revision: Revision) -> Result<Variant, String> {
        let own = revision.defects();
        if let Some(defect) = self.defects.iter().find(|d| own.contains(d)) {
            return Err(format!("{revision} has {defect} anyway"));
        }
        if let Some(defect) = self.without.iter().find(|d| !own.contains(d)) {
            return Err(format!("{revision} does not have {defect}"));
        }
        let without = if self.fixed { own } else { &self.without };
        Ok(Variant::with(revision, &self.defects).without(without))
    }
}

/// Says, once for each reason, what was left out.
pub(super) fn note_skipped(reasons: &[String]) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    for (reason, count) in counts {
        eprintln!("ifq: skipped {count} of what was asked for: {reason}");
    }
}

/// Parses a revision's name.
fn revision() -> impl TypedValueParser<Value = Revision> {
    PossibleValuesParser::new(Revision::ALL.map(Revision::name)).map(|name| {
        Revision::ALL.into_iter().find(|r| r.name() == name).unwrap_or(Revision::ALL[0])
    })
}

/// Parses a defect's id.
pub fn defect() -> impl TypedValueParser<Value = Defect> {
    PossibleValuesParser::new(Defect::ALL.iter().map(|d| d.name()))
        .map(|name| *Defect::ALL.iter().find(|d| d.name() == name).unwrap_or(&Defect::ALL[0]))
}

/// Reads files, and all test files of folders, sorted by name.
///
/// # Errors
/// Every file that cannot be read or is wrong, one message each.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Input>, Vec<String>> {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        match expand(path) {
            Ok(found) => files.extend(found),
            Err(error) => errors.push(format!("{}: {error}", path.display())),
        }
    }
    let mut inputs = Vec::new();
    for path in files {
        match format::load(&path) {
            Ok(test) => inputs.push(Input { path: path.display().to_string(), test }),
            Err(error) => errors.push(error.to_string()),
        }
    }
    if errors.is_empty() { Ok(inputs) } else { Err(errors) }
}

/// The tests of the files that were named, or the library; complains and gives the exit code if a
/// file is wrong.
///
/// # Errors
/// The exit code.
pub fn read_or<'a>(paths: &[PathBuf], library: &'a [Input]) -> Result<Cow<'a, [Input]>, u8> {
    if paths.is_empty() {
        return Ok(Cow::Borrowed(library));
    }
    read(paths).map(Cow::Owned).map_err(|errors| {
        complain(&errors);
        EXIT_USAGE
    })
}

fn expand(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    format::test_files(path)
}

/// Prints errors, each with the command's name before it.
pub fn complain(errors: &[impl Display]) {
    for error in errors {
        eprintln!("ifq: {error}");
    }
}
