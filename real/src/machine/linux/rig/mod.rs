//! The machine `rig:FILE`: a machine with a NIC, this one or one that ssh reaches.

mod ask;
mod converse;
mod peer_host;
mod remote;
mod return_of_rig;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::guest_channel::GuestChannel;
use super::guest_process::{self, BootResult};
use super::{process, retry};
use crate::job::{Job, JobLine, Reply, RunInfo};
use crate::kernels::supported::Equipment;
use crate::machine::{Failure, Machine, MachineSpec};
use crate::rig::RigFile;
use crate::rig::agent::{Action, Answer, Request};

pub use ask::ask;
use peer_host::PeerHost;
use remote::Remote;
use return_of_rig::ReturnOfRig;

/// Time limit for the first line of the answer: set-up and probe.
const START: Duration = Duration::from_secs(120);

/// How many times a job is begun if the connection is lost before it begins.
const ATTEMPTS: u32 = 3;

/// A hardware rig.
#[derive(Debug)]
pub struct HardwareRig {
    path: PathBuf,
    file: RigFile,
    remote: Remote,
    /// The peer's host, if the peer is not on the rig.
    peer: Option<Remote>,
}

impl HardwareRig {
    /// The rig of a file. `ifq` is the executable that travels to it.
    ///
    /// # Errors
    ///
    /// [`Failure::NotRun`] if the file cannot be read.
    pub fn new(ifq: &Path, path: &Path) -> Result<Self, Failure> {
        let file = RigFile::load(path).map_err(Failure::NotRun)?;
        let (remote, peer) = (Remote::new(ifq, &file), Remote::to_peer(ifq, &file));
        Ok(HardwareRig { path: path.to_path_buf(), file, remote, peer })
    }

    /// Runs a part of a job. A connection that is lost before the rig was up is made again.
    fn once(
        &self,
        job: &Job,
        how: &mut RunInfo,
        progress: &mut dyn FnMut(&JobLine),
    ) -> Result<BootResult, Failure> {
        let mut attempts = 1;
        loop {
            let boot = self.attempt(job, how, progress)?;
            let again = boot.probe.is_none() && attempts < ATTEMPTS && !process::interrupted();
            if !again || self.remote.boot_id().is_none() {
                return Ok(boot);
            }
            attempts += 1;
            how.notes.push("the connection to the rig was lost before the job began".into());
            self.remote.bring().map_err(Failure::NotRun)?;
            converse::restore(&self.file, &self.remote).map_err(Failure::NotRun)?;
        }
    }

    /// Runs a part of a job. A connection that is lost is no result of the kernel.
    fn attempt(
        &self,
        job: &Job,
        how: &mut RunInfo,
        progress: &mut dyn FnMut(&JobLine),
    ) -> Result<BootResult, Failure> {
        let before = self.remote.boot_id();
        let results = self.remote.results();
        let action = Action::Run { job: job.clone(), results: results.clone() };
        let request = Request { rig: self.file.rig.clone(), action };
        let channel = GuestChannel::new(|_| Ok(())).map_err(Failure::NotRun)?;
        let child = self.remote.start(&request, &channel).map_err(Failure::NotRun)?;
        let mut boot = guest_process::supervise_child(child, job, &channel, START, progress)?;
        for line in channel.answer(0).split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Answer::Refused { complaint }) => {
                    return Err(Failure::NotRun(self.file.error(*complaint).to_string()));
                }
                Ok(Answer::Failed { why }) if boot.probe.is_none() => {
                    return Err(Failure::NotRun(why));
                }
                Ok(Answer::Failed { why }) => how.notes.push(why),
                Ok(Answer::Note { text }) => how.notes.push(text),
                _ => {}
            }
        }
        if boot.complete || boot.reports.iter().all(Option::is_some) || boot.probe.is_none() {
            return Ok(boot);
        }
        let back = ReturnOfRig { file: &self.file, remote: &self.remote };
        back.after_the_end(&mut boot, before.as_deref(), &results, how)?;
        Ok(boot)
    }
}

impl Machine for HardwareRig {
    fn name(&self) -> String {
        MachineSpec::Rig(self.path.clone()).to_string()
    }

    fn equipment(&self) -> Equipment {
        MachineSpec::Rig(self.path.clone()).equipment()
    }

    fn run(&self, job: &Job, progress: &mut dyn FnMut(&JobLine)) -> Result<Reply, Failure> {
        // Installs the signal handlers.
        process::interrupted();
        self.remote.bring().map_err(Failure::NotRun)?;
        let _peer = PeerHost::start(&self.file, self.peer.as_ref())?;
        retry::run(job, RunInfo::default(), progress, &mut |part, how, progress| {
            self.once(part, how, progress)
        })
    }
}
