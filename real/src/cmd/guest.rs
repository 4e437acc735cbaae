//! The hidden subcommands that `ifq` starts inside a guest.

use std::path::Path;

#[cfg(not(target_os = "linux"))]
use super::exit::EXIT_NOT_RUN;
#[cfg(target_os = "linux")]
use super::exit::{EXIT_DIFFERENCE, EXIT_OK, EXIT_USAGE};

/// Runs a job and writes the answer; returns the exit code.
#[cfg(target_os = "linux")]
pub(super) fn run(job: &Path, answer: &Path) -> u8 {
    match crate::guest::run(job, answer) {
        Ok(()) => EXIT_OK,
        Err(error) => {
            errln!("ifq: {error}");
            EXIT_DIFFERENCE
        }
    }
}

/// Runs a shell on a terminal; returns the exit code.
#[cfg(target_os = "linux")]
pub(super) fn shell(line: &Path) -> u8 {
    match crate::guest::shell::run(line) {
        Ok(()) => EXIT_OK,
        Err(error) => {
            errln!("ifq: {error}");
            EXIT_USAGE
        }
    }
}

/// Guests need Linux.
#[cfg(not(target_os = "linux"))]
pub(super) fn run(_: &Path, _: &Path) -> u8 {
    EXIT_NOT_RUN
}

/// Guests need Linux.
#[cfg(not(target_os = "linux"))]
pub(super) fn shell(_: &Path) -> u8 {
    EXIT_NOT_RUN
}

/// Checks the soft NIC of this machine; returns the exit code.
#[cfg(target_os = "linux")]
pub(super) fn nic_selftest() -> u8 {
    let results = match crate::live::device::selftest::run() {
        Ok(results) => results,
        Err(error) => {
            errln!("ifq: {error}");
            return EXIT_USAGE;
        }
    };
    let failed = results.iter().filter(|(_, result)| result.is_err()).count();
    for (name, result) in &results {
        match result {
            Ok(()) => outln!("holds: {name}"),
            Err(why) => outln!("FAILS: {name}: {why}"),
        }
    }
    outln!("{} hold, {failed} fail", results.len() - failed);
    if failed == 0 { EXIT_OK } else { EXIT_DIFFERENCE }
}

/// Guests need Linux.
#[cfg(not(target_os = "linux"))]
pub(super) fn nic_selftest() -> u8 {
    EXIT_NOT_RUN
}

/// Carries out a request on a hardware rig; returns the exit code.
#[cfg(target_os = "linux")]
pub(super) fn rig_agent() -> u8 {
    if crate::guest::rig::run() { EXIT_OK } else { EXIT_DIFFERENCE }
}

/// Rigs need Linux.
#[cfg(not(target_os = "linux"))]
pub(super) fn rig_agent() -> u8 {
    EXIT_NOT_RUN
}
