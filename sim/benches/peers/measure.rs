//! Measures time and memory of a run.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::Found;

/// The result and the cost of a run.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) found: Found,
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
}

pub(crate) fn measure(run: impl FnOnce() -> Found) -> Measured {
    let (started, cpu) = (Instant::now(), cpu_time());
    let found = run();
    Measured { found, elapsed: started.elapsed(), cpu: cpu_time() - cpu }
}

/// CPU time of all threads of this process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Peak resident size of this process.
pub(crate) fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Peak resident size of a process that runs one contender once.
pub(crate) fn peak_of(contender: usize) -> Option<u64> {
    let program = std::env::current_exe().ok()?;
    let run = Command::new(program).args(["--peak", &contender.to_string()]).output().ok()?;
    let peak = String::from_utf8(run.stdout).ok()?.trim().parse().ok()?;
    (peak > 0).then_some(peak)
}
