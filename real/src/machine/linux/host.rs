//! The machine `host`: the running kernel.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::guest_channel::{ANSWER, GuestChannel, INPUT};
use super::guest_process;
use crate::job::{Job, JobLine, Reply, Report, RunInfo};
use crate::machine::{Failure, Machine, MachineSpec};

/// Time limit for the first line of the answer.
const START: Duration = Duration::from_secs(30);

/// This host. The job runs in a child process, so that a hanging test can be abandoned.
#[derive(Debug)]
pub struct Host {
    ifq: PathBuf,
}

impl Host {
    /// `ifq` is the executable that understands `ifq guest`.
    #[must_use]
    pub fn new(ifq: &Path) -> Self {
        Host { ifq: ifq.to_path_buf() }
    }
}

impl Machine for Host {
    fn name(&self) -> String {
        MachineSpec::Host.to_string()
    }

    /// The process is not started again after a hang or crash; the remaining tests are not run.
    fn run(&self, job: &Job, progress: &mut dyn FnMut(&JobLine)) -> Result<Reply, Failure> {
        let channel = GuestChannel::new(|input| {
            let text = serde_json::to_vec(job).map_err(|error| format!("the job: {error}"))?;
            input.write_all(&text).map_err(|error| format!("the job: {error}"))
        })
        .map_err(Failure::NotRun)?;
        let mut command = Command::new(&self.ifq);
        command.args(["guest", INPUT, ANSWER]);
        channel.connect(&mut command).map_err(Failure::NotRun)?;
        let boot = guest_process::supervise(command, job, &channel, START, progress)?;
        let Some(probe) = boot.probe else {
            return Err(Failure::NotRun(format!("before it was up: {}", boot.end)));
        };
        let boot_ms = u64::try_from(boot.up.as_millis()).unwrap_or(u64::MAX);
        let how = RunInfo { boots: 1, boot_ms, ..RunInfo::default() };
        let mut broken =
            boot.reports.iter().flatten().any(|report| matches!(report, Report::Broken { .. }));
        let missing = || {
            if std::mem::replace(&mut broken, true) {
                Report::NotRun { reason: "the process hung or crashed in an earlier test".into() }
            } else {
                Report::Broken { reason: format!("in this test {}", boot.end) }
            }
        };
        let mut missing = missing;
        let reports =
            boot.reports.into_iter().map(|report| report.unwrap_or_else(&mut missing)).collect();
        Ok(Reply { probe, reports, how })
    }
}
