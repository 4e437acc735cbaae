//! `ifq run --force` and `ifq replay --on`: makes a kernel follow the schedule of a file.

use std::path::Path;
use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::test::schedule::Switch;
use ifq_sim::commands::replay::replay;
use ifq_sim::executor::schedule::switches;
use ifq_sim::format::switch_places;
use ifq_sim::report::unfollowed::unfollowed_text;
use serde::Serialize;

use super::execute;
use crate::cmd::exit::{EXIT_DIFFERENCE, EXIT_NOT_RUN, EXIT_OK};
use crate::cmd::selection::{read_or, usage_error};
use crate::conform::compare::KnownCrash;
use crate::conform::force::plain;
use crate::conform::result_view;
use crate::forced::{Case, ForcedRun, whole_lines};
use crate::job::Report;
use crate::kernels::kernel_error::error_in;
use crate::kernels::series::KernelSeries;
use crate::machine::MachineSpec;

/// What came of one schedule.
#[derive(Debug, Serialize)]
struct ScheduleReport<'a> {
    test: &'a str,
    machine: String,
    kernel: &'a str,
    /// The outcome of the model's run with this schedule.
    expected: Option<String>,
    /// What that run violates.
    violation: Option<String>,
    /// Why the schedule was not followed.
    not_forced: Option<String>,
    /// How the kernel crashed where the model breaks memory safety.
    crash: Option<KnownCrash>,
    observed: Option<String>,
    problems: Vec<String>,
    run: Option<ForcedRun>,
}

/// Makes a kernel follow the schedule of a file; returns the exit code.
pub(in crate::cmd) fn follow(file: &Path, on: &MachineSpec, json: bool) -> u8 {
    let inputs = match read_or(&[file.to_path_buf()], &[]) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    let [input] = &*inputs.tests else {
        return usage_error(format!("{} is not one file", file.display()));
    };
    let Some(schedule) = &input.test.schedule else {
        let file = file.display();
        return usage_error(format!("{file}: has no schedule; expected a section `schedule`"));
    };
    let mut test = input.test.clone();
    if let MachineSpec::Qemu(series) | MachineSpec::QemuNic(series) = on
        && let Some(series) = KernelSeries::of(&series.to_string())
    {
        // The replay is one of the first revision.
        test.revisions.sort_by_key(|own| *own != series.revision);
    }
    let test = Rc::new(test);
    let replayed = replay(&test, schedule);
    if let Some(unfollowed) = &replayed.unfollowed {
        let (place, why) =
            (place_of(file, unfollowed.deviation.line), unfollowed_text(&test, unfollowed));
        let variant = &replayed.variant;
        return usage_error(format!("{place}: no run on {variant} matches the schedule: {why}"));
    }
    if let Some(at) = replayed.diverged_at {
        let file = file.display();
        return usage_error(format!("{file}: decision {at} names a thread that cannot run"));
    }
    let words = match schedule.switches() {
        Some(lines) => Some(lines.to_vec()),
        None => switches(&test, &replayed.variant, schedule.decisions().unwrap_or_default()),
    };
    let Some(lines) = words else {
        return usage_error(format!("{}: words cannot repeat the run", file.display()));
    };
    let case = Case { test: plain(&test), lines: whole_lines(&test, &lines) };
    let mut reply = match execute(on, std::slice::from_ref(&case)) {
        Ok(reply) => reply,
        Err(reason) => {
            errln!("ifq: {on} not run: {reason}");
            return EXIT_NOT_RUN;
        }
    };
    let run = reply.runs.pop().flatten();
    let (mut observed, mut problems, mut broken) = (None, Vec::new(), None);
    match reply.reply.reports.pop() {
        Some(Report::Completed { histogram, problems: found, .. }) => {
            observed = histogram.first().map(|(outcome, _)| outcome.display(&test));
            problems = found;
        }
        Some(Report::Broken { reason } | Report::NotRun { reason }) => broken = Some(reason),
        None => {}
    }
    let violation = replayed.run.failure();
    let breaks_memory = violation
        .as_ref()
        .map(|violation| violation.invariant)
        .filter(|invariant| matches!(invariant, Invariant::I1 | Invariant::I2));
    let violation = violation.map(|violation| violation.to_string());
    // A kernel that crashes where the model breaks memory safety has followed the schedule.
    let crash = breaks_memory
        .filter(|_| run.as_ref().is_none_or(|run| crashed(run, &broken, &case.lines)))
        .zip(broken.take_if(|reason| error_in(&reason.lines().collect::<Vec<_>>()).is_some()))
        .map(|(invariant, reason)| KnownCrash { invariant, seen: Some(reason) });
    let failure = match &run {
        _ if crash.is_some() => None,
        None => Some("the machine did not run it".to_owned()),
        // The model's run ends with a violation in the last line, and so does the kernel's.
        Some(run) if violation.is_some() && crashed(run, &broken, &case.lines) => None,
        Some(run) => run.failure.clone(),
    };
    if run.is_some() && failure.is_none() {
        problems.extend(broken.take());
    }
    if let (Some(run), Some(reason), Some(_)) = (&run, &failure, schedule.switches())
        && let Some(line) = failed_line(run, &case.lines, &lines)
    {
        errln!("ifq: {}: {reason}", place_of(file, line));
    }
    let report = ScheduleReport {
        test: &test.name,
        machine: on.to_string(),
        kernel: &reply.reply.probe.kernel,
        expected: replayed.run.outcome.as_ref().map(|outcome| outcome.display(&test)),
        violation,
        not_forced: if run.is_none() { broken.or(failure) } else { failure.or(broken) },
        crash,
        observed,
        problems,
        run,
    };
    show(&report, json)
}

/// The place of a line of the schedule, from 0: `FILE:LINE:COLUMN`, or the file if the place is not known.
fn place_of(file: &Path, line: usize) -> String {
    let path = file.display();
    let text = std::fs::read_to_string(file).unwrap_or_default();
    match switch_places(&text).get(line) {
        Some((line, column)) => format!("{path}:{line}:{column}"),
        None => path.to_string(),
    }
}

/// Whether the kernel crashed after it had followed all lines but the last one that the model's run needs.
fn crashed(run: &ForcedRun, broken: &Option<String>, lines: &[Switch]) -> bool {
    let reached = run.lines.iter().take_while(|line| line.reached.is_some()).count();
    broken.is_some() && reached > 0 && reached + 1 >= run.lines.len().min(lines.len())
}

/// The line of a file at which a run failed. `followed` are the lines that the kernel followed.
fn failed_line(run: &ForcedRun, followed: &[Switch], lines: &[Switch]) -> Option<usize> {
    let at = run.lines.iter().position(|line| line.reached.is_none())?;
    let failed = followed.get(at)?;
    let before = followed[..at].iter().filter(|line| *line == failed).count();
    let mut equal = (0..lines.len()).filter(|line| lines[*line] == *failed);
    equal.nth(before)
}

fn show(report: &ScheduleReport<'_>, json: bool) -> u8 {
    if json {
        if let Ok(text) = serde_json::to_string(report) {
            outln!("{text}");
        }
    } else {
        let mut table = crate::output::table();
        table.set_header(["asked", "reached", "ms"]);
        for line in report.run.iter().flat_map(|run| &run.lines) {
            let reached = line.reached.as_deref().unwrap_or("not reached");
            table.add_row([line.asked.as_str(), reached, &line.ms.to_string()]);
        }
        outln!("{}", table.trim_fmt());
        let verdict = match &report.not_forced {
            Some(reason) => format!("not forced, because {reason}"),
            None => "forced".to_owned(),
        };
        outln!("{} on {}, kernel {}: {verdict}", report.test, report.machine, report.kernel);
        let rows = [
            ("model", &report.violation),
            ("model", &report.expected),
            ("kernel", &report.observed),
        ];
        for (what, text) in rows {
            if let Some(text) = text {
                outln!("{what}: {text}");
            }
        }
        out!("{}", result_view::crash(report.crash.as_ref()));
        for problem in &report.problems {
            outln!("problem: {problem}");
        }
    }
    let differs =
        report.crash.is_none() && report.expected.is_some() && report.observed != report.expected;
    match (&report.not_forced, differs || !report.problems.is_empty()) {
        (Some(_), _) => EXIT_NOT_RUN,
        (None, true) => EXIT_DIFFERENCE,
        (None, false) => EXIT_OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forced::Line;
    use ifq_model::test::schedule::{Place, ThreadName};

    #[test]
    fn the_line_of_the_file_is_found_that_a_kernel_did_not_follow() {
        let line = |thread, until| Switch { thread, or_any: false, until, failing: Vec::new() };
        let [a, exit] = [ThreadName::Test(0), ThreadName::Exit(0)];
        let file = [
            line(a, Place::Blocked),
            line(ThreadName::Rcu(0), Place::Done),
            line(exit, Place::Blocked),
            line(a, Place::Blocked),
        ];
        let followed = [file[0].clone(), file[2].clone(), file[3].clone(), line(a, Place::Done)];
        let run = |reached: usize| {
            let line = |at: usize| {
                let reached = (at < reached).then(String::new);
                Line { asked: String::new(), reached, ms: 0 }
            };
            ForcedRun { lines: (0..=reached).map(line).collect(), ..ForcedRun::default() }
        };
        let failed = |reached| failed_line(&run(reached), &followed, &file);
        assert_eq!((failed(0), failed(1), failed(2)), (Some(0), Some(2), Some(3)));
        assert_eq!(failed(3), None, "the file does not have it");
    }
}
