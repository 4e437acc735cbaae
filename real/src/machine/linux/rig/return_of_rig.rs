//! What happens when the answer of a rig ends early: the connection was lost, or the kernel crashed or hangs.

use std::process::Command;

use super::super::guest_process::BootResult;
use super::super::process::{interrupted, output};
use super::converse;
use super::remote::{Remote, wait_for_boot};
use crate::job::{JobLine, RunInfo};
use crate::kernels::kernel_error::is_error;
use crate::machine::Failure;
use crate::rig::RigFile;
use crate::rig::agent::Action;

/// Bytes of a kernel log that are shown.
const LOG: usize = 4000;

/// A rig whose answer has ended.
#[derive(Debug)]
pub(super) struct ReturnOfRig<'r> {
    pub(super) file: &'r RigFile,
    pub(super) remote: &'r Remote,
}

impl ReturnOfRig<'_> {
    /// Finds out why the answer ended, and waits until the rig can go on.
    pub(super) fn after_the_end(
        &self,
        boot: &mut BootResult,
        before: Option<&str>,
        results: &str,
        how: &mut RunInfo,
    ) -> Result<(), Failure> {
        let limit = self.file.machine.reconnect_seconds;
        let now = wait_for_boot(self.remote, limit, interrupted);
        if interrupted() {
            return Err(Failure::Interrupted);
        }
        match (now.as_deref(), before) {
            (Some(now), Some(before)) if now == before => {
                self.lost(boot, results, how);
                Ok(())
            }
            (Some(_), _) => {
                self.after_a_boot(boot, results, how);
                let why = format!("its kernel was booted again meanwhile\n{}", self.log());
                boot.end = format!("{why}\n{}", boot.end);
                Ok(())
            }
            (None, _) => self.reboot(boot, results, how),
        }
    }

    /// The connection was lost, and the kernel runs on: takes what was finished, and restores the rig.
    fn lost(&self, boot: &mut BootResult, results: &str, how: &mut RunInfo) {
        // A test that hung is a result, and no line follows it.
        let restored = converse::restore(self.file, self.remote);
        if let Err(error) = &restored {
            how.notes.push(format!("the connection was lost, and {error}"));
        }
        self.take_results(boot, results);
        boot.lost = true;
        how.notes.push(format!(
            "the connection to the rig was lost after {} results",
            boot.reports.iter().flatten().count()
        ));
    }

    /// The rig is back: brings the program, which a folder in memory has lost, and takes what was finished.
    fn after_a_boot(&self, boot: &mut BootResult, results: &str, how: &mut RunInfo) {
        match self.remote.bring() {
            Ok(()) => self.take_results(boot, results),
            Err(error) => how.notes.push(error),
        }
    }

    /// Takes the results that were finished and have not arrived, and removes their file.
    fn take_results(&self, boot: &mut BootResult, results: &str) {
        let request = Action::<()>::Results { results: results.to_owned() };
        let Ok(lines) = converse::lines(self.file, self.remote, request) else { return };
        for line in lines {
            if let Ok(JobLine::Test { test, report }) = serde_json::from_value(line)
                && let Some(place) = boot.reports.get_mut(test)
            {
                place.get_or_insert(report);
            }
        }
        self.remote.remove(results);
    }

    /// The end of the console, or of the log that the kernel has kept over a reboot.
    fn log(&self) -> String {
        let console = self.file.reboot.as_ref().and_then(|reboot| reboot.log.as_deref());
        let text = match console {
            Some(script) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", script]);
                output(command).map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            }
            None => self.remote.shell("cat /sys/fs/pstore/* 2>/dev/null || true"),
        };
        let text = text.unwrap_or_else(|error| format!("its log cannot be read: {error}"));
        format!("from its log:\n{}", excerpt(&text))
    }

    /// The rig does not answer: reboots it, if its file says how.
    fn reboot(
        &self,
        boot: &mut BootResult,
        results: &str,
        how: &mut RunInfo,
    ) -> Result<(), Failure> {
        let limit = self.file.machine.reconnect_seconds;
        boot.end = format!("the rig did not answer for {limit} s\n{}\n{}", self.log(), boot.end);
        let Some(reboot) = &self.file.reboot else {
            how.notes.push("the rig does not answer, and its file has no [reboot]".into());
            return Ok(());
        };
        if how.boots > reboot.most {
            how.notes
                .push(format!("the rig was rebooted {} times, which is the most", reboot.most));
            return Ok(());
        }
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &reboot.command]);
        if let Err(error) = output(command) {
            how.notes.push(format!("rebooting the rig: {error}"));
            return Ok(());
        }
        how.notes.push("the rig was rebooted".into());
        if wait_for_boot(self.remote, reboot.seconds, interrupted).is_none() {
            how.notes.push(format!("the rig did not come back in {} s", reboot.seconds));
        } else {
            self.after_a_boot(boot, results, how);
        }
        Ok(())
    }
}

/// The part of a log that tells why the kernel ended: from the error before the last panic on, or the end. The next
/// boot may have written to it already.
fn excerpt(log: &str) -> &str {
    let boundary =
        |from: usize| (from..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(log.len());
    let Some(panic) = log.rfind("Kernel panic") else {
        return log[boundary(log.len().saturating_sub(LOG))..].trim();
    };
    let near = boundary(panic.saturating_sub(LOG / 2));
    let mut start = panic;
    let mut at = near;
    for line in log[near..panic].split_inclusive('\n') {
        if is_error(line) {
            start = at;
            break;
        }
        at += line.len();
    }
    log[start..boundary(log.len().min(start + LOG))].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_excerpt_of_a_log_is_the_panic_with_its_reason_although_the_next_boot_has_written_more() {
        let boot = "[0.0] a line of a boot, which says nothing\n".repeat(200);
        let crash =
            "[9.1] BUG: kernel NULL pointer dereference\n[9.1] RIP: x\n[9.2] Kernel panic\n";
        let log = format!("{boot}{crash}{boot}");
        let shown = excerpt(&log);
        assert!(shown.starts_with("[9.1] BUG: kernel"), "{shown}");
        assert!(shown.contains("Kernel panic") && shown.len() <= LOG);
        assert!(excerpt(&boot).len() <= LOG && boot.trim().ends_with(excerpt(&boot)));
        let panic =
            format!("{boot}[9.2] Kernel panic - not syncing: sysrq triggered crash\n{boot}");
        assert!(excerpt(&panic).contains("sysrq"));
        assert_eq!(excerpt(""), "");
        assert!(excerpt(&"ä".repeat(LOG)).len() <= LOG);
    }
}
