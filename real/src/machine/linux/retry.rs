//! Runs a job on a machine that may crash: the remaining tests run after a new boot.

use super::guest_process::BootResult;
use crate::job::{Job, JobLine, Reply, Report, RunInfo};
use crate::machine::Failure;

/// Maximum number of boots for one job. Tests that are left are not run.
const BOOTS: u32 = 12;

/// Boots a machine, runs a part of a job on it, and reports each line.
type RunOnce<'a> = dyn FnMut(&Job, &mut RunInfo, Progress<'_>) -> Result<BootResult, Failure> + 'a;
type Progress<'a> = &'a mut dyn FnMut(&JobLine);

/// Runs a job with `start`, which boots a machine and runs a part of the job on it. `how` describes
/// how the machine is run; the boots are counted in it.
pub(super) fn run(
    job: &Job,
    mut how: RunInfo,
    progress: &mut dyn FnMut(&JobLine),
    start: &mut RunOnce<'_>,
) -> Result<Reply, Failure> {
    let mut reports: Vec<Report> = Vec::new();
    let mut first = None;
    loop {
        let from = reports.len();
        let part = Job {
            tests: job.tests[from..].to_vec(),
            injected: job.injected.filter(|_| from == 0),
            ..job.clone()
        };
        how.boots += 1;
        let boot = start(&part, &mut how, &mut |line| progress(&with_offset(line, from)))?;
        let Some(probe) = boot.probe else {
            let reason = format!("before it was up: {}", boot.end);
            let Some(probe) = first else {
                return Err(Failure::NotRun(reason));
            };
            let reason = format!("the machine crashed and did not boot again {reason}");
            reports.resize(job.tests.len(), Report::NotRun { reason });
            return Ok(Reply { probe, reports, how });
        };
        if first.is_none() {
            how.boot_ms = u64::try_from(boot.up.as_millis()).unwrap_or(u64::MAX);
        }
        let probe = first.get_or_insert(probe);
        let done = boot.reports.into_iter().map_while(|report| report);
        reports.extend(done);
        // A test that hung has a report. A test that crashed the machine has none.
        let hung = matches!(reports.last(), Some(Report::Broken { .. })) && reports.len() > from;
        if (boot.lost || boot.damaged) && how.boots < BOOTS && reports.len() < job.tests.len() {
            continue;
        }
        if !hung && !boot.damaged && reports.len() < job.tests.len() {
            reports.push(Report::Broken { reason: format!("in this test {}", boot.end) });
        }
        if reports.len() >= job.tests.len() {
            return Ok(Reply { probe: probe.clone(), reports, how });
        }
        let rest = match reports.last_mut() {
            Some(Report::Broken { reason }) if how.boots < BOOTS => {
                reason.push_str("\nthe remaining tests were run after a new boot");
                continue;
            }
            _ => format!("the machine crashed {} times before this test", how.boots),
        };
        reports.resize(job.tests.len(), Report::NotRun { reason: rest });
        return Ok(Reply { probe: probe.clone(), reports, how });
    }
}

/// A line about a part of a job, with the index of the whole job.
fn with_offset(line: &JobLine, from: usize) -> JobLine {
    let mut line = line.clone();
    match &mut line {
        JobLine::Beat { test, .. } | JobLine::Test { test, .. } | JobLine::Stuck { test, .. } => {
            *test += from;
        }
        JobLine::Controlled { first, .. } => *first += from,
        JobLine::Ready { .. } | JobLine::Coverage { .. } | JobLine::Damaged | JobLine::End => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::guest_process::tests::sample_job;
    use super::*;
    use crate::job::Stalls;
    use crate::kernels::probe::Probe;

    fn seen() -> Report {
        Report::Completed {
            histogram: Vec::new(),
            problems: Vec::new(),
            stalls: Stalls::default(),
            start_skew: None,
            packets: None,
            failures: Vec::new(),
        }
    }

    fn boot(reports: Vec<Option<Report>>) -> BootResult {
        let probe = Some(Probe::default());
        let up = Duration::from_millis(7);
        BootResult {
            probe,
            up,
            reports,
            end: "it died".into(),
            complete: false,
            damaged: false,
            lost: false,
        }
    }

    fn kinds(reply: &Reply) -> String {
        let kind = |report: &Report| match report {
            Report::Completed { .. } => 's',
            Report::NotRun { .. } => 'n',
            Report::Broken { .. } => 'b',
        };
        reply.reports.iter().map(kind).collect()
    }

    #[test]
    fn after_a_crash_the_remaining_tests_run_after_a_new_boot() {
        let mut asked = Vec::new();
        let mut lines = Vec::new();
        let job = sample_job(4);
        let reply = run(
            &job,
            RunInfo::default(),
            &mut |line| lines.push(line.clone()),
            &mut |part, _, progress| {
                asked.push(part.tests.len());
                progress(&JobLine::Beat { test: 0, done: 1 });
                Ok(match part.tests.len() {
                    4 => boot(vec![Some(seen()), None, None, None]),
                    _ => boot(vec![Some(seen()), Some(seen())]),
                })
            },
        )
        .unwrap();
        assert_eq!(asked, [4, 2]);
        assert_eq!(kinds(&reply), "sbss");
        assert_eq!((reply.how.boots, reply.how.boot_ms), (2, 7));
        let Report::Broken { reason } = &reply.reports[1] else { unreachable!() };
        assert!(reason.contains("it died") && reason.contains("new boot"), "{reason}");
        assert!(matches!(lines[1], JobLine::Beat { test: 2, .. }), "{lines:?}");
    }

    #[test]
    fn a_lost_connection_is_no_result_of_the_test_that_ran() {
        let mut asked = Vec::new();
        let job = sample_job(3);
        let reply = run(&job, RunInfo::default(), &mut |_| {}, &mut |part, _, _| {
            asked.push(part.tests.len());
            Ok(match part.tests.len() {
                3 => BootResult { lost: true, ..boot(vec![Some(seen()), None, None]) },
                tests => boot(vec![Some(seen()); tests]),
            })
        });
        assert_eq!(kinds(&reply.unwrap()), "sss");
        assert_eq!(asked, [3, 2]);
        let reply = run(&job, RunInfo::default(), &mut |_| {}, &mut |part, _, _| {
            Ok(BootResult { lost: true, ..boot(vec![None; part.tests.len()]) })
        });
        assert_eq!(kinds(&reply.unwrap()), "bnn", "it does not go on for ever");
    }

    #[test]
    fn after_a_test_that_damaged_the_kernel_the_others_run_after_a_new_boot() {
        let mut asked = Vec::new();
        let reply = run(&sample_job(4), RunInfo::default(), &mut |_| {}, &mut |part, _, _| {
            asked.push(part.tests.len());
            Ok(match part.tests.len() {
                4 => BootResult {
                    damaged: true,
                    ..boot(vec![Some(seen()), Some(seen()), None, None])
                },
                tests => boot(vec![Some(seen()); tests]),
            })
        })
        .unwrap();
        assert_eq!((kinds(&reply).as_str(), reply.how.boots), ("ssss", 2));
        assert_eq!(asked, [4, 2]);
        let reply = run(&sample_job(20), RunInfo::default(), &mut |_| {}, &mut |part, _, _| {
            let reports = (0..part.tests.len()).map(|at| (at == 0).then(seen)).collect();
            Ok(BootResult { damaged: true, ..boot(reports) })
        });
        let boots = BOOTS as usize;
        let expected = format!("{}{}", "s".repeat(boots), "n".repeat(20 - boots));
        assert_eq!(kinds(&reply.unwrap()), expected, "it does not go on for ever");
    }

    #[test]
    fn a_hanging_test_is_reported_once_and_the_last_test_needs_no_new_boot() {
        let hung = || Report::Broken { reason: "it hangs".into() };
        let reply = run(&sample_job(2), RunInfo::default(), &mut |_| {}, &mut |part, _, _| {
            Ok(boot(
                vec![Some(hung()); 1].into_iter().chain(vec![None; part.tests.len() - 1]).collect(),
            ))
        })
        .unwrap();
        assert_eq!((kinds(&reply).as_str(), reply.how.boots), ("bb", 2));
        let Report::Broken { reason } = &reply.reports[1] else { unreachable!() };
        assert_eq!(reason, "it hangs");
    }

    #[test]
    fn a_machine_that_never_boots_is_not_run_and_a_failed_second_boot_loses_only_the_rest() {
        let down = || Ok(BootResult { probe: None, ..boot(Vec::new()) });
        let failure = run(&sample_job(1), RunInfo::default(), &mut |_| {}, &mut |_, _, _| down());
        let Err(Failure::NotRun(reason)) = failure else { panic!("{failure:?}") };
        assert!(reason.contains("before it was up: it died"), "{reason}");
        let reply = run(&sample_job(3), RunInfo::default(), &mut |_| {}, &mut |part, _, _| {
            if part.tests.len() == 3 { Ok(boot(vec![None; 3])) } else { down() }
        })
        .unwrap();
        assert_eq!(kinds(&reply), "bnn");
    }

    #[test]
    fn a_machine_that_crashes_in_every_test_is_abandoned_after_some_boots() {
        let tests = BOOTS as usize + 5;
        let reply = run(&sample_job(tests), RunInfo::default(), &mut |_| {}, &mut |part, _, _| {
            Ok(boot(vec![None; part.tests.len()]))
        })
        .unwrap();
        assert_eq!(reply.how.boots, BOOTS);
        assert_eq!(kinds(&reply), format!("{}nnnnn", "b".repeat(BOOTS as usize)));
    }
}
