//! Examines enumerated tests: verdict, explanation of a violation by the catalogue, outcomes.

use std::collections::BTreeSet;

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::{Invariant, Violation};
use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;

use crate::enumerate::code::Code;
use crate::enumerate::{TestId, build};
use crate::search::explore::{Exploration, Limits, explore};

/// What a search of an enumerated test found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All invariants hold.
    Holds,
    /// An invariant is violated. With these defects of the revision fixed, and with no fewer, all hold.
    Explained(Invariant, Vec<Defect>),
    /// An invariant is violated, also with all known defects fixed.
    Finding(Violation),
    /// A limit ended the search.
    Bounded,
}

/// The result of the search of a test on a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The verdict.
    pub verdict: Verdict,
    /// The outcomes: of the revision, or with the defects fixed that explain its violation.
    pub outcomes: BTreeSet<Outcome>,
    /// Unique states of all searches.
    pub states: u64,
    /// Number of searches.
    pub searches: u64,
}

/// How tests are searched.
#[derive(Clone, Copy, Debug)]
pub struct Examiner {
    /// Every fault point may fail while the threads run, at most one in a run.
    pub faults: bool,
    /// Limits of each search.
    pub limits: Limits,
}

impl Examiner {
    /// The default limits.
    #[must_use]
    pub fn new(faults: bool) -> Self {
        Examiner { faults, limits: Limits { thread_faults_only: true, ..Limits::default() } }
    }

    /// The test of a code, with the faults.
    #[must_use]
    pub fn test(&self, id: TestId, code: &Code) -> Test {
        let mut test = build(id.family, id.size, id.number, code);
        if self.faults {
            test.faults = FaultPoint::ALL.to_vec();
            test.max_faults = 1;
        }
        test
    }

    /// Searches a test on a revision, and explains a violation.
    #[must_use]
    pub fn examine(&self, test: &Test, revision: Revision) -> Examined {
        let mut tally = (0, 0);
        let found = self.search(test, &Variant::of(revision), &mut tally);
        let (verdict, outcomes) = match found.counterexample {
            None => (Examiner::verdict_without_violation(found.exhaustive), found.outcomes),
            Some(found) => self.explain(test, revision, found.violation, &mut tally),
        };
        Examined { verdict, outcomes, states: tally.0, searches: tally.1 }
    }

    fn verdict_without_violation(exhaustive: bool) -> Verdict {
        if exhaustive { Verdict::Holds } else { Verdict::Bounded }
    }

    fn search(&self, test: &Test, variant: &Variant, tally: &mut (u64, u64)) -> Exploration {
        let found = explore(test, variant, &self.limits, &mut |_| {});
        tally.0 += found.states;
        tally.1 += 1;
        found
    }

    /// Finds the smallest set of fixes, taken back in the order of the catalogue, with which all invariants
    /// hold.
    fn explain(
        &self,
        test: &Test,
        revision: Revision,
        violation: Violation,
        tally: &mut (u64, u64),
    ) -> (Verdict, BTreeSet<Outcome>) {
        let fixed = self.search(test, &Variant::fixed(revision), tally);
        if let Some(found) = fixed.counterexample {
            return (Verdict::Finding(found.violation), fixed.outcomes);
        }
        if !fixed.exhaustive {
            return (Verdict::Bounded, fixed.outcomes);
        }
        let (mut needed, mut outcomes) = (revision.defects().to_vec(), fixed.outcomes);
        for defect in revision.defects() {
            let fewer: Vec<Defect> = needed.iter().copied().filter(|d| d != defect).collect();
            if fewer.is_empty() {
                continue;
            }
            let found = self.search(test, &Variant::of(revision).without(&fewer), tally);
            if found.exhaustive {
                (needed, outcomes) = (fewer, found.outcomes);
            }
        }
        (Verdict::Explained(violation.invariant, needed), outcomes)
    }
}

impl Examined {
    /// A hash of the verdict and the outcomes. The same on every machine.
    #[must_use]
    pub fn hash(&self, test: &Test) -> u64 {
        let mut hash = Fnv1a::new();
        hash.add(&match &self.verdict {
            Verdict::Holds => String::new(),
            Verdict::Bounded => "bounded".to_owned(),
            Verdict::Explained(invariant, defects) => format!("{invariant} {defects:?}"),
            Verdict::Finding(violation) => format!("{} unexplained", violation.invariant),
        });
        self.outcomes.iter().for_each(|outcome| hash.add(&outcome.display(test)));
        hash.0
    }
}

/// The hash function FNV-1a, 64 bits: simple, and the same in all versions.
struct Fnv1a(u64);

impl Fnv1a {
    fn new() -> Self {
        Fnv1a(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a line.
    fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([b'\n']) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
