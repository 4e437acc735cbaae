//! `ifq conform --force`, `ifq run --force` and `ifq replay --on`: makes a kernel follow schedules.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use ifq_model::invariant::Invariant;
use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::Test;
use ifq_sim::commands::replay::replay;
use ifq_sim::executor::schedule::switches;
use ifq_sim::format::{self, Input};
use serde::Serialize;

use super::exit::{EXIT_DIFFERENCE, EXIT_NOT_RUN, EXIT_OK, combined};
use super::live::Live;
use super::selection::usage_error;
use crate::conform::compare::KnownCrash;
use crate::conform::force::{Attempt, Wanted, attempt, plain, wanted};
use crate::conform::oracle::Oracle;
use crate::conform::progress::Progress;
use crate::conform::result_view;
use crate::forced::{self, Case, ForcedReply, ForcedRun, kernel_lines};
use crate::job::{JobLine, Report};
use crate::kernels::kernel_error::error_in;
use crate::kernels::supported::unsupported;
use crate::machine::{Failure, MachineSpec, Qemu};

/// The result of one test on one machine.
#[derive(Debug, Serialize)]
struct TestLine<'a> {
    test: &'a str,
    machine: String,
    kernel: Option<&'a str>,
    /// Why nothing was forced.
    not_run: Option<String>,
    /// Number of outcomes that the model allows.
    allowed: usize,
    /// Number of those that the kernel was made to have.
    forced: usize,
    /// Number of those that it was not made to have.
    not_forced: usize,
    /// What was observed that the model does not allow.
    outside: Vec<&'a str>,
    attempts: &'a [Attempt],
}

/// A test that is to be forced.
struct Planned {
    test: Test,
    path: String,
    wanted: Result<Vec<Wanted>, String>,
    attempts: Vec<Attempt>,
}

/// The guest of a machine that can be controlled.
fn controlled(on: &MachineSpec) -> Result<Qemu, String> {
    let ifq = std::env::current_exe().map_err(|error| format!("where ifq itself is: {error}"))?;
    let qemu = match on {
        MachineSpec::Qemu(series) => Qemu::debian(&ifq, *series, 1),
        MachineSpec::QemuNic(series) => Qemu::debian(&ifq, *series, 1).map(Qemu::with_nic),
        MachineSpec::Kernel(path) => Ok(Qemu::file(&ifq, path, 1)),
        MachineSpec::Host | MachineSpec::Uml | MachineSpec::Rig(_) => {
            return Err(format!("schedules are forced in QEMU only, not on {on}"));
        }
    };
    qemu.map_err(|error| error.to_string())
}

/// The release that a machine's kernel is assumed to have before it has booted.
fn series(on: &MachineSpec) -> Option<String> {
    match on {
        MachineSpec::Qemu(series) | MachineSpec::QemuNic(series) => Some(series.to_string()),
        _ => None,
    }
}

fn execute(on: &MachineSpec, cases: &[Case]) -> Result<ForcedReply, String> {
    let qemu = controlled(on)?;
    let progress = Progress::new();
    progress.machine(format!("{on} boots"));
    let result = forced::run(&qemu, cases, &mut |line| {
        if let JobLine::Test { test, .. } = line {
            progress.machine(format!("{on}: forced {} of {} schedules", test + 1, cases.len()));
        }
    });
    progress.clear();
    result.map_err(|failure| match failure {
        Failure::NotRun(reason) => reason,
        Failure::Interrupted => "interrupted".to_owned(),
    })
}

/// Forces each outcome that the model allows of each test, on each machine; returns the exit code.
#[must_use]
pub(super) fn conform(inputs: &[Input], on: &[MachineSpec], live: &Live, json: bool) -> u8 {
    combined(on.iter().map(|on| conform_on(inputs, on, live, json)))
}

fn conform_on(inputs: &[Input], on: &MachineSpec, live: &Live, json: bool) -> u8 {
    let mut planned: Vec<Planned> = inputs.iter().map(|input| plan(input, on, live)).collect();
    let mut cases = Vec::new();
    let mut owners = Vec::new();
    for (at, one) in planned.iter().enumerate() {
        for (number, wanted) in one.wanted.iter().flatten().enumerate() {
            if let Ok(lines) = &wanted.lines {
                cases.push(Case { test: one.test.clone(), lines: lines.clone() });
                owners.push((at, number));
            }
        }
    }
    let start = Instant::now();
    let reply = match execute(on, &cases) {
        Ok(reply) => reply,
        Err(reason) => {
            errln!("ifq: {on} not run: {reason}");
            return EXIT_NOT_RUN;
        }
    };
    let time = start.elapsed();
    let mut runs: Vec<(Option<ForcedRun>, Option<&Report>)> =
        reply.runs.iter().cloned().zip(reply.reply.reports.iter().map(Some)).collect();
    for (at, one) in planned.iter_mut().enumerate() {
        let Ok(wanted) = &one.wanted else { continue };
        let allowed: BTreeSet<Outcome> = wanted.iter().map(|one| one.outcome.clone()).collect();
        for (number, wanted) in wanted.iter().enumerate() {
            let case = owners.iter().position(|owner| *owner == (at, number));
            let result = case.map_or((None, None), |case| std::mem::take(&mut runs[case]));
            one.attempts.push(attempt(&one.test, wanted, &allowed, result));
        }
    }
    print(&planned, on, &reply, time, json)
}

/// The outcomes of a test that are to be forced.
fn plan(input: &Input, on: &MachineSpec, live: &Live) -> Planned {
    let test = plain(&input.test);
    let oracle = live.explorer();
    let wanted = match (unsupported(&test, on.equipment()), series(on)) {
        (Some(reason), _) => Err(reason),
        (None, None) => Err("the series of the kernel is not known before it boots".to_owned()),
        (None, Some(kernel)) => oracle.variant(&test, &kernel).and_then(|variant| {
            wanted(&test, &variant, &oracle, Duration::from_secs(live.search_seconds))
        }),
    };
    Planned { test, path: input.path.clone(), wanted, attempts: Vec::new() }
}

fn print(
    planned: &[Planned],
    on: &MachineSpec,
    reply: &ForcedReply,
    time: Duration,
    json: bool,
) -> u8 {
    let mut table = crate::output::table();
    table.set_header(["test", "allowed", "forced", "not forced", "outside"]);
    let (mut all, mut forced, mut outside, mut not_run) = (0, 0, 0, 0);
    let mut notes = String::new();
    for one in planned {
        let line = TestLine {
            test: &one.test.name,
            machine: on.to_string(),
            kernel: Some(&reply.reply.probe.kernel),
            not_run: one.wanted.as_ref().err().cloned(),
            allowed: one.attempts.len(),
            forced: one.attempts.iter().filter(|one| one.not_forced.is_none()).count(),
            not_forced: one.attempts.iter().filter(|one| one.not_forced.is_some()).count(),
            outside: one.attempts.iter().flat_map(|one| &one.outside).map(String::as_str).collect(),
            attempts: &one.attempts,
        };
        all += line.allowed;
        forced += line.forced;
        outside += line.outside.len();
        not_run += usize::from(line.not_run.is_some());
        if json {
            if let Ok(text) = serde_json::to_string(&line) {
                outln!("{text}");
            }
            continue;
        }
        if line.not_run.is_none() {
            let counts = [line.allowed, line.forced, line.not_forced, line.outside.len()];
            table.add_row(std::iter::once(one.path.clone()).chain(counts.map(|n| n.to_string())));
        }
        for failed in one.attempts.iter().filter(|one| one.not_forced.is_some()) {
            let why = failed.not_forced.as_deref().unwrap_or_default();
            notes
                .push_str(&format!("{}: {} not forced, because {why}\n", one.path, failed.outcome));
        }
        for what in &line.outside {
            notes.push_str(&format!("{}: outside: {what}\n", one.path));
        }
    }
    if !json {
        outln!("{}", table.trim_fmt());
        out!("{notes}");
        let ms: u64 = reply.runs.iter().flatten().map(|run| run.ms).sum();
        outln!(
            "{on}, kernel {}: {forced} of {all} outcomes forced, {outside} outside, {not_run} tests not run; {} \
             schedules took {:.1} s of {:.1} s, boots: {}",
            reply.reply.probe.kernel,
            reply.runs.len(),
            ms as f64 / 1000.0,
            time.as_secs_f64(),
            reply.reply.how.boots,
        );
    }
    match (outside, all - forced) {
        (1.., _) => EXIT_DIFFERENCE,
        (0, 1..) => EXIT_NOT_RUN,
        (0, 0) => EXIT_OK,
    }
}

/// What came of one schedule.
#[derive(Debug, Serialize)]
struct ScheduleReport<'a> {
    test: &'a str,
    machine: String,
    kernel: &'a str,
    /// The outcome of the model's run with this schedule.
    expected: Option<String>,
    /// Why the schedule was not followed.
    not_forced: Option<String>,
    /// How the kernel crashed where the model breaks memory safety.
    crash: Option<KnownCrash>,
    observed: Option<String>,
    problems: Vec<String>,
    run: Option<ForcedRun>,
}

/// Makes a kernel follow the schedule of a file; returns the exit code.
#[must_use]
pub(super) fn follow(file: &Path, on: &MachineSpec, json: bool) -> u8 {
    let test = match format::load(file) {
        Ok(test) => std::rc::Rc::new(test),
        Err(error) => return usage_error(error),
    };
    let Some(schedule) = &test.schedule else {
        return usage_error(format!("{}: has no schedule", file.display()));
    };
    let variant = Variant::with(test.revisions[0], &schedule.defects).without(&schedule.without);
    let replayed = replay(&test, schedule);
    if replayed.diverged_at.is_some() || replayed.unfollowed.is_some() {
        let file = file.display();
        return usage_error(format!(
            "{file}: the model cannot follow the schedule; see `ifq replay {file}`"
        ));
    }
    let words = match schedule.switches() {
        Some(lines) => Some(lines.to_vec()),
        None => switches(&test, &variant, schedule.decisions().unwrap_or_default()),
    };
    let Some(lines) = words else {
        return usage_error(format!("{}: words cannot repeat the run", file.display()));
    };
    let case = Case { test: plain(&test), lines: kernel_lines(&lines) };
    let mut reply = match execute(on, &[case]) {
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
    let expected = replayed.run.outcome.as_ref().map(|outcome| outcome.display(&test));
    // A kernel that crashes where the model breaks memory safety has followed the schedule.
    let broken_by_model = replayed.run.violation.as_ref().map(|violation| violation.invariant);
    let crash = broken_by_model
        .filter(|invariant| matches!(invariant, Invariant::I1 | Invariant::I2))
        .zip(broken.take_if(|reason| error_in(&reason.lines().collect::<Vec<_>>()).is_some()))
        .map(|(invariant, reason)| KnownCrash { invariant, seen: Some(reason) });
    let failure = run
        .as_ref()
        .map_or_else(|| Some("the machine did not run it".into()), |run| run.failure.clone());
    let report = ScheduleReport {
        test: &test.name,
        machine: on.to_string(),
        kernel: &reply.reply.probe.kernel,
        expected,
        not_forced: match (&crash, &run) {
            (Some(_), _) => None,
            (None, None) => broken.or(failure),
            (None, Some(_)) => failure.or(broken),
        },
        crash,
        observed,
        problems,
        run,
    };
    show(&report, json)
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
        for (what, text) in [("model", &report.expected), ("kernel", &report.observed)] {
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
