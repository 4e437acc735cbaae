//! The outcomes that the model allows, computed by the explorer.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ifq_model::invariant::Invariant;
use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Entry, Variant};
use ifq_model::test::Test;
use ifq_sim::executor::counterexample::Counterexample;
use ifq_sim::executor::run::run_once;
use ifq_sim::executor::scheduler::Random;
use ifq_sim::search::explore::{Limits, explore};

use crate::conform::compare::Allowed;
use crate::kernels::series::variant_for;
use crate::kernels::supported::{breaks_memory, delays_page_faults, expected_violation, may_crash};

/// The oracle: says which outcomes are allowed.
pub trait Oracle: Sync + Send {
    /// The variant of the model that a kernel is compared with when it runs a test.
    ///
    /// # Errors
    ///
    /// A message for the user: why the kernel cannot be compared.
    fn variant(&self, test: &Test, kernel: &str) -> Result<Variant, String>;

    /// The outcomes that a variant of the model allows.
    ///
    /// # Errors
    ///
    /// A message for the user: why the outcomes are not known.
    fn allowed(&self, test: &Test, variant: &Variant) -> Result<Allowed, String>;

    /// Searches for one outcome that a bounded search did not find. `true`: it is allowed. `false`: it
    /// was not found.
    fn finds(&self, test: &Test, variant: &Variant, outcome: &Outcome) -> bool;

    /// Tries a few random schedules. `true`: the outcomes are allowed. `false`: one of them was not seen, which
    /// says nothing.
    fn soon_finds(&self, test: &Test, variant: &Variant, outcomes: &BTreeSet<Outcome>) -> bool;
}

/// Invariants whose violation does not end a run. The kernel is not compared with the specification
/// (I9), and a stream of an old kernel may stall (I10).
const TOLERATED: &[Invariant] = &[Invariant::I9, Invariant::I10];
/// The same for a test in which a delayed page fault blocks other threads (I4): they continue once the
/// page is supplied.
const TOLERATED_WITH_STALLS: &[Invariant] = &[Invariant::I9, Invariant::I10, Invariant::I4];
/// The same for a test that is expected to violate one more invariant on the kernel, where the run goes on: a queue
/// stays bound (I5), a buffer is lost (I6) or overwritten (I7).
const TOLERATED_WITH: &[(Invariant, &[Invariant])] = &[
    (Invariant::I5, &[Invariant::I9, Invariant::I10, Invariant::I5]),
    (Invariant::I6, &[Invariant::I9, Invariant::I10, Invariant::I6]),
    (Invariant::I7, &[Invariant::I9, Invariant::I10, Invariant::I7]),
];
/// Largest preemption bound of a search for one outcome.
const PREEMPTIONS: u32 = 4;

/// Random schedules that [`Oracle::soon_finds`] tries for each outcome. Most drawn tests have one thread, so the
/// first schedules show what is common.
const RANDOM_SCHEDULES: u64 = 64;

/// The explorer as oracle.
#[derive(Clone, Debug, Default)]
pub struct Explorer {
    /// Time limit of a search. A search that reaches it is not exhaustive.
    pub time: Duration,
    /// Defects that are added to those of the kernel's revision.
    pub defects: Vec<Defect>,
    /// Defects of the kernel's revision that are fixed.
    pub without: Vec<Defect>,
}

impl Explorer {
    /// The unchanged model, with a time limit for each test.
    #[must_use]
    pub fn new(time: Duration) -> Self {
        Explorer { time, ..Explorer::default() }
    }

    /// The outcomes of `all` that do not occur without faults.
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

/// Whether the violation is that a delayed page fault blocks another thread, and not a deadlock.
fn is_page_fault_stall(test: &Test, broken: &Counterexample) -> bool {
    delays_page_faults(test)
        && broken.violation.invariant == Invariant::I4
        && broken.violation.what.contains("held over a page fault")
}

/// The variant without the defects that the test shows.
fn without_shown(test: &Test, variant: &Variant) -> Variant {
    let defect = |entry: &Entry| match entry {
        Entry::Defect(defect) => Some(*defect),
        Entry::NonDefect(_) => None,
    };
    let shown = test.shows.iter().filter_map(defect).filter(|defect| variant.has(*defect));
    let without: Vec<Defect> = variant.without.iter().copied().chain(shown).collect();
    Variant::with(variant.revision, &variant.defects).without(&without)
}

impl Oracle for Explorer {
    fn variant(&self, test: &Test, kernel: &str) -> Result<Variant, String> {
        let own = variant_for(test, kernel)?;
        let asked = self.defects.iter().map(|defect| (defect, true));
        let asked = asked.chain(self.without.iter().map(|defect| (defect, false)));
        for (defect, on) in asked {
            if on && !defect.has_code_in(own.revision) {
                let having = defect.revisions();
                let having: Vec<&str> = having.iter().map(|revision| revision.name()).collect();
                return Err(format!(
                    "{defect} changes nothing: {} has no code that it could be in; these revisions \
                     have: {}",
                    own.revision,
                    having.join(", ")
                ));
            }
            if own.has(*defect) == on {
                let has = if on { "has it anyway" } else { "does not have it" };
                return Err(format!("{defect} changes nothing: {own} {has}"));
            }
        }
        // `own` has no defects beside those of its revision, and each option changes it.
        let without = [&own.without[..], &self.without[..]].concat();
        Ok(Variant::with(own.revision, &self.defects).without(&without))
    }

    fn allowed(&self, test: &Test, variant: &Variant) -> Result<Allowed, String> {
        // A live run follows no schedule.
        let test = &Test { schedule: None, ..test.clone() };
        let limits = self.limits(self.time);
        // A panic of the explorer must not end the searches for other tests.
        let search = |limits: Limits| {
            std::panic::catch_unwind(|| explore(test, variant, &limits, &mut |_| {}))
                .map_err(|_| "the explorer panicked".to_string())
        };
        let mut found = search(limits)?;
        let stalls =
            found.counterexample.as_ref().is_some_and(|broken| is_page_fault_stall(test, broken));
        if stalls {
            found = search(Limits { tolerated: TOLERATED_WITH_STALLS, ..limits })?;
        }
        let expected = expected_violation(test, variant);
        let broken = found.counterexample.as_ref().map(|broken| broken.violation.invariant);
        let tolerated = TOLERATED_WITH.iter().find(|(one, _)| Some(*one) == broken);
        if let Some((_, tolerated)) = tolerated.filter(|_| broken == expected) {
            found = search(Limits { tolerated, ..limits })?;
        }
        if let (Some(invariant), Some(broken)) = (may_crash(test, variant), broken)
            && (breaks_memory(broken) || !breaks_memory(invariant))
        {
            // A run that breaks it has no outcome. The others have those of the repaired kernel.
            let repaired = without_shown(test, variant);
            if repaired != *variant {
                // A file of a proposal may break something else that it does not show.
                let fixed = Variant::fixed(variant.revision);
                let allowed = match self.allowed(test, &repaired) {
                    Err(_) if !breaks_memory(invariant) => self.allowed(test, &fixed)?,
                    allowed => allowed?,
                };
                return Ok(Allowed { crashes: Some(invariant), ..allowed });
            }
        }
        match found.counterexample {
            // The search ended at the violation, so the outcomes are incomplete.
            Some(broken) => Err(format!("the model itself breaks {}", broken.violation)),
            None => Ok(Allowed {
                by_fault: self.by_fault(test, variant, &found.outcomes),
                set: found.outcomes,
                exhaustive: found.exhaustive,
                stalls,
                repeats: expected == Some(Invariant::I10),
                overwrites: expected == Some(Invariant::I7),
                crashes: None,
            }),
        }
    }

    /// First searches with a small preemption bound, then tries random schedules. Each phase has the
    /// time limit of the search that did not find the outcome.
    fn finds(&self, test: &Test, variant: &Variant, outcome: &Outcome) -> bool {
        let (start, test) = (Instant::now(), &Test { schedule: None, ..test.clone() });
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

    fn soon_finds(&self, test: &Test, variant: &Variant, outcomes: &BTreeSet<Outcome>) -> bool {
        // Only a search knows whether a late page blocks other threads.
        if delays_page_faults(test) {
            return false;
        }
        let test = Rc::new(test.clone());
        let mut missing = outcomes.clone();
        for seed in 0..RANDOM_SCHEDULES.saturating_mul(outcomes.len() as u64) {
            let run = || run_once(&test, variant, Box::new(Random::new(seed)));
            let Ok(result) = std::panic::catch_unwind(run) else { return false };
            if let Some(outcome) = result.outcome.filter(|_| result.violation.is_none()) {
                missing.remove(&outcome);
            }
            if missing.is_empty() {
                return true;
            }
        }
        false
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
    fn a_test_that_is_expected_to_lose_a_buffer_has_the_outcomes_of_the_loss() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/library/refill/a-double-return-in-a-row-loses-no-buffer.ifq");
        let text = std::fs::read_to_string(path).unwrap();
        let test = ifq_sim::format::parse("t.ifq", &text).unwrap();
        let oracle = Explorer::new(Duration::from_secs(60));
        let outcomes = |variant: &Variant| {
            let allowed = oracle.allowed(&test, variant).unwrap();
            assert!(allowed.exhaustive);
            allowed.set.iter().map(|outcome| outcome.display(&test)).collect::<Vec<_>>().join(" ")
        };
        let newest = Variant::of(ifq_model::revision::Revision::Import73);
        assert!(outcomes(&newest).contains("n=-EAGAIN;"));
        let repaired = newest.without(&[Defect::RefillRun]);
        assert!(!outcomes(&repaired).contains("-EAGAIN"));
    }

    #[test]
    fn each_allowed_outcome_is_found_by_a_search_for_it_and_another_one_is_not() {
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
        assert!(short.soon_finds(&test, &variant, &allowed.set));
        let with_never = allowed.set.iter().cloned().chain([never]).collect();
        assert!(!short.soon_finds(&test, &variant, &with_never));
    }

    #[test]
    fn a_stalled_stream_has_an_outcome_where_the_revision_allows_it() {
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
    fn a_page_fault_stall_is_reported_and_does_not_hide_outcomes() {
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
        let fixed = allowed(&[Defect::AddAreaLock, Defect::AddAreaPin]);
        let has = allowed(&[]);
        assert!(has.stalls && has.exhaustive && !fixed.stalls);
        assert_eq!(has.set, fixed.set, "a blocked thread continues in the end");
        let both = "x=0; y=0;";
        assert!(has.set.iter().any(|outcome| outcome.display(&observed) == both), "{has:?}");
    }

    #[test]
    fn a_defect_option_without_effect_is_an_error() {
        let test = race();
        let with = Explorer { defects: vec![Defect::M7], ..Explorer::default() };
        assert!(with.variant(&test, "7.1").unwrap_err().contains("has it anyway"));
        let without = Explorer { without: vec![Defect::M7], ..Explorer::default() };
        assert!(without.variant(&test, "7.3").unwrap_err().contains("does not have it"));
        assert!(!without.variant(&test, "7.1").unwrap().has(Defect::M7));
        let release = Test { revisions: vec![ifq_model::revision::Revision::Import72], ..test };
        assert!(!without.variant(&release, "7.2.7").unwrap().has(Defect::M7), "7.2.7 still has it");
    }
}
