//! Which failures are one failure.
//!
//! The cause of a violation is the invariant with the sentence of the violation, in which each number is `*`. The
//! sentence names the object and what happened to it (`ifq*.user_refs touched after it was freed`), so two failures
//! have one cause if the same thing happened to objects of the same kind. Kernels are not part of the cause: one
//! defect shows on several revisions.
//!
//! A failure that is no violation (a verdict or a result that is not the expected one, a difference between a kernel
//! and the model) has its test as a part of its cause, because nothing else says what failed.

use std::collections::BTreeMap;

use ifq_model::invariant::Violation;

use super::record::{End, Record, Shown, SmallRecord, UnitRecord};

/// At most so many failures of one cause are minimised: the first ones by unit and case.
pub const MINIMISED: usize = 3;

/// The cause of a violation.
#[must_use]
pub fn of_violation(violation: &Violation) -> String {
    format!("{}: {}", violation.invariant, without_numbers(&violation.what))
}

/// The text with `*` for each number.
#[must_use]
pub fn without_numbers(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' if result.ends_with('*') => {}
            '0'..='9' => result.push('*'),
            c => result.push(c),
        }
    }
    result
}

/// A failure of a case.
#[derive(Clone, Debug)]
pub struct Failure<'r> {
    /// The unit.
    pub unit: u64,
    /// The case in the job of the unit.
    pub case: u64,
    /// The name of the case.
    pub name: &'r str,
    /// What it has shown.
    pub shown: &'r Shown,
}

/// The failures by cause, each in the order of units and cases. A case counts once for a cause.
#[must_use]
pub fn by_cause<'r>(
    units: impl IntoIterator<Item = &'r UnitRecord>,
) -> BTreeMap<&'r str, Vec<Failure<'r>>> {
    let mut causes: BTreeMap<&str, Vec<Failure<'_>>> = BTreeMap::new();
    for UnitRecord { unit, others, .. } in units {
        for other in others {
            let End::Failed(all) = &other.end else { continue };
            for shown in all {
                let failures = causes.entry(&shown.cause).or_default();
                if failures.last().is_none_or(|last| (last.unit, last.case) != (*unit, other.case))
                {
                    let (unit, case, name) = (*unit, other.case, other.name.as_str());
                    failures.push(Failure { unit, case, name, shown });
                }
            }
        }
    }
    for failures in causes.values_mut() {
        failures.sort_by_key(|failure| (failure.unit, failure.case));
    }
    causes
}

/// The failures that must be minimised, and are not.
#[must_use]
pub fn to_minimise(records: &[Record]) -> Vec<(u64, u64, Shown)> {
    let units = records.iter().filter_map(|record| match record {
        Record::Unit(unit) => Some(unit),
        _ => None,
    });
    let is_done = |failure: &Failure<'_>| {
        records.iter().any(|record| {
            matches!(record, Record::Small(SmallRecord { cause, unit, case, .. })
                if *cause == failure.shown.cause && (*unit, *case) == (failure.unit, failure.case))
        })
    };
    let causes = by_cause(units);
    let first = causes.values().flat_map(|failures| failures.iter().take(MINIMISED));
    let open = first.filter(|failure| !is_done(failure));
    open.map(|failure| (failure.unit, failure.case, failure.shown.clone())).collect()
}

#[cfg(test)]
mod tests {
    use ifq_model::invariant::Invariant;

    use super::*;

    #[test]
    fn violations_that_differ_in_numbers_alone_have_one_cause() {
        let cause =
            |invariant, what: &str| of_violation(&Violation { invariant, what: what.to_owned() });
        let one = cause(Invariant::I1, "ifq1.user_refs touched after it was freed");
        assert_eq!(one, "I1: ifq*.user_refs touched after it was freed");
        assert_eq!(one, cause(Invariant::I1, "ifq23.user_refs touched after it was freed"));
        assert_ne!(one, cause(Invariant::I2, "ifq1.user_refs touched after it was freed"));
        assert_ne!(one, cause(Invariant::I1, "ifq1.refs touched after it was freed"));
    }
}
