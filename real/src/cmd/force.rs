//! `ifq conform --force`, `ifq run --force` and `ifq replay --on`: makes a kernel follow schedules.

mod all_outcomes;
mod one_schedule;

use crate::conform::progress::Progress;
use crate::forced::{self, Case, ForcedReply};
use crate::job::{Job, JobLine};
use crate::machine::{Failure, MachineSpec, Qemu};

pub(super) use all_outcomes::conform;
pub(super) use one_schedule::follow;

/// The guest of a machine that can be controlled.
fn controlled(on: &MachineSpec) -> Result<Qemu, String> {
    let ifq = std::env::current_exe().map_err(|error| format!("where ifq itself is: {error}"))?;
    let qemu = match on {
        MachineSpec::Qemu(series) => Qemu::debian(&ifq, *series, 1),
        MachineSpec::QemuNic(series) => Qemu::debian(&ifq, *series, 1).map(Qemu::with_nic),
        MachineSpec::Built { name, nic } => {
            let machine = Qemu::built(&ifq, name, 1).map_err(|failure| failure.to_string())?;
            Ok(if *nic { machine.with_nic() } else { machine })
        }
        MachineSpec::Kernel(path) => Ok(Qemu::file(&ifq, path, 1)),
        MachineSpec::Host | MachineSpec::Uml | MachineSpec::Rig(_) => {
            return Err(format!("schedules are forced in QEMU only, not on {on}"));
        }
    };
    qemu.map_err(|error| error.to_string())
}

/// The release of a machine's kernel. A kernel that no package names is booted to ask it.
fn kernel_of(on: &MachineSpec) -> Result<String, String> {
    if let Some(release) = controlled(on)?.release().map_err(|failure| failure.to_string())? {
        return Ok(release);
    }
    let machine = on.machine_with(1).map_err(|failure| failure.to_string())?;
    let probed = machine.run(&Job::probe(), &mut |_| {}).map_err(|failure| failure.to_string())?;
    Ok(probed.probe.kernel)
}

fn execute(on: &MachineSpec, cases: &[Case]) -> Result<ForcedReply, String> {
    let qemu = controlled(on)?;
    let progress = Progress::new();
    progress.machine(format!("{on} boots"));
    let result = forced::run(&qemu, cases, &mut |line| {
        if let JobLine::Test { test, .. } = line {
            progress.machine(format!("{on}: forced {} of {} schedules", test + 1, cases.len()));
        }
    });
    progress.clear();
    result.map_err(|failure| match failure {
        Failure::NotRun(reason) => reason,
        Failure::Interrupted => "interrupted".to_owned(),
    })
}
