//! `ifq conform --force`: forces each outcome that the model allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ifq_model::outcome::Outcome;
use ifq_model::test::Test;
use ifq_sim::format::Input;
use serde::Serialize;

use super::{execute, kernel_of};
use crate::cmd::exit::{EXIT_DIFFERENCE, EXIT_NOT_RUN, EXIT_OK, combined};
use crate::cmd::live::Live;
use crate::conform::force::{Attempt, Wanted, attempt, plain, wanted};
use crate::conform::oracle::Oracle;
use crate::conform::progress::Progress;
use crate::conform::run::{IDLE_TIMEOUT_MS, RunOptions};
use crate::forced::{Case, ForcedReply, ForcedRun};
use crate::job::{Job, JobLine, Report};
use crate::kernels::series::built_as;
use crate::kernels::supported::{Equipment, unsupported};
use crate::machine::MachineSpec;

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
    /// Number of those that were seen when the threads were released together. `None`: they were not.
    seen: Option<usize>,
    /// Number of those that the kernel was made to have.
    forced: usize,
    /// Number of those that it was not made to have.
    not_forced: usize,
    /// Number of outcomes and problems that the model does not allow.
    outside: usize,
    /// Which they are.
    outside_of_model: Vec<&'a str>,
    attempts: &'a [Attempt],
}

/// A test that is to be forced.
struct Planned {
    test: Test,
    path: String,
    wanted: Result<Vec<Wanted>, String>,
    attempts: Vec<Attempt>,
    seen: Option<Seen>,
}

/// What was observed without a schedule.
struct Seen {
    allowed: usize,
    outside: Vec<String>,
}

/// Forces each outcome that the model allows of each test with a race, on each machine; returns the exit code.
#[must_use]
pub(in crate::cmd) fn conform(inputs: &[Input], on: &[MachineSpec], live: &Live, json: bool) -> u8 {
    let races: Vec<&Input> = inputs.iter().filter(|one| one.test.threads.len() > 1).collect();
    if races.len() < inputs.len() && !json {
        outln!("{} of {} files have a race", races.len(), inputs.len());
    }
    combined(on.iter().map(|on| conform_on(&races, on, live, json)))
}

fn conform_on(inputs: &[&Input], on: &MachineSpec, live: &Live, json: bool) -> u8 {
    let kernel = match kernel_of(on) {
        Ok(kernel) => kernel,
        Err(reason) => {
            errln!("ifq: {on} not run: {reason}");
            return EXIT_NOT_RUN;
        }
    };
    let mut planned = plan_all(inputs, on, &kernel, live);
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
    let ran = match cases.is_empty() {
        true => Err("no schedule is left to follow".to_owned()),
        false => execute(on, &cases),
    };
    let reply = match ran {
        Ok(reply) => reply,
        Err(reason) => {
            for one in planned.iter().filter(|one| one.wanted.is_err()) {
                let why = one.wanted.as_ref().err().map_or("", String::as_str);
                errln!("ifq: {}: not run: {why}", one.path);
            }
            errln!("ifq: {on} not run: {reason}");
            return EXIT_NOT_RUN;
        }
    };
    if live.times.is_some() {
        see(&mut planned, on, live);
    }
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
    print(&planned, on, &reply, json)
}

/// Releases the threads of each test together, and counts the outcomes.
fn see(planned: &mut [Planned], on: &MachineSpec, live: &Live) {
    let options = live.options(1, IDLE_TIMEOUT_MS);
    let mut able: Vec<&mut Planned> = planned.iter_mut().filter(|p| p.wanted.is_ok()).collect();
    let tests = able.iter().map(|one| one.test.clone()).collect();
    let RunOptions { times, seed, idle_timeout_ms, .. } = options;
    let job = Job { times, seed, idle_timeout_ms, crashes: true, ..Job::new(tests) };
    let progress = Progress::new();
    let ran = on.machine_with(live.cpus).and_then(|machine| {
        machine.run(&job, &mut |line| {
            if let JobLine::Test { test, .. } = line {
                let all = job.tests.len();
                progress.machine(format!("{on}: without a schedule {} of {all} tests", test + 1));
            }
        })
    });
    progress.clear();
    let reports = match ran {
        Ok(reply) => reply.reports,
        Err(failure) => return errln!("ifq: {on}: not run without a schedule: {failure}"),
    };
    for (one, report) in able.iter_mut().zip(&reports) {
        let (Ok(wanted), Report::Completed { histogram, problems, .. }) = (&one.wanted, report)
        else {
            continue;
        };
        let is_allowed = |seen: &Outcome| wanted.iter().any(|one| one.outcome == *seen);
        let (inside, outside): (Vec<&Outcome>, Vec<&Outcome>) =
            histogram.iter().map(|(outcome, _)| outcome).partition(|seen| is_allowed(seen));
        let outside = outside.iter().map(|outcome| outcome.display(&one.test));
        let expected =
            |what: &&String| wanted.iter().any(|one| one.expected.contains(&what.as_str()));
        let problems = problems.iter().filter(|what| !expected(what)).cloned();
        let outside = outside.chain(problems).collect();
        one.seen = Some(Seen { allowed: inside.len(), outside });
    }
}

/// The outcomes of each test that are to be forced, in the order of the tests.
fn plan_all(inputs: &[&Input], on: &MachineSpec, kernel: &str, live: &Live) -> Vec<Planned> {
    let (next, progress) = (AtomicUsize::new(0), Progress::new());
    let planned = Mutex::new(BTreeMap::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(inputs.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(input) = inputs.get(at) else { break };
                    progress.model(format!("runs searched for {at} of {} tests", inputs.len()));
                    let one = plan(input, on, kernel, live);
                    planned.lock().unwrap_or_else(PoisonError::into_inner).insert(at, one);
                }
            });
        }
    });
    progress.clear();
    planned.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// The outcomes of a test that are to be forced.
fn plan(input: &Input, on: &MachineSpec, kernel: &str, live: &Live) -> Planned {
    let test = plain(&input.test);
    let oracle = live.explorer();
    let equipment = Equipment { built_as: built_as(kernel), ..on.equipment() };
    let wanted = match unsupported(&test, equipment) {
        Some(reason) => Err(reason),
        None => oracle.variant(&test, kernel).and_then(|variant| {
            wanted(&test, &variant, &oracle, Duration::from_secs(live.search_seconds))
        }),
    };
    Planned { test, path: input.path.clone(), wanted, attempts: Vec::new(), seen: None }
}

/// Numbers over all tests.
#[derive(Default)]
struct Sum {
    allowed: usize,
    seen: Option<usize>,
    forced: usize,
    outside: usize,
    not_run: usize,
}

fn print(planned: &[Planned], on: &MachineSpec, reply: &ForcedReply, json: bool) -> u8 {
    let mut table = crate::output::table();
    table.set_header(["test", "allowed", "seen", "forced", "not forced", "outside"]);
    let (mut sum, mut notes) = (Sum::default(), String::new());
    for one in planned {
        let forced = one.attempts.iter().filter(|one| one.not_forced.is_none()).count();
        let lucky = one.seen.iter().flat_map(|seen| &seen.outside);
        let outside: Vec<&str> = one
            .attempts
            .iter()
            .flat_map(|one| &one.outside)
            .chain(lucky)
            .map(String::as_str)
            .collect();
        let line = TestLine {
            test: &one.test.name,
            machine: on.to_string(),
            kernel: Some(&reply.reply.probe.kernel),
            not_run: one.wanted.as_ref().err().cloned(),
            allowed: one.attempts.len(),
            seen: one.seen.as_ref().map(|seen| seen.allowed),
            forced,
            not_forced: one.attempts.len() - forced,
            outside: outside.len(),
            outside_of_model: outside,
            attempts: &one.attempts,
        };
        sum.allowed += line.allowed;
        sum.seen = line.seen.map(|seen| sum.seen.unwrap_or(0) + seen).or(sum.seen);
        sum.forced += line.forced;
        sum.outside += line.outside;
        sum.not_run += usize::from(line.not_run.is_some());
        if json {
            if let Ok(text) = serde_json::to_string(&line) {
                outln!("{text}");
            }
            continue;
        }
        if let Some(reason) = &line.not_run {
            notes.push_str(&format!("{}: not run: {reason}\n", one.path));
        } else {
            table.add_row([
                one.path.clone(),
                line.allowed.to_string(),
                line.seen.map_or("-".to_owned(), |seen| seen.to_string()),
                line.forced.to_string(),
                line.not_forced.to_string(),
                line.outside.to_string(),
            ]);
        }
        for failed in one.attempts.iter().filter(|one| one.not_forced.is_some()) {
            let why = failed.not_forced.as_deref().unwrap_or_default();
            notes
                .push_str(&format!("{}: {} not forced, because {why}\n", one.path, failed.outcome));
        }
        for what in &line.outside_of_model {
            notes.push_str(&format!("{}: outside: {what}\n", one.path));
        }
    }
    if !json {
        outln!("{}", table.trim_fmt());
        out!("{notes}");
        let seen =
            sum.seen.map_or(String::new(), |seen| format!(", {seen} seen without a schedule"));
        outln!(
            "{on}, kernel {}: {} of {} allowed outcomes forced{seen}, {} outside; tests not run: {}",
            reply.reply.probe.kernel,
            sum.forced,
            sum.allowed,
            sum.outside,
            sum.not_run,
        );
        let (count, seconds) = (reply.runs.len(), reply.served.as_secs_f64());
        outln!(
            "{count} schedules in {seconds:.1} s after {} boots, {:.1} a second",
            reply.reply.how.boots,
            count as f64 / seconds.max(0.001),
        );
    }
    match (sum.outside, sum.allowed - sum.forced) {
        (1.., _) => EXIT_DIFFERENCE,
        (0, 1..) => EXIT_NOT_RUN,
        (0, 0) => EXIT_OK,
    }
}
