//! `ifq replay`: repeat the run of a counterexample.

use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args as ClapArgs;
use ifq_model::revision::Variant;
use ifq_model::test::{Schedule, Test};
use serde::Serialize;

use super::counterexample::LONGEST_TABLE;
use super::{EXIT_DIFFERENCE, EXIT_OK, EXIT_USAGE, input};
use crate::executor::run::{RunResult, run_once, run_traced};
use crate::executor::scheduler::Replay;
use crate::format;
use crate::report::table::{Layout, render};

/// Arguments of `ifq replay`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq replay counterexamples/exits-race.import-7.3.early-put.I1.ifq\n\n\
    Exit code 0 if the run breaks what the file says, or holds if the file says so; 1 if not.")]
pub struct Args {
    /// A test file with a schedule
    pub file: PathBuf,
    /// Show the steps of set-up, too
    #[arg(long)]
    pub full: bool,
    /// The trace as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Characters in a line of the table
    #[arg(long, default_value_t = Layout::default().width)]
    pub width: u16,
}

#[derive(Serialize)]
struct Report<'a> {
    test: &'a str,
    violation: Option<&'a ifq_model::invariant::Violation>,
    as_expected: bool,
    diverged_at: Option<usize>,
    trace: &'a crate::executor::Trace,
}

/// Runs it.
#[must_use]
pub fn replay(args: &Args) -> u8 {
    let test = match format::load(&args.file) {
        Ok(test) => Rc::new(test),
        Err(error) => {
            input::complain(&[error]);
            return EXIT_USAGE;
        }
    };
    let Some(schedule) = &test.schedule else {
        let hint =
            format!("{}: has no schedule; expected a `schedule v1` line", args.file.display());
        input::complain(&[hint]);
        return EXIT_USAGE;
    };
    let variant = Variant::with(test.revisions[0], &schedule.defects).without(&schedule.without);
    let (run, diverged_at) = repeat(&test, &variant, schedule);
    let broken = run.failure();
    let as_expected =
        broken.as_ref().map(|v| v.invariant) == test.expected(&variant) && diverged_at.is_none();
    let trace = run.trace.unwrap_or_default();
    if args.json {
        let violation = broken.as_ref();
        let report =
            Report { test: &test.name, violation, as_expected, diverged_at, trace: &trace };
        if let Ok(line) = serde_json::to_string(&report) {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    } else {
        let layout = Layout { width: args.width, full: args.full };
        if run.steps <= LONGEST_TABLE {
            tell!("{}", render(&trace, broken.as_ref(), layout));
        } else if let Some(broken) = &broken {
            say!("{broken} in a run of {} steps", run.steps);
        }
        if let Some(at) = diverged_at {
            say!("decision {at} of the schedule does not fit: that thread cannot run");
        }
        if broken.is_none() {
            say!("nothing broke");
        }
    }
    if as_expected { EXIT_OK } else { EXIT_DIFFERENCE }
}

/// The run, with its trace if that can be shown, and the decision that did not fit.
fn repeat(test: &Rc<Test>, variant: &Variant, schedule: &Schedule) -> (RunResult, Option<usize>) {
    let replay = Replay::new(&schedule.decisions);
    let diverged = replay.diverged();
    let run = run_once(test, variant, Box::new(replay));
    if run.steps > LONGEST_TABLE {
        return (run, diverged.get());
    }
    let run = run_traced(test, variant, Box::new(Replay::new(&schedule.decisions)));
    (run, diverged.get())
}
