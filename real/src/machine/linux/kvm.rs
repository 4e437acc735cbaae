//! Checks whether KVM works. The device may exist and still not work, so a kernel is started.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::guest_channel::{ANSWER, GuestChannel};
use super::process::{KillOnDrop, POLL_INTERVAL, interrupted};
use super::qemu_binary::PROGRAM;

/// The device.
const DEVICE: &str = "/dev/kvm";
/// Time limit for the start of the kernel until its panic, which takes about 1 s.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Checks that KVM starts this kernel. The result is computed once per process.
///
/// # Errors
///
/// Why KVM does not work.
pub(super) fn works(kernel: &Path) -> Result<(), String> {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    TRIED.get_or_init(|| attempt(kernel)).clone()
}

/// Starts the kernel without an init program and waits until it panics for want of one.
///
/// The first output is not enough: KVM can fail in the middle of the start.
fn attempt(kernel: &Path) -> Result<(), String> {
    File::options()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(|error| format!("{DEVICE}: {error}"))?;
    let channel = GuestChannel::new(|_| Ok(()))?;
    let mut command = Command::new(PROGRAM);
    command
        .args(["-machine", "q35", "-accel", "kvm", "-cpu", "host", "-smp", "1", "-m", "256"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .args(["-chardev", &format!("file,id=console,append=on,path={ANSWER}")])
        .args(["-serial", "chardev:console", "-append", "earlyprintk=ttyS0 panic=-1", "-kernel"])
        .arg(kernel);
    channel.connect(&mut command)?;
    let mut child = KillOnDrop::start(command)?;
    let start = Instant::now();
    loop {
        let ended = child.exit_status();
        let complaint = channel.console();
        let first = complaint.lines().find(|line| !line.trim().is_empty());
        match (ended, first) {
            // QEMU prints only errors. After an internal error it stays paused.
            (_, Some(line)) => return Err(format!("{DEVICE} does not work: {line}")),
            // A kernel without a root file system panics, and a panic ends QEMU.
            (Some(status), None) if status.success() && !channel.answer(0).is_empty() => {
                return Ok(());
            }
            (Some(status), None) => return Err(format!("{DEVICE} does not work ({status})")),
            (None, None) if interrupted() => return Err("interrupted".into()),
            (None, None) if start.elapsed() > TIME_LIMIT => {
                let seconds = TIME_LIMIT.as_secs();
                return Err(format!(
                    "{DEVICE} does not work: the kernel did not start in {seconds} s"
                ));
            }
            (None, None) => std::thread::sleep(POLL_INTERVAL),
        }
    }
}
