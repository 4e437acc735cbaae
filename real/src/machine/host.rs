//! The kernel that we run on.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::wires::{ANSWER, INPUT, Wires};
use super::{Failure, Machine, On, child};
use crate::job::{How, Job, Line, Reply, Report};

/// Time for the first line.
const START: Duration = Duration::from_secs(30);

/// This host. The job runs in a child process, so that what hangs can be left behind.
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
        On::Host.to_string()
    }

    /// A host is not started again: the tests behind one that broke it are not run.
    fn run(&self, job: &Job, progress: &mut dyn FnMut(&Line)) -> Result<Reply, Failure> {
        let wires = Wires::new(|input| {
            let text = serde_json::to_vec(job).map_err(|error| format!("the job: {error}"))?;
            input.write_all(&text).map_err(|error| format!("the job: {error}"))
        })
        .map_err(Failure::NotRun)?;
        let mut command = Command::new(&self.ifq);
        command.args(["guest", INPUT, ANSWER]);
        wires.connect(&mut command).map_err(Failure::NotRun)?;
        let boot = child::supervise(command, job, &wires, START, progress)?;
        let Some(probe) = boot.probe else {
            return Err(Failure::NotRun(format!("before it was up: {}", boot.end)));
        };
        let boot_ms = u64::try_from(boot.up.as_millis()).unwrap_or(u64::MAX);
        let how = How { boots: 1, boot_ms, ..How::default() };
        let mut broken =
            boot.reports.iter().flatten().any(|report| matches!(report, Report::Broken { .. }));
        let missing = || {
            if std::mem::replace(&mut broken, true) {
                Report::NotRun { reason: "the process broke down in an earlier test".into() }
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
