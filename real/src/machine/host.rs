//! The kernel that we run on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::workdir::WorkDir;
use super::{Failure, Machine, On, child};
use crate::job::{Job, Line, Reply};

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

    fn run(&self, job: &Job, progress: &mut dyn FnMut(&Line)) -> Result<Reply, Failure> {
        let not_run =
            |what: &str, error: &dyn std::fmt::Display| Failure::NotRun(format!("{what}: {error}"));
        let dir = WorkDir::new().map_err(Failure::NotRun)?;
        let (input, answer) = (dir.path().join("job.json"), dir.path().join("answer.jsonl"));
        let text = serde_json::to_vec(job).map_err(|error| not_run("the job", &error))?;
        std::fs::write(&input, text).map_err(|error| not_run("the job", &error))?;
        let console = dir.path().join("console");
        let log = File::create(&console).map_err(|error| not_run("the console", &error))?;
        let mut command = Command::new(&self.ifq);
        command.arg("guest").arg(&input).arg(&answer).stdin(std::process::Stdio::null());
        command.stdout(log.try_clone().map_err(|error| not_run("the console", &error))?);
        command.stderr(log);
        child::supervise(command, job, &answer, &console, progress)
    }
}
