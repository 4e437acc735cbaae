//! The report of a campaign as JUnit XML: a suite for each job, a test case for each unit.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::record::{End, UnitRecord};
use super::summary::Results;

/// The report. It has no times.
///
/// # Errors
/// The report cannot be written as XML.
pub fn report(results: &Results<'_>) -> Result<String, String> {
    let mut report = Report::new(results.header.name.as_str());
    for (job, job_name) in results.header.jobs.iter().enumerate() {
        let mut suite = TestSuite::new(job_name.as_str());
        for (unit, record) in results.units.iter().filter(|(unit, _)| unit.job == job) {
            let mut case = TestCase::new(unit.name.as_str(), status(*record));
            case.set_classname(job_name.as_str());
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|error| error.to_string())
}

/// A failure counts most, then what has no verdict, then what was not run. Nothing of this is a success.
fn status(record: Option<&UnitRecord>) -> TestCaseStatus {
    let Some(record) = record else {
        let mut status = TestCaseStatus::skipped();
        status.set_message("not run yet");
        return status;
    };
    let lines = |wanted: fn(&End) -> bool| -> Vec<String> {
        let others = record.others.iter().filter(|other| wanted(&other.end));
        others.map(|other| format!("{}: {}", other.name, words(&other.end))).collect()
    };
    let failed = lines(|end| matches!(end, End::Failed(_)));
    let undecided = lines(|end| matches!(end, End::Bounded(_) | End::Panicked(_)));
    let not_run = lines(|end| matches!(end, End::NotRun(_)));
    let (mut status, lines) = match (&failed[..], &undecided[..], &not_run[..]) {
        ([], [], []) => return TestCaseStatus::success(),
        ([], [], _) => (TestCaseStatus::skipped(), not_run),
        ([], _, _) => (TestCaseStatus::non_success(NonSuccessKind::Error), undecided),
        _ => (TestCaseStatus::non_success(NonSuccessKind::Failure), failed),
    };
    status.set_message(lines.first().map(String::as_str).unwrap_or_default());
    status.set_description(lines.join("\n"));
    status
}

fn words(end: &End) -> String {
    match end {
        End::Passed => "passed".to_owned(),
        End::Failed(shown) => {
            let all =
                shown.iter().map(|one| format!("{} on {} ({})", one.what, one.kernel, one.again));
            all.collect::<Vec<_>>().join("; ")
        }
        End::Bounded(reason) => format!("bounded: {reason}"),
        End::NotRun(reason) => format!("not run: {reason}"),
        End::Panicked(message) => format!("panicked: {message}"),
    }
}
