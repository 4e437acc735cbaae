//! Runs tests with schedules on a guest.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ifq_model::test::Test;
use ifq_model::test::schedule::{Schedule, ScheduleOrder, Switch};

use super::controller::Controller;
use super::guest::Guest;
use super::record::ForcedRun;
use crate::job::{Job, JobLine, Reply};
use crate::machine::{Control, Failure, Qemu};

/// A test and the schedule that the kernel is to follow.
#[derive(Clone, Debug)]
pub struct Case {
    /// The test, without its schedule.
    pub test: Test,
    /// The schedule.
    pub lines: Vec<Switch>,
}

impl Case {
    /// The test as the guest gets it: with the faults that the schedule names.
    fn with_faults(&self) -> Test {
        let failing = self.lines.iter().flat_map(|line| &line.failing);
        let faults: Vec<_> = failing.map(|fault| fault.point).collect();
        let schedule = (!faults.is_empty()).then(|| Schedule {
            defects: Vec::new(),
            without: Vec::new(),
            order: ScheduleOrder::Switches(self.lines.clone()),
        });
        Test { max_faults: faults.len() as u32, faults, schedule, ..self.test.clone() }
    }
}

/// The answer of a guest.
#[derive(Debug)]
pub struct ForcedReply {
    /// Its reports.
    pub reply: Reply,
    /// One for each case. `None`: the guest did not run it.
    pub runs: Vec<Option<ForcedRun>>,
    /// The time from the begin of the first test of each boot to the end of its last one.
    pub served: Duration,
}

/// A wait of a forced test ends after so many milliseconds of the guest's clock without progress: threads that stand
/// make none.
const IDLE_TIMEOUT_MS: u64 = 8_000;
/// The controller notices earlier that a test is stuck.
const STUCK_TIMEOUT_MS: u64 = 600_000;

/// Runs each case once. All of them run in one boot, except after one that kills or blocks the guest.
///
/// # Errors
///
/// [`Failure`].
pub fn run(
    qemu: &Qemu,
    cases: &[Case],
    progress: &mut dyn FnMut(&JobLine),
) -> Result<ForcedReply, Failure> {
    let folder = tempfile::tempdir()
        .map_err(|error| Failure::NotRun(format!("a temporary folder: {error}")))?;
    let socket = folder.path().join("gdb");
    let tests: Vec<Test> = cases.iter().map(Case::with_faults).collect();
    let threads = tests.iter().map(|test| test.threads.len()).max().unwrap_or(1).max(1);
    let known = qemu.known_symbols();
    let job = Job {
        forced: true,
        symbols_known: known.is_some(),
        idle_timeout_ms: IDLE_TIMEOUT_MS,
        stuck_timeout_ms: STUCK_TIMEOUT_MS,
        crashes: true,
        ..Job::new(tests)
    };
    let (runs, served) = (Mutex::new(BTreeMap::new()), Mutex::new(Duration::ZERO));
    let (send, boots) = channel();
    let reply = std::thread::scope(|scope| {
        let (runs, socket, served) = (&runs, &socket, &served);
        scope.spawn(move || {
            let meet = |marker| {
                let read = |text: &str| qemu.remember_symbols(text);
                Guest::meet(socket, marker, known.as_deref(), &read)
            };
            let time = control(&boots, &meet, cases, runs);
            *served.lock().unwrap_or_else(PoisonError::into_inner) = time;
        });
        let control = Control { socket, threads };
        let reply = qemu.run_controlled(&job, control, &mut |line| {
            if let JobLine::Controlled { first, marker } = line {
                // The controller lives as long as this sender.
                let _ = send.send((*first, *marker));
            }
            progress(line);
        });
        drop(send);
        reply
    })?;
    let mut runs = runs.into_inner().unwrap_or_else(PoisonError::into_inner);
    let runs = (0..cases.len()).map(|at| runs.remove(&at)).collect();
    let served = served.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(ForcedReply { reply, runs, served })
}

/// Controls one boot after the other; returns the time that their tests took.
fn control(
    boots: &Receiver<(usize, u64)>,
    meet: &dyn Fn(u64) -> Result<Guest, String>,
    cases: &[Case],
    runs: &Mutex<BTreeMap<usize, ForcedRun>>,
) -> Duration {
    let mut time = Duration::ZERO;
    let add = |at: usize, run: ForcedRun| {
        runs.lock().unwrap_or_else(PoisonError::into_inner).insert(at, run);
    };
    for (first, marker) in boots {
        let current = std::cell::Cell::new(first);
        let start = std::cell::Cell::new(None);
        let end = std::cell::Cell::new(None);
        let schedule = |at: usize| {
            start.set(start.get().or_else(|| Some(Instant::now())));
            current.set(first + at);
            let case = cases.get(first + at)?;
            Some((&case.test, case.lines.as_slice()))
        };
        let met = meet(marker).and_then(Controller::new);
        let served = met.and_then(|mut one| {
            let served = one.serve(&schedule, &mut |at, run| {
                current.set(first + at + 1);
                end.set(Some(Instant::now()));
                add(first + at, run);
            });
            one.end_guest();
            served
        });
        if let (Some(start), Some(end)) = (start.get(), end.get()) {
            time += end.saturating_duration_since(start);
        }
        // A guest that has run all its tests ends, too.
        if let (Err(reason), true) = (served, current.get() < cases.len()) {
            add(current.get(), ForcedRun { failure: Some(reason), ..ForcedRun::default() });
        }
    }
    time
}
