//! Compares the observed outcomes of a test with the allowed ones.

use std::collections::BTreeSet;

use ifq_model::invariant::Invariant;
use ifq_model::outcome::Outcome;
use ifq_model::test::Test;
use serde::Serialize;

use crate::job::start_skew::StartSkew;
use crate::job::{
    DevicePackets, KERNEL_LOG, OVERWRITTEN_BUFFER, REPEATED_COMPLETION, Report, Stalls,
};
use crate::kernels::kernel_error::error_in;
use crate::kernels::supported::breaks_memory;

/// The outcomes that the model allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// All allowed outcomes that were found.
    pub set: BTreeSet<Outcome>,
    /// The outcomes that only a fault leads to. No fault is injected into a live kernel.
    pub by_fault: BTreeSet<Outcome>,
    /// Whether the search was exhaustive: no other outcome is allowed.
    pub exhaustive: bool,
    /// Whether a delayed page fault may block other threads, because it does so in the model.
    pub stalls: bool,
    /// Whether a completion may come again, because the test is expected to break I10.
    pub repeats: bool,
    /// Whether a buffer may be overwritten, because the test is expected to break I7.
    pub overwrites: bool,
    /// The invariant of memory safety that the test is expected to break: the kernel may warn or crash.
    pub crashes: Option<Invariant>,
}

impl Allowed {
    /// Outcomes that the model shows; it may allow others.
    #[must_use]
    pub fn some(set: BTreeSet<Outcome>) -> Self {
        Allowed {
            set,
            by_fault: BTreeSet::new(),
            exhaustive: false,
            stalls: false,
            repeats: false,
            overwrites: false,
            crashes: None,
        }
    }
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All observed outcomes are allowed.
    Agrees,
    /// An outcome is not allowed, or the kernel warned, leaked, hung or crashed.
    Differs,
    /// A limit ended the model search, which has not found an outcome that was observed.
    Bounded,
    /// The test was not run, or the allowed outcomes are not known.
    NotRun,
}

impl Verdict {
    /// The word in texts and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Agrees => "agrees",
            Verdict::Differs => "differs",
            Verdict::Bounded => "bounded",
            Verdict::NotRun => "not-run",
        }
    }
}

/// The kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// An outcome is not allowed.
    Outcome,
    /// The kernel warned, leaked, or delivered wrong bytes.
    Problem,
    /// The kernel hung or crashed.
    Broken,
}

/// One row of the histogram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistogramRow {
    /// The outcome, formatted by [`Outcome::display`].
    pub outcome: String,
    /// The number of repetitions with this outcome.
    pub count: u64,
    /// Whether the model allows it. `None`: not known.
    pub allowed: Option<bool>,
    /// Whether it needs a fault.
    pub by_fault: bool,
}

/// An invariant of memory safety that the model breaks in a test on this kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownCrash {
    /// The invariant.
    pub invariant: Invariant,
    /// What the kernel reported, or how it ended. `None`: nothing, so the defect was not shown.
    pub seen: Option<String>,
}

/// The comparison of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason of the verdict; empty for `Agrees`.
    pub reason: String,
    /// The observed and the allowed outcomes, in the order of the outcomes.
    pub rows: Vec<HistogramRow>,
    /// Whether all allowed outcomes are known.
    pub exhaustive: bool,
    /// The kind of the difference, for `Differs`.
    pub difference: Option<Difference>,
    /// Of a difference: what the model simplifies or leaves out in the kernel functions that the test
    /// reaches.
    pub divergences: Vec<String>,
    /// The defect of the kernel that may crash it in this test.
    pub crash: Option<KnownCrash>,
    /// Threads that were blocked by a delayed page fault.
    pub stalls: Stalls,
    /// How far apart the threads of a race started.
    pub start_skew: Option<StartSkew>,
    /// Where the packets of device sockets went. `None`: the machine has no NIC.
    pub packets: Option<DevicePackets>,
}

impl Comparison {
    fn expected(&self) -> impl Iterator<Item = &HistogramRow> {
        self.rows.iter().filter(|row| row.allowed == Some(true) && !row.by_fault)
    }

    /// The number of outcomes that are allowed without a fault.
    #[must_use]
    pub fn allowed(&self) -> usize {
        self.expected().count()
    }

    /// The number of those that were observed.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.expected().filter(|row| row.count > 0).count()
    }

    /// The fraction of the outcomes allowed without a fault that was observed. `None`: none is known.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.allowed() > 0).then(|| self.seen() as f64 / self.allowed() as f64)
    }
}

/// Compares the report of a machine with the allowed outcomes, or with the reason why they are not
/// known.
#[must_use]
pub fn compare(test: &Test, report: &Report, allowed: &Result<Allowed, String>) -> Comparison {
    let (histogram, problems, stalls, start_skew, packets) = match report {
        Report::NotRun { reason } => return without_rows(Verdict::NotRun, None, reason),
        Report::Broken { reason } => {
            if let Some(invariant) = allowed.as_ref().ok().and_then(|allowed| allowed.crashes)
                && (!breaks_memory(invariant)
                    || error_in(&reason.lines().collect::<Vec<_>>()).is_some())
            {
                let crash = KnownCrash { invariant, seen: Some(reason.clone()) };
                let agrees = without_rows(Verdict::Agrees, None, "");
                return Comparison { crash: Some(crash), ..agrees };
            }
            return without_rows(Verdict::Differs, Some(Difference::Broken), reason);
        }
        Report::Completed { histogram, problems, stalls, start_skew, packets, failures: _ } => {
            (histogram, problems, stalls.clone(), *start_skew, *packets)
        }
    };
    let mut problems = problems.clone();
    if let Ok(Allowed { stalls: false, .. }) = allowed {
        let blocked =
            |example| format!("a delayed page fault must not block another thread, but {example}");
        problems.extend(stalls.examples.values().map(blocked));
    }
    if let Ok(Allowed { repeats: true, .. }) = allowed {
        problems.retain(|problem| problem != REPEATED_COMPLETION);
    }
    if let Ok(Allowed { overwrites: true, .. }) = allowed {
        problems.retain(|problem| problem != OVERWRITTEN_BUFFER);
    }
    let crash = allowed.as_ref().ok().and_then(|allowed| allowed.crashes).map(|invariant| {
        let shows =
            |problem: &&String| !breaks_memory(invariant) || problem.starts_with(KERNEL_LOG);
        let seen = problems.iter().find(shows).cloned();
        KnownCrash { invariant, seen }
    });
    // Memory that the kernel has corrupted can have any other effect.
    let crashed = crash.as_ref().is_some_and(|crash| crash.seen.is_some());
    if crashed {
        problems.clear();
    }
    let rows = rows(test, histogram, allowed.as_ref().ok());
    let outside: Vec<&str> = rows
        .iter()
        .filter(|row| row.count > 0 && row.allowed == Some(false))
        .map(|row| row.outcome.as_str())
        .collect();
    let (verdict, reason) = match allowed {
        _ if !problems.is_empty() => (Verdict::Differs, problems.join("\n")),
        Err(why) => (Verdict::NotRun, format!("the allowed outcomes are not known: {why}")),
        Ok(_) if packets.is_some_and(|packets| packets.unproven > 0) => {
            (Verdict::NotRun, UNPROVEN.to_owned())
        }
        Ok(_) if packets.is_some_and(is_copied) => (Verdict::NotRun, COPIED.to_owned()),
        Ok(_) if outside.is_empty() || crashed => (Verdict::Agrees, String::new()),
        Ok(allowed) if allowed.exhaustive => {
            (Verdict::Differs, format!("not allowed: {}", outside.join(" | ")))
        }
        Ok(_) => (
            Verdict::Bounded,
            format!("the model was not searched to the end; not found: {}", outside.join(" | ")),
        ),
    };
    let exhaustive = allowed.as_ref().is_ok_and(|allowed| allowed.exhaustive);
    let difference = (verdict == Verdict::Differs).then_some(match problems.is_empty() {
        true => Difference::Outcome,
        false => Difference::Problem,
    });
    let divergences = Vec::new();
    Comparison {
        verdict,
        reason,
        rows,
        exhaustive,
        difference,
        divergences,
        crash,
        stalls,
        start_skew,
        packets,
    }
}

fn without_rows(verdict: Verdict, difference: Option<Difference>, reason: &str) -> Comparison {
    Comparison {
        verdict,
        reason: reason.to_string(),
        rows: Vec::new(),
        exhaustive: false,
        difference,
        divergences: Vec::new(),
        crash: None,
        stalls: Stalls::default(),
        start_skew: None,
        packets: None,
    }
}

/// Why a test is not run that should have received into the memory of an ifq.
const COPIED: &str =
    "the NIC wrote packets for a bound queue into ordinary pages, so they were copied";

/// Why a test is not run whose bytes came from nobody knows where.
const UNPROVEN: &str = "nothing proves that bytes of a completion were received without a copy";

/// Whether the NIC never used the memory of an ifq although a queue was bound. A single such packet may have come
/// between the binding of the queue and its restart.
fn is_copied(packets: DevicePackets) -> bool {
    packets.misplaced > 0 && packets.placed == 0
}

fn rows(test: &Test, histogram: &[(Outcome, u64)], allowed: Option<&Allowed>) -> Vec<HistogramRow> {
    let seen = histogram.iter().map(|(outcome, _)| outcome);
    let all: BTreeSet<&Outcome> =
        seen.chain(allowed.iter().flat_map(|allowed| &allowed.set)).collect();
    let count = |wanted: &Outcome| {
        histogram.iter().filter(|(outcome, _)| outcome == wanted).map(|(_, count)| count).sum()
    };
    all.into_iter()
        .map(|outcome| HistogramRow {
            outcome: outcome.display(test),
            count: count(outcome),
            allowed: allowed.map(|allowed| allowed.set.contains(outcome)),
            by_fault: allowed.is_some_and(|allowed| allowed.by_fault.contains(outcome)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use ifq_model::outcome::Value;

    use super::*;

    fn test() -> Test {
        serde_json::from_value(serde_json::json!({
            "name": "sample", "about": "SkewSample.", "revisions": ["import-7.3"], "rings": [],
            "sockets": [], "queues": 0, "vars": [{"name": "x", "kind": "status"}], "setup": [],
            "threads": [], "finally": [], "faults": [], "max_faults": 0, "observe": [0],
            "expect": [], "schedule": null
        }))
        .unwrap()
    }

    fn outcome(n: i64) -> Outcome {
        Outcome(vec![Value::Number(n)])
    }

    fn seen(numbers: &[i64], problems: &[&str]) -> Report {
        Report::Completed {
            histogram: numbers.iter().map(|&n| (outcome(n), 5)).collect(),
            problems: problems.iter().map(ToString::to_string).collect(),
            stalls: Stalls::default(),
            start_skew: None,
            packets: None,
            failures: Vec::new(),
        }
    }

    fn allowed(numbers: &[i64], exhaustive: bool) -> Result<Allowed, String> {
        let set = numbers.iter().map(|&n| outcome(n)).collect();
        Ok(Allowed {
            set,
            by_fault: BTreeSet::new(),
            exhaustive,
            stalls: false,
            repeats: false,
            overwrites: false,
            crashes: None,
        })
    }

    #[test]
    fn observing_a_subset_of_the_allowed_outcomes_agrees() {
        let comparison = compare(&test(), &seen(&[0], &[]), &allowed(&[0, -9], true));
        assert_eq!(comparison.verdict, Verdict::Agrees);
        assert_eq!(comparison.reason, "");
        let rows: Vec<_> = comparison.rows.iter().map(|r| (r.outcome.as_str(), r.count)).collect();
        assert_eq!(rows, [("x=-EBADF;", 0), ("x=0;", 5)]);
    }

    #[test]
    fn a_test_whose_packets_missed_the_memory_of_a_bound_queue_is_not_run() {
        let verdict = |packets| {
            let Report::Completed { histogram, problems, stalls, start_skew, .. } = seen(&[0], &[])
            else {
                unreachable!("it ran")
            };
            let packets = Some(packets);
            let report = Report::Completed {
                histogram,
                problems,
                stalls,
                start_skew,
                packets,
                failures: Vec::new(),
            };
            compare(&test(), &report, &allowed(&[0], true)).verdict
        };
        let none = DevicePackets::default();
        assert_eq!(verdict(DevicePackets { misplaced: 1, ..none }), Verdict::NotRun);
        assert_eq!(verdict(DevicePackets { misplaced: 1, placed: 7, ..none }), Verdict::Agrees);
        assert_eq!(verdict(DevicePackets { ordinary: 3, copied: 3, ..none }), Verdict::Agrees);
        let unproven = DevicePackets { placed: 7, zero_copy: 6, unproven: 1, ..none };
        assert_eq!(verdict(unproven), Verdict::NotRun);
    }

    #[test]
    fn the_share_counts_outcomes_that_are_allowed_without_a_fault() {
        let mut fails = allowed(&[0, -9, -12], true).unwrap();
        fails.by_fault.insert(outcome(-12));
        let comparison = compare(&test(), &seen(&[0], &[]), &Ok(fails.clone()));
        assert_eq!((comparison.seen(), comparison.allowed()), (1, 2));
        assert_eq!(comparison.share(), Some(0.5));
        let comparison = compare(&test(), &seen(&[0, -12], &[]), &Ok(fails));
        assert_eq!(comparison.verdict, Verdict::Agrees, "a fault may happen");
        assert_eq!(comparison.seen(), 1);
    }

    #[test]
    fn an_outcome_that_is_not_allowed_differs_and_is_named() {
        let comparison = compare(&test(), &seen(&[0, -5], &[]), &allowed(&[0], true));
        assert_eq!(comparison.verdict, Verdict::Differs);
        assert!(comparison.reason.contains("x=-5;"), "{}", comparison.reason);
    }

    #[test]
    fn a_blocked_thread_differs_unless_the_model_allows_it() {
        let stalls = Stalls {
            late: 2,
            stalled: 1,
            examples: [("the argument".into(), "thread b was blocked".into())].into(),
        };
        let report = Report::Completed {
            histogram: vec![(outcome(0), 2)],
            problems: Vec::new(),
            stalls: stalls.clone(),
            start_skew: None,
            packets: None,
            failures: Vec::new(),
        };
        let mut model = allowed(&[0], true);
        let comparison = compare(&test(), &report, &model);
        assert_eq!(comparison.verdict, Verdict::Differs);
        assert_eq!(comparison.difference, Some(Difference::Problem));
        assert!(comparison.reason.contains("thread b was blocked"), "{}", comparison.reason);
        model.as_mut().unwrap().stalls = true;
        let comparison = compare(&test(), &report, &model);
        assert_eq!((comparison.verdict, comparison.stalls), (Verdict::Agrees, stalls));
        let comparison = compare(&test(), &seen(&[0], &[]), &model);
        assert_eq!(comparison.verdict, Verdict::Agrees, "allowed, not required");
    }

    #[test]
    fn an_overwritten_buffer_differs_unless_the_test_is_expected_to_break_i7() {
        let report = seen(&[0], &[OVERWRITTEN_BUFFER]);
        let mut model = allowed(&[0], true);
        assert_eq!(compare(&test(), &report, &model).verdict, Verdict::Differs);
        model.as_mut().unwrap().overwrites = true;
        assert_eq!(compare(&test(), &report, &model).verdict, Verdict::Agrees);
    }

    #[test]
    fn an_error_of_the_kernel_differs_unless_the_test_is_expected_to_break_memory_safety() {
        let log = format!("{KERNEL_LOG}\n[1] BUG: KFENCE: use-after-free read in io_pp_uninstall");
        let panic = Report::Broken { reason: "it exited: [2] Kernel panic".into() };
        let hangs = Report::Broken { reason: "it hangs after 3 repetitions".into() };
        let warned = seen(&[0, -5], &[&log, "a leak"]);
        let mut model = allowed(&[0], true);
        for report in [&warned, &panic, &hangs] {
            assert_eq!(compare(&test(), report, &model).verdict, Verdict::Differs);
        }
        model.as_mut().unwrap().crashes = Some(Invariant::I1);
        for (report, says) in [(&warned, "KFENCE"), (&panic, "Kernel panic")] {
            let comparison = compare(&test(), report, &model);
            assert_eq!(comparison.verdict, Verdict::Agrees, "{comparison:?}");
            let crash = comparison.crash.unwrap();
            assert!(crash.invariant == Invariant::I1 && crash.seen.unwrap().contains(says));
        }
        // Without an error in the log it is nothing that the model predicts.
        for report in [&hangs, &seen(&[0], &["a leak"]), &seen(&[-5], &[])] {
            assert_eq!(compare(&test(), report, &model).verdict, Verdict::Differs);
        }
        let quiet = compare(&test(), &seen(&[0], &[]), &model);
        assert_eq!((quiet.verdict, quiet.crash.unwrap().seen), (Verdict::Agrees, None));
    }

    #[test]
    fn a_completion_that_comes_again_differs_unless_the_test_is_expected_to_break_i10() {
        let report = seen(&[0], &[REPEATED_COMPLETION]);
        let mut model = allowed(&[0], true);
        assert_eq!(compare(&test(), &report, &model).verdict, Verdict::Differs);
        model.as_mut().unwrap().repeats = true;
        assert_eq!(compare(&test(), &report, &model).verdict, Verdict::Agrees);
        let other = seen(&[0], &[REPEATED_COMPLETION, "a leak"]);
        assert_eq!(compare(&test(), &other, &model).verdict, Verdict::Differs);
    }

    #[test]
    fn an_outcome_that_a_bounded_search_did_not_find_is_no_difference() {
        let comparison = compare(&test(), &seen(&[1], &[]), &allowed(&[0], false));
        assert_eq!(comparison.verdict, Verdict::Bounded);
        let comparison = compare(&test(), &seen(&[1], &[]), &Err("no model".into()));
        assert_eq!(comparison.verdict, Verdict::NotRun);
        assert!(comparison.reason.contains("no model"));
        assert_eq!(comparison.rows[0].allowed, None);
    }

    #[test]
    fn a_problem_or_a_broken_machine_differs_regardless_of_the_outcomes() {
        let comparison = compare(&test(), &seen(&[0], &["a leak"]), &allowed(&[0], true));
        assert_eq!((comparison.verdict, comparison.reason.as_str()), (Verdict::Differs, "a leak"));
        let broken = Report::Broken { reason: "panic".into() };
        assert_eq!(compare(&test(), &broken, &allowed(&[0], true)).verdict, Verdict::Differs);
        let not_run = Report::NotRun { reason: "no NIC".into() };
        let comparison = compare(&test(), &not_run, &allowed(&[0], true));
        assert_eq!((comparison.verdict, comparison.reason.as_str()), (Verdict::NotRun, "no NIC"));
    }
}
