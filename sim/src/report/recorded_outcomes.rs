//! Recorded outcomes: the set of all outcomes of a test on each variant on which it holds.
//!
//! They are in a text file beside the test file, with the ending `.outcomes`. Variants with the same set
//! share it:
//!
//! ```text
//! import-7.2
//! import-7.3
//!     x=0; y=-EBADF;
//!     x=0; y=0;
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;
use serde::Serialize;

/// Ending of a file with recorded outcomes.
pub const ENDING: &str = "outcomes";

/// The file with the recorded outcomes of a test file.
#[must_use]
pub fn path_of(test_file: &Path) -> PathBuf {
    test_file.with_extension(ENDING)
}

/// The recorded outcomes of one test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedOutcomes {
    /// The path that errors and differences name.
    path: String,
    sets: Vec<RecordedSet>,
}

/// The recorded outcomes of one or more variants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct RecordedSet {
    variants: Vec<Variant>,
    /// Each outcome as [`Outcome::display`] prints it, and its line, from 1.
    outcomes: Vec<(String, usize)>,
}

/// An error in a file with recorded outcomes, or of reading it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct RecordError {
    place: String,
    message: String,
}

/// How the outcomes of a search differ from the recorded ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// The file with the recorded outcomes.
    pub recorded: String,
    /// Outcomes that are not recorded.
    pub more: Vec<String>,
    /// Recorded outcomes that no run has. Empty if the search was not complete.
    pub missing: Vec<MissingOutcome>,
}

/// A recorded outcome that no run has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingOutcome {
    /// The outcome.
    pub outcome: String,
    /// Its line in the file.
    pub line: usize,
}

impl Difference {
    /// Whether the outcomes are the recorded ones.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.more.is_empty() && self.missing.is_empty()
    }
}

impl RecordedOutcomes {
    /// No outcomes, for a file at this path.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        RecordedOutcomes { path: path.display().to_string(), sets: Vec::new() }
    }

    /// Reads the recorded outcomes of a test file; `None` if there are none.
    ///
    /// # Errors
    /// The file cannot be read or is not well-formed.
    pub fn load(test_file: &Path) -> Result<Option<Self>, RecordError> {
        let path = path_of(test_file);
        let place = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&place, &text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RecordError { place, message: error.to_string() }),
        }
    }

    /// Parses the text of a file.
    ///
    /// # Errors
    /// A line is neither a variant nor an outcome, an outcome comes before the first variant, or a variant
    /// is listed twice.
    pub fn parse(path: &str, text: &str) -> Result<Self, RecordError> {
        let mut sets: Vec<RecordedSet> = Vec::new();
        let mut seen: Vec<Variant> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let error =
                |message: String| RecordError { place: format!("{path}:{number}"), message };
            if let Some(outcome) = line.strip_prefix("    ") {
                let Some(set) = sets.last_mut() else {
                    return Err(error("an outcome before the first variant".to_owned()));
                };
                set.outcomes.push((outcome.to_owned(), number));
                continue;
            }
            let Some(variant) = parse_variant(line) else {
                let expected = "a variant, as `import-7.3`, or an outcome after four spaces";
                return Err(error(format!("`{line}` is no variant; expected {expected}")));
            };
            if seen.contains(&variant) {
                return Err(error(format!("a second line `{variant}`")));
            }
            seen.push(variant.clone());
            match sets.last_mut().filter(|set| set.outcomes.is_empty()) {
                Some(set) => set.variants.push(variant),
                None => sets.push(RecordedSet { variants: vec![variant], outcomes: Vec::new() }),
            }
        }
        Ok(RecordedOutcomes { path: path.to_owned(), sets })
    }

    /// The text of the file.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = String::new();
        for set in &self.sets {
            for variant in &set.variants {
                let _ = writeln!(text, "{variant}");
            }
            for (outcome, _) in &set.outcomes {
                let _ = writeln!(text, "    {outcome}");
            }
        }
        text
    }

    /// Whether no variant has recorded outcomes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Adds all outcomes of a variant.
    pub fn add(&mut self, test: &Test, variant: &Variant, outcomes: &BTreeSet<Outcome>) {
        let texts: Vec<String> = outcomes.iter().map(|outcome| outcome.display(test)).collect();
        let same = |set: &&mut RecordedSet| set.outcomes.iter().map(|(text, _)| text).eq(&texts);
        if let Some(set) = self.sets.iter_mut().find(same) {
            set.variants.push(variant.clone());
            return;
        }
        let outcomes = texts.into_iter().map(|text| (text, 0)).collect();
        self.sets.push(RecordedSet { variants: vec![variant.clone()], outcomes });
    }

    /// Compares the outcomes of a search; `None` if the variant has no recorded ones. Only a complete set
    /// shows that an outcome is missing.
    #[must_use]
    pub fn compare(
        &self,
        test: &Test,
        variant: &Variant,
        outcomes: &BTreeSet<Outcome>,
        complete: bool,
    ) -> Option<Difference> {
        let set = self.sets.iter().find(|set| set.variants.contains(variant))?;
        let texts: BTreeSet<String> = outcomes.iter().map(|one| one.display(test)).collect();
        let recorded: BTreeSet<&str> = set.outcomes.iter().map(|(text, _)| &**text).collect();
        let more = outcomes.iter().map(|one| one.display(test));
        let more = more.filter(|text| !recorded.contains(&**text)).collect();
        let missing = set.outcomes.iter().filter(|(text, _)| complete && !texts.contains(text));
        let missing =
            missing.map(|(outcome, line)| MissingOutcome { outcome: outcome.clone(), line: *line });
        Some(Difference { recorded: self.path.clone(), more, missing: missing.collect() })
    }
}

/// Parses `REVISION [with DEFECT...] [without DEFECT...]`, as [`Variant`] prints it.
fn parse_variant(text: &str) -> Option<Variant> {
    let mut words = text.split(' ');
    let name = words.next()?;
    let revision = Revision::ALL.into_iter().find(|revision| revision.name() == name)?;
    let (mut defects, mut without, mut clause) = (Vec::new(), Vec::new(), None);
    for word in words {
        match (word, clause) {
            ("with" | "without", _) => clause = Some(word),
            (_, Some(clause)) => {
                let defect = Defect::ALL.iter().copied().find(|defect| defect.name() == word)?;
                if clause == "with" { &mut defects } else { &mut without }.push(defect);
            }
            (_, None) => return None,
        }
    }
    let variant = Variant::with(revision, &defects).without(&without);
    (variant.to_string() == text).then_some(variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "import-7.2 with early-put\nimport-7.3\n    x=0;\n    x=fd;\n\
                        import-7.1\n    (nothing observed)\n";

    #[test]
    fn recorded_outcomes_are_printed_as_they_were_parsed() {
        let recorded = RecordedOutcomes::parse("t.outcomes", TEXT).unwrap();
        assert_eq!(recorded.print(), TEXT);
    }

    #[test]
    fn a_line_that_is_neither_variant_nor_outcome_is_refused_with_its_place() {
        for (text, error) in [
            ("import-7.3\n    x=0;\n<<<<<<< ours\n", "t.outcomes:3: `<<<<<<< ours` is no variant"),
            ("    x=0;\n", "t.outcomes:1: an outcome before"),
            ("import-7.3\nimport-7.3\n", "t.outcomes:2: a second line `import-7.3`"),
            ("import-7.3 with\n", "t.outcomes:1: `import-7.3 with` is no variant"),
            ("import-7.3 early-put\n", "t.outcomes:1: `import-7.3 early-put` is no variant"),
            ("\n", "t.outcomes:1: `` is no variant"),
        ] {
            let refused = RecordedOutcomes::parse("t.outcomes", text).unwrap_err().to_string();
            assert!(refused.starts_with(error), "{refused}");
        }
    }

    #[test]
    fn outcomes_that_are_more_or_missing_are_told_apart() {
        let test = crate::format::parse(
            "t.ifq",
            "test t\nrevision import-7.3\nring A\nsetup\nx = A: exit\nexpect holds\n",
        )
        .unwrap();
        let recorded = RecordedOutcomes::parse("t.outcomes", TEXT).unwrap();
        let variant = Variant::of(Revision::Import73);
        let of = |numbers: &[i64]| -> BTreeSet<Outcome> {
            let value = |number: &i64| Outcome(vec![ifq_model::outcome::Value::Number(*number)]);
            numbers.iter().map(value).collect()
        };
        let compare = |numbers: &[i64], complete| {
            recorded.compare(&test, &variant, &of(numbers), complete).unwrap()
        };
        let complete = compare(&[0, -9], true);
        assert_eq!(complete.more, ["x=-EBADF;"]);
        assert_eq!(complete.missing, [MissingOutcome { outcome: "x=fd;".to_owned(), line: 4 }]);
        assert!(compare(&[0], false).is_empty(), "a search that is not complete misses nothing");
        let other = Variant::with(Revision::Import73, &[Defect::EarlyPut]);
        assert!(recorded.compare(&test, &other, &of(&[0]), true).is_none());
    }
}
