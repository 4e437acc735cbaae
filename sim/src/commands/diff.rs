//! What changes from one revision to another: the smallest enumerated tests whose outcomes differ.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use ifq_model::outcome::Outcome;
use ifq_model::revision::Revision;
use ifq_model::test::Test;

use super::enumerate::{Examined, Examiner, Verdict};
use crate::enumerate::action::Action;
use crate::enumerate::code::{Code, Item, Target};
use crate::enumerate::smaller::smaller;
use crate::enumerate::{Family, Mode, Prologue, Size, TestId};

/// The name of the result of the epilogue that looks at the sharing itself, which modes do differently.
const AGAIN: &str = "again";

/// Compares two revisions.
#[derive(Debug)]
pub struct Differ {
    /// The older revision.
    pub from: Revision,
    /// The newer one.
    pub to: Revision,
    /// How tests are searched.
    pub examiner: Examiner,
    known: Mutex<BTreeMap<TestKey, Vec<String>>>,
}

/// What identifies a test, also one that is not enumerated.
type TestKey = (Family, Size, Vec<Item>);

/// A test whose outcomes differ in a way in which no smaller test's do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The test.
    pub id: TestId,
    /// What differs first: the operation, and the results that only one of the revisions has.
    pub group: String,
}

/// The comparison of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The test does not apply to both revisions.
    NotComparable,
    /// The outcomes are equal.
    Equal,
    /// They differ, as those of a smaller test do.
    AsSmaller,
    /// They differ in a new way.
    New(Difference),
}

impl Differ {
    /// A comparison without faults.
    #[must_use]
    pub fn new(from: Revision, to: Revision) -> Self {
        Differ { from, to, examiner: Examiner::new(false), known: Mutex::default() }
    }

    /// The families of the older revision that can be compared.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        Family::all().filter(|family| {
            family.revisions().any(|revision| revision == self.from)
                && self.other(*family).revisions().any(|revision| revision == self.to)
        })
    }

    /// The same family with the newer revision's way of sharing.
    fn other(&self, family: Family) -> Family {
        match (self.from.has_clone(), self.to.has_clone()) {
            (true, false) => Family { mode: Mode::Queue, ..family },
            (false, true) if family.mode == Mode::Queue => Family { mode: Mode::Proxy, ..family },
            _ => family,
        }
    }

    /// Compares a test.
    #[must_use]
    pub fn compare(&self, id: TestId, code: &Code) -> Compared {
        if !self.is_comparable(id.family, code) {
            return Compared::NotComparable;
        }
        let ways = self.ways(id, code);
        if ways.is_empty() {
            return Compared::Equal;
        }
        let less = smaller(id.family, id.size.rings, code);
        let known: BTreeSet<String> =
            less.iter().flat_map(|code| self.ways(TestId { number: 0, ..id }, code)).collect();
        match ways.into_iter().find(|way| !known.contains(way)) {
            Some(group) => Compared::New(Difference { id, group }),
            None => Compared::AsSmaller,
        }
    }

    /// Two modes can be compared if the test shares in a way that both have: through the result of the
    /// prologue of `owner`.
    fn is_comparable(&self, family: Family, code: &Code) -> bool {
        let shares = |item: &&Item| item.action == Action::Share;
        let common =
            |item: &Item| family.prologue == Prologue::Owner && item.target == Target::Prologue(0);
        let kernels_only = [Action::Export, Action::Flush, Action::AddArea, Action::Close];
        self.other(family) == family
            || code.iter().filter(shares).all(common)
                && code.iter().all(|item| !kernels_only.contains(&item.action))
    }

    /// The ways in which the outcomes of a test differ, in the order of its steps.
    fn ways(&self, id: TestId, code: &Code) -> Vec<String> {
        let key = (id.family, id.size, code.to_vec());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return known;
        }
        let examine = |family, revision| {
            let test = self.examiner.test(TestId { family, ..id }, code);
            let examined = self.examiner.examine(&test, revision);
            (test, examined)
        };
        let (from, to) = (examine(id.family, self.from), examine(self.other(id.family), self.to));
        let found = ways(&from, &to);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, found.clone());
        found
    }
}

/// The ways in which two results differ.
fn ways(from: &(Test, Examined), to: &(Test, Examined)) -> Vec<String> {
    let names: Vec<&str> = common_names(&from.0, &to.0);
    let (a, b) = (named_outcomes(from, &names), named_outcomes(to, &names));
    let mut ways = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let values = |set: &BTreeSet<Vec<String>>| -> BTreeSet<String> {
            set.iter().map(|outcome| outcome[at].clone()).collect()
        };
        let (a, b) = (values(&a), values(&b));
        if a != b {
            let step = step_of(&from.0, name);
            ways.push(format!("{step}: {} -> {}", only(&a, &b), only(&b, &a)));
        }
    }
    if ways.is_empty() && a != b {
        let steps: BTreeSet<&str> =
            from.0.threads.iter().flat_map(|t| &t.steps).map(|step| step.op.verb()).collect();
        let steps: Vec<&str> = steps.into_iter().collect();
        ways.push(format!("combinations of results: {}", steps.join(", ")));
    }
    let (a, b) = (verdict(&from.1), verdict(&to.1));
    if a != b {
        ways.push(format!("verdict: {a} -> {b}"));
    }
    ways
}

/// The results that both tests observe and that mean the same.
fn common_names<'t>(a: &'t Test, b: &'t Test) -> Vec<&'t str> {
    let (names, others) = (a.vars.iter().map(|var| var.name.as_str()), &b.vars);
    let same = a.rings == b.rings && a.revisions == b.revisions;
    names
        .filter(|name| others.iter().any(|other| other.name == *name))
        .filter(|name| same || *name != AGAIN)
        .collect()
}

/// The outcomes, reduced to the named results, as text.
fn named_outcomes(of: &(Test, Examined), names: &[&str]) -> BTreeSet<Vec<String>> {
    let (test, examined) = of;
    let at = |name: &&str| test.vars.iter().position(|var| var.name == **name).unwrap_or_default();
    let places: Vec<usize> = names.iter().map(at).collect();
    let reduced = |outcome: &Outcome| places.iter().map(|at| outcome.0[*at].to_string()).collect();
    examined.outcomes.iter().map(reduced).collect()
}

/// The operation that binds a result, and whether it belongs to the race.
fn step_of(test: &Test, name: &str) -> String {
    let binds = |step: &&ifq_model::test::Step| {
        step.bind.is_some_and(|var| test.vars[usize::from(var)].name == name)
    };
    let verb = test.steps().find(binds).map_or("?", |step| step.op.verb());
    let place = if test.setup.iter().any(|step| binds(&step)) {
        " before the race"
    } else if test.finally.iter().any(|step| binds(&step)) {
        " after the race"
    } else {
        ""
    };
    format!("`{verb}`{place}")
}

/// The values that only the first set has.
fn only(of: &BTreeSet<String>, other: &BTreeSet<String>) -> String {
    let values: Vec<&str> = of.difference(other).map(String::as_str).collect();
    if values.is_empty() { "nothing".to_owned() } else { values.join(" or ") }
}

fn verdict(examined: &Examined) -> String {
    match &examined.verdict {
        Verdict::Holds => "holds".to_owned(),
        Verdict::Bounded => "bounded".to_owned(),
        Verdict::Finding(violation) => format!("violates {}", violation.invariant),
        Verdict::Explained(invariant, defects) => {
            let names: Vec<&str> = defects.iter().map(|defect| defect.name()).collect();
            format!("violates {invariant} by {}", names.join(" and "))
        }
    }
}
