//! What the model allows, asked of the explorer.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ifq_model::invariant::Invariant;
use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Variant};
use ifq_model::test::Test;
use ifq_sim::executor::counterexample::Counterexample;
use ifq_sim::executor::run::run_once;
use ifq_sim::executor::scheduler::Random;
use ifq_sim::search::explore::{Limits, explore};

use crate::compare::Allowed;
use crate::series::variant_for;
use crate::supported::waits_for_pages;

/// The side that a kernel is compared with.
pub trait Predict: Sync + Send {
    /// What of the model a kernel is compared with when it runs a test.
    ///
    /// # Errors
    ///
    /// Why there is nothing to compare it with, for people.
    fn variant(&self, test: &Test, kernel: &str) -> Result<Variant, String>;

    /// The outcomes that a variant of the model allows.
    ///
    /// # Errors
    ///
    /// Why nothing is known, for people.
    fn allowed(&self, test: &Test, variant: &Variant) -> Result<Allowed, String>;

    /// Looks for one outcome that a search which came to no end has not found: whether it is
    /// allowed. `false` says only that it was not found.
    fn finds(&self, test: &Test, variant: &Variant, outcome: &Outcome) -> bool;
}

/// What a run may break and still show what user space sees: the kernel that is compared has no
/// specification, and a stream of an old kernel may stand still.
const TOLERATED: &[Invariant] = &[Invariant::I9, Invariant::I10];
/// The same where a page that comes late holds somebody up: who waits for it goes on when it is
/// there, and the model looks from outside whether somebody waited.
const TOLERATED_WITH_STALLS: &[Invariant] = &[Invariant::I9, Invariant::I10, Invariant::I4];
/// Preemptions that a search for one outcome goes up to.
const PREEMPTIONS: u32 = 4;

/// The explorer.
#[derive(Clone, Debug, Default)]
pub struct Explorer {
    /// A search is given up after so long; what it found until then is not exhaustive.
    pub time: Duration,
    /// Defects that are switched on besides those of the kernel's revision.
    pub defects: Vec<Defect>,
    /// Defects of the kernel's revision that are fixed.
    pub without: Vec<Defect>,
}

impl Explorer {
    /// The model as it is, for so long for each test.
    #[must_use]
    pub fn new(time: Duration) -> Self {
        Explorer { time, ..Explorer::default() }
    }

    /// Which of these outcomes there are not when nothing fails.
    fn by_fault(
        &self,
        test: &Test,
        variant: &Variant,
        all: &BTreeSet<Outcome>,
    ) -> BTreeSet<Outcome> {
        if test.max_faults == 0 {
            return BTreeSet::new();
        }
        let test = Test { faults: Vec::new(), max_faults: 0, ..test.clone() };
        let limits = self.limits(self.time);
        let found = std::panic::catch_unwind(|| explore(&test, variant, &limits, &mut |_| {}));
        found.map_or_else(|_| BTreeSet::new(), |found| all - &found.outcomes)
    }

    fn limits(&self, time: Duration) -> Limits {
        Limits { max_time: Some(time), tolerated: TOLERATED, ..Limits::default() }
    }
}

/// Whether what is broken is that a page that comes late holds up somebody else, and not that
/// somebody waits for ever.
fn holds_up(test: &Test, broken: &Counterexample) -> bool {
    waits_for_pages(test)
        && broken.violation.invariant == Invariant::I4
        && broken.violation.what.contains("held over a page fault")
}

impl Predict for Explorer {
    fn variant(&self, test: &Test, kernel: &str) -> Result<Variant, String> {
        let own = variant_for(test, kernel)?;
        let asked = self.defects.iter().map(|defect| (defect, true));
        let asked = asked.chain(self.without.iter().map(|defect| (defect, false)));
        for (defect, on) in asked {
            if own.has(*defect) == on {
                let has = if on { "has it anyway" } else { "does not have it" };
                return Err(format!("{defect} changes nothing: {own} {has}"));
            }
        }
        let with = [&own.defects[..], &self.defects[..]].concat();
        let with: Vec<Defect> = with.into_iter().filter(|d| !self.without.contains(d)).collect();
        let revisions_own = self.without.iter().filter(|d| own.revision.defects().contains(d));
        let without: Vec<Defect> = own.without.iter().chain(revisions_own).copied().collect();
        Ok(Variant::with(own.revision, &with).without(&without))
    }

    fn allowed(&self, test: &Test, variant: &Variant) -> Result<Allowed, String> {
        let limits = self.limits(self.time);
        // A defect of the explorer costs this test's answer and not that of the others.
        let search = |limits: Limits| {
            std::panic::catch_unwind(|| explore(test, variant, &limits, &mut |_| {}))
                .map_err(|_| "the explorer panicked".to_string())
        };
        let mut found = search(limits)?;
        let stalls = found.counterexample.as_ref().is_some_and(|broken| holds_up(test, broken));
        if stalls {
            found = search(Limits { tolerated: TOLERATED_WITH_STALLS, ..limits })?;
        }
        match found.counterexample {
            // The search ended with it, so the outcomes are those before it.
            Some(broken) => Err(format!("the model itself breaks {}", broken.violation)),
            None => Ok(Allowed {
                by_fault: self.by_fault(test, variant, &found.outcomes),
                set: found.outcomes,
                exhaustive: found.exhaustive,
                stalls,
            }),
        }
    }

    /// First searches the runs with few preemptions, then draws runs. Each may take as long as the
    /// search that did not find it.
    fn finds(&self, test: &Test, variant: &Variant, outcome: &Outcome) -> bool {
        let start = Instant::now();
        for preemptions in 0..=PREEMPTIONS {
            let left = self.time.saturating_sub(start.elapsed());
            let limits = Limits { preemptions: Some(preemptions), ..self.limits(left) };
            let found = std::panic::catch_unwind(|| explore(test, variant, &limits, &mut |_| {}));
            if found.is_ok_and(|found| found.outcomes.contains(outcome)) {
                return true;
            }
        }
        let (test, start) = (Rc::new(test.clone()), Instant::now());
        (0..).take_while(|_| start.elapsed() < self.time).any(|seed| {
            run_once(&test, variant, Box::new(Random::new(seed))).outcome.as_ref() == Some(outcome)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn race() -> Test {
        let text = "test t\nrevision import-7.1 import-7.3\nring A B\nsetup\n \
                    ifq = A: register nodev buffers=1 entries=1\n box = A: export ifq\n\
                    thread a\n x = B: import box\nthread b\n y = close box\n\
                    observe x y\nexpect holds\n";
        ifq_sim::format::parse("t.ifq", text).unwrap()
    }

    #[test]
    fn a_search_without_time_is_not_exhaustive_and_each_outcome_is_found_when_it_is_looked_for() {
        let (test, long) = (race(), Explorer::new(Duration::from_secs(60)));
        let variant = long.variant(&test, "7.3.4").unwrap();
        let allowed = long.allowed(&test, &variant).unwrap();
        assert!(allowed.exhaustive && allowed.set.len() > 1, "{allowed:?}");
        for outcome in &allowed.set {
            assert!(long.finds(&test, &variant, outcome), "{}", outcome.display(&test));
        }
        let never = Outcome(vec![ifq_model::outcome::Value::Unbound; 2]);
        let short = Explorer::new(Duration::from_millis(200));
        assert!(!short.finds(&test, &variant, &never));
    }

    #[test]
    fn a_stream_that_stands_still_has_an_outcome_where_the_revision_lets_it() {
        let text = "test t\nrevision import-7.1 import-7.3\nring A\nsocket s\nsetup\n \
                    ifq = A: register nodev buffers=1 entries=1\n A: recv ifq s\n s: send 8192\n \
                    c = A: wait\n d = A: wait\nobserve c d\nexpect holds\n";
        let test = ifq_sim::format::parse("t.ifq", text).unwrap();
        let of = |kernel| {
            let explorer = Explorer::new(Duration::from_secs(60));
            let allowed = explorer.allowed(&test, &explorer.variant(&test, kernel).unwrap());
            let set = allowed.unwrap().set;
            set.iter().map(|outcome| outcome.display(&test)).collect::<Vec<_>>()
        };
        assert_eq!(of("7.1.13"), ["c=4096; d=-ETIME;"]);
        assert_eq!(of("7.3.4"), ["c=4096; d=-ENOMEM;"]);
    }

    #[test]
    fn where_a_late_page_holds_somebody_up_that_is_told_and_all_outcomes_are_there() {
        let file =
            "../tests/library/faults/a-page-fault-while-adding-an-area-blocks-another-ring.ifq";
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let test = ifq_sim::format::load(path).unwrap();
        let observed = Test { observe: vec![3, 4], ..test };
        let allowed = |without: &[Defect]| {
            let explorer = Explorer {
                time: Duration::from_secs(60),
                without: without.to_vec(),
                ..Explorer::default()
            };
            let variant = explorer.variant(&observed, "7.3.4").unwrap();
            explorer.allowed(&observed, &variant).unwrap()
        };
        let (has, fixed) = (allowed(&[]), allowed(&[Defect::AddAreaLock]));
        assert!(has.stalls && has.exhaustive && !fixed.stalls);
        assert_eq!(has.set, fixed.set, "who is held up goes on in the end");
        let both = "x=0; y=0;";
        assert!(has.set.iter().any(|outcome| outcome.display(&observed) == both), "{has:?}");
    }

    #[test]
    fn a_switch_that_changes_nothing_is_told() {
        let test = race();
        let with = Explorer { defects: vec![Defect::M7], ..Explorer::default() };
        assert!(with.variant(&test, "7.1").unwrap_err().contains("has it anyway"));
        let without = Explorer { without: vec![Defect::M7], ..Explorer::default() };
        assert!(without.variant(&test, "7.3").unwrap_err().contains("does not have it"));
        assert!(!without.variant(&test, "7.1").unwrap().has(Defect::M7));
        let release = Test { revisions: vec![ifq_model::revision::Revision::Import72], ..test };
        assert!(!without.variant(&release, "7.2.7").unwrap().has(Defect::M7), "of old releases");
    }
}
