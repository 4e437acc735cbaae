//! `ifq replay`: replays the schedule of a test file.

use std::path::PathBuf;
use std::rc::Rc;

use clap::Args as ClapArgs;
use ifq_sim::commands::replay::replay_traced;
use ifq_sim::format;
use ifq_sim::report::table::{Layout, MAX_TABLE_STEPS, render};
use ifq_sim::report::unfollowed::unfollowed_text;
use serde::Serialize;

use super::exit::{EXIT_DIFFERENCE, EXIT_OK};
use super::keep::layout;
use super::selection::usage_error;
use crate::machine::MachineSpec;

/// Arguments of `ifq replay`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq replay counterexamples/exits-race.import-7.3.early-put.I1.ifq\n\n\
    Exit code 0 if the run ends as the file expects (a violation, or none, and an outcome that agrees \
    with each condition), 1 if it does not. What a schedule in words leaves open is decided as follows: the \
    thread that ran last continues, otherwise the one that started first runs. If that run does not match, \
    the first matching run of a search is shown.")]
pub struct Args {
    /// A test file with a schedule; `-` is standard input
    pub file: PathBuf,
    /// Make the kernel of this machine follow the schedule: qemu:SERIES, qemu:SERIES+nic or kernel:PATH
    #[arg(long, value_name = "MACHINE", value_parser = MachineSpec::argument)]
    pub on: Option<MachineSpec>,
    /// Also show the steps of the setup
    #[arg(long)]
    pub full: bool,
    /// Print the trace as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Characters per line of the table [default: the width of the terminal, or 160]
    #[arg(long, value_parser = clap::value_parser!(u16).range(20..=1000))]
    pub width: Option<u16>,
}

#[derive(Serialize)]
struct ReplayReport<'a> {
    test: &'a str,
    violation: Option<&'a ifq_model::invariant::Violation>,
    outcome: Option<String>,
    as_expected: bool,
    diverged_at: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unmatched: Option<String>,
    trace: &'a ifq_sim::executor::Trace,
}

/// Replays the run and prints it; returns the exit code.
#[must_use]
pub fn replay(args: &Args) -> u8 {
    #[cfg(target_os = "linux")]
    if let Some(on) = &args.on {
        return super::force::follow(&args.file, on, args.json);
    }
    let test = match format::load(&args.file) {
        Ok(test) => Rc::new(test),
        Err(error) => return usage_error(error),
    };
    let Some(schedule) = &test.schedule else {
        let file = args.file.display();
        return usage_error(format!("{file}: has no schedule; expected a section `schedule`"));
    };
    let replayed = replay_traced(&test, schedule);
    let (run, diverged_at) = (replayed.run, replayed.diverged_at);
    let unmatched = replayed.unfollowed.as_ref().map(|why| unfollowed_text(&test, why));
    let violation = run.failure();
    let expected = test.expected(&replayed.variant);
    let outcome = run.outcome.as_ref().map(|outcome| outcome.display(&test));
    let wrong: Vec<String> =
        run.outcome.iter().flat_map(|o| test.contradicted(&replayed.variant, o)).collect();
    let as_expected = violation.as_ref().map(|v| v.invariant) == expected
        && diverged_at.is_none()
        && unmatched.is_none()
        && wrong.is_empty();
    let trace = run.trace.unwrap_or_default();
    if args.json {
        let violation = violation.as_ref();
        let report = ReplayReport {
            test: &test.name,
            violation,
            outcome,
            as_expected,
            diverged_at,
            unmatched,
            trace: &trace,
        };
        if let Ok(line) = serde_json::to_string(&report) {
            outln!("{line}");
        }
    } else {
        let width = args.width.unwrap_or(layout().width);
        let layout = Layout { width, full: args.full };
        if run.steps <= MAX_TABLE_STEPS {
            out!("{}", render(&trace, violation.as_ref(), layout));
        } else if let Some(violation) = &violation {
            outln!("{violation} in a run of {} steps", run.steps);
        }
        if let Some(at) = diverged_at {
            outln!("decision {at} of the schedule does not fit: that thread cannot run");
        }
        if let Some(why) = unmatched {
            outln!("no run matches the schedule: {why}");
        }
        if violation.is_none() {
            outln!("no violation");
        }
        if let Some(outcome) = outcome {
            outln!("outcome: {outcome}");
        }
        for condition in wrong {
            outln!("the outcome contradicts: {condition}");
        }
    }
    if as_expected { EXIT_OK } else { EXIT_DIFFERENCE }
}
