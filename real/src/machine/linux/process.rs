//! Child processes that are killed when dropped, and interrupts by the user.

use std::fmt::Debug;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::abi::syscall;

/// Time between two checks of a process.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A child process in its own process group. Dropping this kills the group; the kernel kills the child
/// if this process dies.
#[derive(Debug)]
pub(super) struct KillOnDrop {
    child: Child,
    /// What is dropped first when this is dropped: the child is asked to end.
    before: Option<Box<dyn Debug + Send>>,
    /// Time that the child then has before it is killed.
    grace: Duration,
}

impl KillOnDrop {
    pub(super) fn start(mut command: Command) -> Result<Self, String> {
        command.process_group(0);
        KillOnDrop::start_in_foreground(command)
    }

    /// Like [`KillOnDrop::start`], but in the process group of this process, which owns the terminal.
    /// Processes that the child starts are not killed.
    pub(super) fn start_in_foreground(mut command: Command) -> Result<Self, String> {
        syscall::kill_with_parent(&mut command);
        KillOnDrop::spawn(command, Duration::ZERO)
    }

    /// A child that has something to put in order at its end, and notices the death of this process by itself.
    pub(super) fn start_with_grace(mut command: Command, grace: Duration) -> Result<Self, String> {
        command.process_group(0);
        KillOnDrop::spawn(command, grace)
    }

    fn spawn(mut command: Command, grace: Duration) -> Result<Self, String> {
        let start = command.spawn();
        start
            .map(|child| KillOnDrop { child, before: None, grace })
            .map_err(|error| format!("starting {}: {error}", command.get_program().display()))
    }

    /// Keeps something as long as the child is not asked to end.
    pub(super) fn with(mut self, before: Box<dyn Debug + Send>) -> Self {
        self.before = Some(before);
        self
    }

    /// The exit status, if the child has exited.
    pub(super) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        drop(self.before.take());
        let start = Instant::now();
        while start.elapsed() < self.grace && self.exit_status().is_none() {
            std::thread::sleep(POLL_INTERVAL);
        }
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // The group may be gone already, or may never have been.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the user interrupted this process. The first call installs the signal handlers.
pub fn interrupted() -> bool {
    interrupt_flag().load(Ordering::Relaxed)
}

/// The flag that the first SIGINT, SIGTERM or SIGHUP sets; the second one ends the process. The first
/// call installs the signal handlers.
pub fn interrupt_flag() -> &'static AtomicBool {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            // Without a handler the signal ends the process, as it did before.
            let _ = signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&flag),
            );
            let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
        }
        flag
    })
}

/// Runs a program to its end, or kills it when the user interrupts.
///
/// # Errors
///
/// A message for the user: the program could not be started, failed, or was interrupted.
pub(super) fn output(mut command: Command) -> Result<Output, String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let name: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let name = name.join(" ");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = KillOnDrop::start(command)?;
    let (stdout, stderr) = (child.child.stdout.take(), child.child.stderr.take());
    std::thread::scope(|scope| {
        let stdout = scope.spawn(move || read(stdout));
        let stderr = scope.spawn(move || read(stderr));
        let status = loop {
            if let Some(status) = child.exit_status() {
                break Ok(status);
            }
            if interrupted() {
                break Err("interrupted".to_owned());
            }
            std::thread::sleep(POLL_INTERVAL);
        };
        // The pipes are closed once the whole process group is dead.
        drop(child);
        let text = |reader: std::thread::ScopedJoinHandle<'_, Vec<u8>>| {
            reader.join().map_err(|_| format!("{name}: reading what it printed failed"))
        };
        let output = Output { status: status?, stdout: text(stdout)?, stderr: text(stderr)? };
        if output.status.success() {
            return Ok(output);
        }
        Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    })
}

/// Reads to the end. An error ends the output.
fn read(pipe: Option<impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }

    #[test]
    fn the_output_of_a_program_is_complete() {
        let output = output(shell("head -c 300000 /dev/zero; echo no >&2")).unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 3));
    }

    #[test]
    fn an_error_names_the_program_and_its_error_output() {
        let error = output(shell("echo it is so >&2; exit 3")).unwrap_err();
        assert!(error.starts_with("/bin/sh -c") && error.ends_with("it is so"), "{error}");
        let error = output(Command::new("/no/such/program")).unwrap_err();
        assert!(error.contains("starting /no/such/program"), "{error}");
    }
}
