//! What a campaign asks of an engine: units of cases, run one by one.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::record::{End, Other, Shown, Small, UnitRecord};

/// What an engine does for one job of a plan. A case has a number in its job.
///
/// The results must depend on the plan alone.
pub trait Engine: Sync {
    /// The name of the job, for reports.
    fn name(&self) -> String;

    /// The cases of each unit.
    fn units(&self) -> Vec<Range<u64>>;

    /// The name of a unit with these cases.
    fn unit_name(&self, cases: &Range<u64>) -> String;

    /// Runs cases. `None`: the user interrupted it.
    fn run(&self, cases: Range<u64>) -> Option<Vec<CaseResult>>;

    /// Makes the test of a failure smaller. `None`: the user interrupted it.
    fn small(&self, case: u64, shown: &Shown) -> Option<Small>;

    /// Adds to a checksum what the results depend on beside the plan, such as test files.
    fn add_inputs(&self, hasher: &mut crc32fast::Hasher);
}

/// The result of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// Its number.
    pub case: u64,
    /// Its name.
    pub name: String,
    /// States of searches, or steps of runs.
    pub work: u64,
    /// How it ended.
    pub end: End,
}

/// The part of a plan that runs at once and is stored as one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its job.
    pub job: usize,
    /// Its cases.
    pub cases: Range<u64>,
    /// Its name.
    pub name: String,
}

/// All units of all jobs, in order.
#[must_use]
pub fn units(engines: &[Box<dyn Engine + '_>]) -> Vec<Unit> {
    let of_each = engines.iter().enumerate().flat_map(|(job, engine)| {
        let unit = move |cases: Range<u64>| Unit { job, name: engine.unit_name(&cases), cases };
        engine.units().into_iter().map(unit)
    });
    of_each.collect()
}

/// The cases `0..count` in units of `per_unit`.
#[must_use]
pub fn chunks(count: u64, per_unit: u64) -> Vec<Range<u64>> {
    let starts = (0..count).step_by(usize::try_from(per_unit.max(1)).unwrap_or(usize::MAX));
    starts.map(|start| start..count.min(start.saturating_add(per_unit))).collect()
}

/// The checksum of everything that the results of a campaign depend on.
#[must_use]
pub fn inputs(plan: &str, engines: &[Box<dyn Engine + '_>], units: &[Unit]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(plan.as_bytes());
    units.iter().for_each(|unit| hasher.update(unit.name.as_bytes()));
    engines.iter().for_each(|engine| engine.add_inputs(&mut hasher));
    hasher.finalize()
}

/// Runs a unit. A panic of the engine is a result of all its cases that have none.
#[must_use]
pub fn run_unit(engine: &dyn Engine, number: u64, unit: &Unit) -> Option<UnitRecord> {
    let cases = unit.cases.clone();
    let results = catch_unwind(AssertUnwindSafe(|| engine.run(cases.clone())));
    let results = results.unwrap_or_else(|panic| {
        let message = message(&*panic);
        let panicked = |case| CaseResult {
            case,
            name: format!("case {case} of {}", unit.name),
            work: 0,
            end: End::Panicked(message.clone()),
        };
        Some(cases.map(panicked).collect())
    })?;
    let mut record = UnitRecord { unit: number, passed: 0, work: 0, others: Vec::new() };
    for CaseResult { case, name, work, end } in results {
        record.work += work;
        match end {
            End::Passed => record.passed += 1,
            end => record.others.push(Other { case, name, end }),
        }
    }
    Some(record)
}

/// Runs cases one after the other; a panic is the result of its case. `None`: interrupted.
pub fn each<T>(
    cases: impl IntoIterator<Item = (u64, T)>,
    name: impl Fn(&T) -> String,
    mut run: impl FnMut(&T) -> Option<(u64, End)>,
) -> Option<Vec<CaseResult>> {
    let mut results = Vec::new();
    for (case, what) in cases {
        let ended = catch_unwind(AssertUnwindSafe(|| run(&what)));
        let ended = ended.unwrap_or_else(|panic| Some((0, End::Panicked(message(&*panic)))));
        let (work, end) = ended?;
        results.push(CaseResult { case, name: name(&what), work, end });
    }
    Some(results)
}

/// Makes the test of a failure smaller. A panic is a reason for having none.
#[must_use]
pub fn small(engine: &dyn Engine, case: u64, shown: &Shown) -> Option<Small> {
    catch_unwind(AssertUnwindSafe(|| engine.small(case, shown))).unwrap_or_else(|panic| {
        let note = format!("the program panicked while minimising: {}", message(&*panic));
        Some(Small { operations: 0, file: None, note })
    })
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine whose case 1 panics, and which panics itself in the unit that begins with case 4.
    struct Panics;

    impl Engine for Panics {
        fn name(&self) -> String {
            "panics".to_owned()
        }

        fn units(&self) -> Vec<Range<u64>> {
            chunks(5, 2)
        }

        fn unit_name(&self, cases: &Range<u64>) -> String {
            format!("{cases:?}")
        }

        fn run(&self, cases: Range<u64>) -> Option<Vec<CaseResult>> {
            assert!(cases.start < 4, "the unit");
            each(cases.map(|case| (case, case)), u64::to_string, |case| {
                assert!(*case != 1, "the case");
                (*case != 3).then_some((10, End::Passed))
            })
        }

        fn small(&self, _: u64, _: &Shown) -> Option<Small> {
            panic!("the shrinker");
        }

        fn add_inputs(&self, _: &mut crc32fast::Hasher) {}
    }

    #[test]
    fn a_panic_is_a_result_and_an_interrupt_is_none() {
        let engines: [Box<dyn Engine>; 1] = [Box::new(Panics)];
        let units = units(&engines);
        let names: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
        assert_eq!(names, ["0..2", "2..4", "4..5"]);
        let panicked = |case, name: &str, message: &str| Other {
            case,
            name: name.to_owned(),
            end: End::Panicked(message.to_owned()),
        };
        let others = vec![panicked(1, "1", "the case")];
        let expected = UnitRecord { unit: 7, passed: 1, work: 10, others };
        assert_eq!(run_unit(&Panics, 7, &units[0]), Some(expected));
        assert_eq!(run_unit(&Panics, 8, &units[1]), None);
        let others = vec![panicked(4, "case 4 of 4..5", "the unit")];
        let expected = UnitRecord { unit: 9, passed: 0, work: 0, others };
        assert_eq!(run_unit(&Panics, 9, &units[2]), Some(expected));
        let shown = Shown {
            cause: String::new(),
            kernel: String::new(),
            what: String::new(),
            again: String::new(),
        };
        let small = small(&Panics, 0, &shown).unwrap();
        assert_eq!((small.file, small.note.contains("the shrinker")), (None, true));
    }
}
