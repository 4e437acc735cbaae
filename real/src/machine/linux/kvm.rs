//! Whether the host's processor can run guests: a device that is there may still not work, and only
//! a kernel that really starts shows it.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::guest_channel::{ANSWER, GuestChannel};
use super::process::{KillOnDrop, LOOK, interrupted};
use super::qemu_binary::PROGRAM;

/// The device.
const DEVICE: &str = "/dev/kvm";
/// Time for a kernel's first word; it takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether KVM starts this kernel, tried once for this process.
///
/// # Errors
///
/// Why it does not.
pub(super) fn works(kernel: &Path) -> Result<(), String> {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    TRIED.get_or_init(|| attempt(kernel)).clone()
}

/// Starts the kernel without anything to run, and waits for the first word of it.
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
        let ended = child.ended();
        let complaint = channel.console();
        if !channel.answer(0).is_empty() {
            return Ok(());
        }
        let first = complaint.lines().find(|line| !line.trim().is_empty());
        match (ended, first) {
            // QEMU is silent when all is well; after an internal error it stands still.
            (_, Some(line)) => return Err(format!("{DEVICE} does not work: {line}")),
            (Some(status), None) => return Err(format!("{DEVICE} does not work ({status})")),
            (None, None) if interrupted() => return Err("interrupted".into()),
            (None, None) if start.elapsed() > PATIENCE => {
                let seconds = PATIENCE.as_secs();
                return Err(format!(
                    "{DEVICE} does not work: no word from a kernel in {seconds} s"
                ));
            }
            (None, None) => std::thread::sleep(LOOK),
        }
    }
}
