//! The process inside a machine: reads a job, runs it on the running kernel and writes the answer. As
//! the init process of a guest it also sets the guest up and powers it off.

mod answer;
mod controlled;
mod coverage;
mod init;
mod injected_failure;
pub mod rig;
pub mod shell;
mod watchdog;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ifq_model::invariant::Invariant;
use ifq_model::test::Test;

use crate::abi::marker::Marker;
use crate::abi::syscall;
use crate::job::{Job, JobLine, KERNEL_LOG, Report};
use crate::kernels::series::variant_for;
use crate::kernels::supported::{breaks_memory, may_crash};
use crate::live::device::{self, Nic};
use crate::live::kernel_log::{KernelLogWatch, expected_warnings};
use crate::live::leak_check::{AllocationSnapshot, Kmemleak, MemlockProbe, ProcessSnapshot};
use crate::live::probe::probe;
use crate::live::{self, Options};

use answer::AnswerWriter;
use init::{power_off, set_up};

pub use init::MODULE;
use injected_failure::inject;
use watchdog::Watchdog;

/// So many tests of a controlled guest share one scan of all objects of the kernel. A leak is a problem of the last of them.
const TESTS_PER_SCAN: usize = 32;

/// Runs the job in the file `job` and appends [`JobLine`]s to `answer`. Does not return as process 1.
///
/// # Errors
///
/// A message for the user: a file cannot be read or written.
pub fn run(job: &Path, answer: &Path) -> Result<(), String> {
    let is_init = std::process::id() == 1;
    let result =
        if is_init { set_up().and_then(|()| run_job(job, answer)) } else { run_job(job, answer) };
    if is_init {
        if let Err(error) = &result {
            errln!("ifq: {error}");
        }
        power_off();
    }
    result
}

fn run_job(job: &Path, answer: &Path) -> Result<(), String> {
    let text = std::fs::read(job).map_err(|error| format!("reading {}: {error}", job.display()))?;
    let job: Job = serde_json::from_slice(&text).map_err(|error| format!("the job: {error}"))?;
    let answer = AnswerWriter::open(answer)?;
    let mut probe = probe();
    if let Some(rig) = &job.device {
        probe.nic = crate::live::probe::nic(&rig.nic.interface);
    }
    let nic = device::open(job.device.as_ref())?;
    let obstacles: Vec<_> =
        job.tests.iter().map(|test| probe.obstacle_to(test, job.crashes)).collect();
    let kernel = probe.kernel.clone();
    answer.write(&JobLine::Ready { probe })?;
    // First the memlock probe: threads started from here on are charged for locked memory.
    let memlock = MemlockProbe::start();
    let mut checks = Checks {
        kernel_log: KernelLogWatch::start(),
        allocations: AllocationSnapshot::take(),
        kmemleak: Kmemleak::start(),
        memlock,
        kernel: kernel.clone(),
    };
    if job.forced {
        controlled::free_packets_at_once();
        controlled::meet_controller(&answer, job.symbols_known)?;
    }
    for (at, obstacle) in obstacles.into_iter().enumerate() {
        if obstacle.is_none() && breaks(&kernel, &job.tests[at]).is_some() {
            // A crash would lose the counters of all tests before it.
            coverage::send(&answer)?;
        }
        let report = match obstacle {
            Some(reason) => Report::NotRun { reason },
            None => run_test(&job, at, &answer, nic.as_ref(), &mut checks),
        };
        let damaged = is_damaged(&kernel, &job.tests[at], &report);
        answer.write(&JobLine::Test { test: at, report })?;
        if damaged && at + 1 < job.tests.len() {
            coverage::send(&answer)?;
            answer.write(&JobLine::Damaged)?;
            answer.drain();
            return Ok(());
        }
    }
    coverage::send(&answer)?;
    answer.write(&JobLine::End)?;
    answer.drain();
    Ok(())
}

/// Whether the kernel did what may damage it in a test: an error in its log, or something that is left behind. It says
/// little about later tests then.
fn is_damaged(kernel: &str, test: &Test, report: &Report) -> bool {
    let Report::Completed { problems, .. } = report else { return false };
    let Some(breaks) = breaks(kernel, test) else { return false };
    problems.iter().any(|problem| !breaks_memory(breaks) || problem.starts_with(KERNEL_LOG))
}

/// The invariant that this kernel may break in a test, so that the guest may be damaged.
fn breaks(kernel: &str, test: &Test) -> Option<Invariant> {
    variant_for(test, kernel).ok().and_then(|variant| may_crash(test, &variant))
}

/// The checks of the whole guest that follow each test.
struct Checks {
    kernel_log: KernelLogWatch,
    allocations: AllocationSnapshot,
    kmemleak: Option<Kmemleak>,
    memlock: Option<MemlockProbe>,
    kernel: String,
}

fn run_test(
    job: &Job,
    at: usize,
    answer: &AnswerWriter,
    nic: Option<&Arc<Nic>>,
    checks: &mut Checks,
) -> Report {
    let test = &job.tests[at];
    let idle_timeout = Duration::from_millis(job.idle_timeout_ms);
    let options = Options {
        times: job.times,
        seed: job.seed,
        idle_timeout,
        forced: job.forced,
        sweep: job.sweep,
    };
    let mut resources = ProcessSnapshot::take();
    let done = Arc::new(AtomicU32::new(0));
    let limit = Duration::from_millis(job.stuck_timeout_ms)
        + idle_timeout * u32::try_from(test.steps().count()).unwrap_or(u32::MAX);
    let watchdog = Watchdog::start(at, Arc::clone(&done), answer.clone(), limit);
    if let Some(failure) = job.injected.filter(|_| at == 0 && std::process::id() == 1) {
        inject(failure);
    }
    let mark = |marker| _ = job.forced.then(|| syscall::mark(marker));
    mark(Marker::Begin(at as u64));
    let result = live::run(test, &options, nic, &|| {
        done.fetch_add(1, Ordering::Relaxed);
    });
    mark(Marker::End(at as u64));
    watchdog.stop();
    match result {
        Ok(observed) => {
            let mut problems = observed.problems;
            let leaks = resources.leaks().into_iter().filter(|leak| !problems.contains(leak));
            problems.extend(leaks.collect::<Vec<_>>());
            let beat = || {
                // The reader of the answer may be gone; the checks continue.
                let _ = answer.write(&JobLine::Beat { test: at, done: job.times });
            };
            let last = at + 1 == job.tests.len();
            // The clock of a controlled guest skips idle time, and says nothing about the cost of a scan.
            let due = !job.forced || last || (at + 1).is_multiple_of(TESTS_PER_SCAN);
            let memlock = checks.memlock.as_mut().filter(|_| due);
            // What such a test leaves behind must not be taken for a leak of the next one.
            let now = last || job.forced || breaks(&checks.kernel, test).is_some();
            problems.extend(memlock.into_iter().flat_map(|memlock| memlock.leaks(now, &beat)));
            if due {
                problems.extend(checks.allocations.leaks(now, &beat));
            }
            // One scan for all tests of the guest: it takes seconds.
            let kmemleak = checks.kmemleak.as_ref().filter(|_| last);
            problems.extend(kmemleak.into_iter().flat_map(|kmemleak| kmemleak.leaks(&beat)));
            problems.extend(checks.kernel_log.new_warnings(expected_warnings(test)));
            let histogram = observed.histogram.into_iter().collect();
            let live::Observations { stalls, start_skew, packets, failures, .. } = observed;
            Report::Completed { histogram, problems, stalls, start_skew, packets, failures }
        }
        Err(reason) => Report::NotRun { reason },
    }
}
