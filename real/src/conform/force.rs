//! Two-sided conformance: forces each outcome that the model allows.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::Test;
use ifq_model::test::schedule::{Place, Switch};
use ifq_sim::executor::schedule::{run_following, switches};
use ifq_sim::search::explore::{Limits, explore};
use ifq_sim::search::shortest_witness::shortest_witnesses;
use ifq_sim::shrink::{few_switches, few_switches_to};
use serde::Serialize;

use crate::conform::oracle::Oracle;
use crate::forced::{ForcedRun, kernel_lines, whole_lines};
use crate::job::{OVERWRITTEN_BUFFER, REPEATED_COMPLETION, Report};

/// An outcome that the model allows, and the schedule of a run that ends with it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The outcome.
    pub outcome: Outcome,
    /// The schedule.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub lines: Result<Vec<Switch>, String>,
    /// Problems that are no difference, because the test is expected to break an invariant on the kernel.
    pub expected: Vec<&'static str>,
}

/// The test as a kernel runs it under a schedule: no fault is injected, and the schedule is not part of it.
#[must_use]
pub fn plain(test: &Test) -> Test {
    Test { faults: Vec::new(), max_faults: 0, schedule: None, ..test.clone() }
}

/// The outcomes that a variant allows without faults, each with a run that has few context switches.
///
/// # Errors
///
/// A message for the user: the outcomes are not known.
pub fn wanted(
    test: &Test,
    variant: &Variant,
    oracle: &dyn Oracle,
    time: Duration,
) -> Result<Vec<Wanted>, String> {
    let allowed = oracle.allowed(test, variant)?;
    if !allowed.exhaustive {
        return Err("the search for the allowed outcomes was bounded".to_owned());
    }
    let limits = Limits { max_time: Some(time), ..Limits::default() };
    let found = shortest_witnesses(test, variant, &allowed.set, &limits, &mut |_| {});
    let left: Vec<&Outcome> = allowed.set.iter().filter(|one| found.of(one).is_none()).collect();
    let lines = |outcome: &Outcome| {
        let Some(witness) = found.of(outcome) else {
            // A run that violates what is tolerated has no outcome in the model.
            return match left[..] {
                [_] => violation(test, variant, &limits),
                _ => None,
            }
            .ok_or("no run with it was found within the limits".to_owned());
        };
        let witness = few_switches_to(test, variant, witness);
        let words = switches(test, variant, &witness.decisions)
            .map(|words| fewer_places(test, variant, outcome, words));
        words.map(|words| kernel_lines(&words)).ok_or("words cannot repeat its run".to_owned())
    };
    let all = allowed.set.iter();
    let known = [(allowed.repeats, REPEATED_COMPLETION), (allowed.overwrites, OVERWRITTEN_BUFFER)];
    let expected: Vec<&str> = known.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
    let wanted = |outcome: &Outcome| Wanted {
        outcome: outcome.clone(),
        lines: lines(outcome),
        expected: expected.clone(),
    };
    Ok(all.map(wanted).collect())
}

/// The lines of a run that violates an invariant.
fn violation(test: &Test, variant: &Variant, limits: &Limits) -> Option<Vec<Switch>> {
    let found = explore(test, variant, limits, &mut |_| {}).counterexample?;
    let found = few_switches(test, variant, &found);
    let words = switches(test, variant, &found.decisions)?;
    Some(whole_lines(test, &words))
}

/// Lines with the same outcome in which a thread runs until it is blocked, where it stopped in the middle of a function:
/// every kernel can follow such a line.
fn fewer_places(
    test: &Test,
    variant: &Variant,
    outcome: &Outcome,
    mut lines: Vec<Switch>,
) -> Vec<Switch> {
    let program = Rc::new(test.clone());
    let is_place = |line: &&Switch| matches!(line.until, Place::At(_));
    let places = |lines: &[Switch]| lines.iter().filter(is_place).count();
    let mut at = 0;
    while at < lines.len() {
        let mut changed = lines.clone();
        let line = &mut changed[at];
        at += 1;
        if !matches!(std::mem::replace(&mut line.until, Place::Blocked), Place::At(_)) {
            continue;
        }
        let (run, deviation) = run_following(&program, variant, &changed);
        if deviation.is_none()
            && run.outcome.as_ref() == Some(outcome)
            && let Some(words) = switches(test, variant, &run.decisions)
            && places(&words) < places(&lines)
        {
            (lines, at) = (words, 0);
        }
    }
    lines
}

/// What came of an outcome that was to be forced.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// The outcome, as text.
    pub outcome: String,
    /// Why it was not forced; `None`: it was.
    pub not_forced: Option<String>,
    /// What user space saw.
    pub observed: Option<String>,
    /// What was observed that the model does not allow.
    pub outside: Vec<String>,
    /// How the schedule was followed.
    pub run: Option<ForcedRun>,
}

/// Compares a forced run with what was wanted.
#[must_use]
pub fn attempt(
    test: &Test,
    wanted: &Wanted,
    allowed: &BTreeSet<Outcome>,
    (run, report): (Option<ForcedRun>, Option<&Report>),
) -> Attempt {
    let outcome = wanted.outcome.display(test);
    let mut attempt =
        Attempt { outcome, not_forced: None, observed: None, outside: Vec::new(), run };
    let failure = match (&wanted.lines, &attempt.run, report) {
        (Err(reason), ..) => Some(reason.clone()),
        (_, None, Some(Report::Broken { reason } | Report::NotRun { reason })) => {
            Some(reason.clone())
        }
        (_, None, _) => Some("the machine did not run it".to_owned()),
        (_, Some(run), _) => run.failure.clone(),
    };
    match report {
        Some(Report::Completed { histogram, problems, .. }) => {
            let is_expected = |what: &&String| wanted.expected.contains(&what.as_str());
            attempt.outside = problems.iter().filter(|what| !is_expected(what)).cloned().collect();
            if let Some((seen, _)) = histogram.first() {
                let text = seen.display(test);
                if *seen != wanted.outcome {
                    let what = format!("the schedule was followed, and the outcome was {text}");
                    attempt.not_forced = Some(what);
                }
                // A wait gives up where a thread has stood too long, which no outcome of the model is about.
                if failure.is_none() && !allowed.contains(seen) {
                    attempt.outside.push(text.clone());
                }
                attempt.observed = Some(text);
            }
        }
        Some(Report::Broken { reason } | Report::NotRun { reason }) => {
            attempt.not_forced = Some(reason.clone());
        }
        None => {}
    }
    attempt.not_forced = failure.or(attempt.not_forced);
    if attempt.not_forced.is_none() && attempt.observed.is_none() {
        attempt.not_forced = Some("the machine did not report an outcome".to_owned());
    }
    attempt
}

#[cfg(test)]
mod tests {
    use ifq_model::outcome::Value;

    use super::*;
    use crate::conform::oracle::Explorer;
    use crate::job::Stalls;

    fn race() -> Test {
        let text = "test t\nrevision import-7.3\nring A B\nsetup\n \
                    ifq = A: register nodev buffers=1 entries=1\n box = A: export ifq\n\
                    thread a\n x = B: import box\nthread b\n y = close box\n\
                    observe x y\nexpect holds\n";
        ifq_sim::format::parse("t.ifq", text).unwrap()
    }

    fn seen(outcome: &Outcome, problems: &[&str]) -> Report {
        Report::Completed {
            histogram: vec![(outcome.clone(), 1)],
            problems: problems.iter().map(|text| (*text).to_owned()).collect(),
            stalls: Stalls::default(),
            start_skew: None,
            packets: None,
            failures: Vec::new(),
        }
    }

    #[test]
    fn only_an_outcome_whose_schedule_was_followed_is_forced() {
        let (test, oracle) = (race(), Explorer::new(Duration::from_secs(60)));
        let variant = oracle.variant(&test, "7.3.4").unwrap();
        let all = wanted(&test, &variant, &oracle, Duration::from_secs(60)).unwrap();
        let allowed: BTreeSet<Outcome> = all.iter().map(|one| one.outcome.clone()).collect();
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|one| one.lines.as_ref().is_ok_and(|lines| !lines.is_empty())));
        let (one, other) = (&all[0], &all[1].outcome);
        let followed = || Some(ForcedRun::default());
        let result = |run, report: &Report| attempt(&test, one, &allowed, (run, Some(report)));
        assert_eq!(result(followed(), &seen(&one.outcome, &[])).not_forced, None);
        let reason = result(followed(), &seen(other, &[])).not_forced.unwrap();
        assert!(reason.contains("the schedule was followed"), "{reason}");
        let failed = Some(ForcedRun { failure: Some("no place".into()), ..ForcedRun::default() });
        let lucky = result(failed, &seen(&one.outcome, &[]));
        assert_eq!(lucky.not_forced.as_deref(), Some("no place"));
        assert!(lucky.outside.is_empty());
        assert_eq!(result(followed(), &seen(&one.outcome, &["a leak"])).outside, ["a leak"]);
        let repeated = seen(&one.outcome, &[REPEATED_COMPLETION]);
        assert_eq!(result(followed(), &repeated).outside, [REPEATED_COMPLETION]);
        let expects = Wanted { expected: vec![REPEATED_COMPLETION], ..one.clone() };
        let allows = attempt(&test, &expects, &allowed, (followed(), Some(&repeated)));
        assert!(allows.outside.is_empty() && allows.not_forced.is_none());
        let stood = Outcome(vec![Value::Number(7), Value::Number(7)]);
        let failed = Some(ForcedRun { failure: Some("no place".into()), ..ForcedRun::default() });
        let outside = |run| attempt(&test, one, &allowed, (run, Some(&seen(&stood, &[])))).outside;
        assert_eq!(outside(followed()).len(), 1, "the model does not allow it");
        assert!(outside(failed).is_empty(), "a thread may have stood for too long");
        assert!(attempt(&test, one, &allowed, (None, None)).not_forced.is_some());
    }
}
