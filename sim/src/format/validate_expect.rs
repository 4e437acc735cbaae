//! Validation of faults, observed results and expectations of a [`Test`].

use std::collections::BTreeSet;

use ifq_model::revision::{Defect, Revision};
#[cfg(doc)]
use ifq_model::test::Test;
use ifq_model::test::{Expect, limits};

use super::place::{Invalid, Place};
use super::validate::Checker;
use super::words::one_of;

/// Maps the index of a list item to its place.
pub(super) type PlaceOf<'a> = &'a dyn Fn(usize) -> Place;

impl Checker<'_> {
    pub(super) fn verdicts(&self) -> Result<(), Invalid> {
        let test = self.test;
        self.unique(&test.faults, Place::Fault)?;
        let (min, max) = if test.faults.is_empty() { (0, 0) } else { (1, limits::FAULTS) };
        self.range(Place::MaxFaults, "number of faults", test.max_faults, min, max)?;
        let mut seen = BTreeSet::new();
        for (i, &var) in test.observe.iter().enumerate() {
            self.var(Place::Observe(i), var)?;
            if !seen.insert(var) {
                let message = format!("`{}` is observed twice", self.name(var));
                return self.fail(Place::Observe(i), message, "each name once");
            }
        }
        if test.expect.is_empty() && test.conditions.is_empty() {
            let expected = "a line `expect holds`, `expect violates INVARIANT`, `exists`, `forbid` or `always`";
            return self.fail(Place::Expects, "no expectation", expected);
        }
        for (i, expect) in test.expect.iter().enumerate() {
            self.expectation(i, expect)?;
        }
        self.conditions()?;
        self.schedule()
    }

    fn expectation(&self, i: usize, expect: &Expect) -> Result<(), Invalid> {
        let test = self.test;
        self.ascending(&expect.revisions, &|j| Place::ExpectRevision(i, j))?;
        for (j, revision) in expect.revisions.iter().enumerate() {
            if !test.revisions.contains(revision) {
                let message = format!("the test does not apply to `{revision}`");
                let expected = "a revision of the line `revision`";
                return self.fail(Place::ExpectRevision(i, j), message, expected);
            }
        }
        self.ascending(&expect.defects, &|j| Place::ExpectDefect(i, j))?;
        self.ascending(&expect.without, &|j| Place::ExpectWithout(i, j))?;
        for other in &test.expect[..i] {
            self.no_overlap(i, expect, other)?;
        }
        let revisions = self.revisions_of(expect);
        if revisions.is_empty() {
            let message = "other expectations name every revision";
            return self.fail(
                Place::Expect(i),
                message,
                "at least one revision without another expectation",
            );
        }
        let (with, without) = (&expect.defects, &expect.without);
        let at = (|j| Place::ExpectDefect(i, j), |j| Place::ExpectWithout(i, j));
        self.defect_changes(&revisions, (with, &at.0), (without, &at.1))
    }

    /// The revisions that an expectation applies to.
    fn revisions_of(&self, expect: &Expect) -> Vec<Revision> {
        if !expect.revisions.is_empty() {
            return expect.revisions.clone();
        }
        let others = || self.test.expect.iter().filter(|other| same_defects(other, expect));
        let named = |r: &Revision| others().any(|other| other.revisions.contains(r));
        self.test.revisions.iter().copied().filter(|r| !named(r)).collect()
    }

    /// Two expectations with the same defects must apply to different revisions. One of them may name
    /// no revision; it applies to the rest.
    fn no_overlap(&self, i: usize, expect: &Expect, other: &Expect) -> Result<(), Invalid> {
        if !same_defects(expect, other) {
            return Ok(());
        }
        if expect.revisions.is_empty() && other.revisions.is_empty() {
            let message = "a second expectation for the same defects";
            return self.fail(Place::Expect(i), message, "one for each set of defects");
        }
        let twice = expect.revisions.iter().position(|r| other.revisions.contains(r));
        let Some(j) = twice else { return Ok(()) };
        let message =
            format!("a second expectation for the same defects on `{}`", expect.revisions[j]);
        self.fail(Place::ExpectRevision(i, j), message, "one for each revision")
    }

    /// All of the revisions must have the code of an added defect and none the defect itself, and all must
    /// have a fixed one.
    pub(super) fn defect_changes(
        &self,
        revisions: &[Revision],
        (defects, at): (&[Defect], PlaceOf<'_>),
        (without, at_without): (&[Defect], PlaceOf<'_>),
    ) -> Result<(), Invalid> {
        for &revision in revisions {
            for (j, defect) in defects.iter().enumerate() {
                if revision.defects().contains(defect) {
                    let message = format!("`{revision}` already has `{defect}`");
                    let expected = "a defect that none of the revisions has";
                    return self.fail(at(j), message, expected);
                }
                if !defect.has_code_in(revision) {
                    let message = format!("`{revision}` has no code that `{defect}` could be in");
                    return self.fail(at(j), message, one_of_revisions(&defect.revisions()));
                }
            }
            for (j, defect) in without.iter().enumerate() {
                if !revision.defects().contains(defect) {
                    let message = format!("`{revision}` does not have `{defect}`");
                    let having = |r: &Revision| r.defects().contains(defect);
                    let having: Vec<_> = Revision::ALL.into_iter().filter(having).collect();
                    return self.fail(at_without(j), message, one_of_revisions(&having));
                }
            }
        }
        Ok(())
    }

    /// A list must be sorted and have no duplicates.
    pub(super) fn ascending<T: Ord + ToString>(
        &self,
        items: &[T],
        at: PlaceOf<'_>,
    ) -> Result<(), Invalid> {
        self.unique(items, at)?;
        match items.windows(2).position(|w| w[0] > w[1]) {
            None => Ok(()),
            Some(j) => {
                let message = format!("`{}` is out of order", items[j + 1].to_string());
                self.fail(at(j + 1), message, "the order of the catalogue and of the revisions")
            }
        }
    }
}

/// What is expected of the revisions that a line applies to.
fn one_of_revisions(revisions: &[Revision]) -> String {
    match revisions {
        [] => "another defect: no revision has it".to_owned(),
        revisions => {
            format!("only revisions that have it: {}", one_of(revisions.iter().map(|r| r.name())))
        }
    }
}

fn same_defects(a: &Expect, b: &Expect) -> bool {
    a.defects == b.defects && a.without == b.without
}
