//! The connection to a rig: the system's ssh client, or a process on this machine.

use std::fs::File;
use std::io::{PipeWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::super::guest_channel::GuestChannel;
use super::super::process::{KillOnDrop, POLL_INTERVAL, output};
use crate::rig::agent::{AGENT, BEAT_SECONDS, Request};
use crate::rig::{RigFile, RigMachine};

/// Seconds that a connection may take.
const CONNECT_SECONDS: u32 = 15;
/// Time that the rig has to be restored after the tool has let go.
const GRACE: Duration = Duration::from_secs(60);

/// The way to a rig.
#[derive(Debug)]
pub(super) struct Remote {
    ifq: PathBuf,
    machine: RigMachine,
    jobs: AtomicU32,
}

impl Remote {
    pub(super) fn new(ifq: &Path, file: &RigFile) -> Self {
        Remote::to(ifq, &file.machine)
    }

    /// The way to the host of a rig's peer. `None`: that is the rig itself.
    pub(super) fn to_peer(ifq: &Path, file: &RigFile) -> Option<Self> {
        file.peer_machine.as_ref().map(|machine| Remote::to(ifq, machine))
    }

    fn to(ifq: &Path, machine: &RigMachine) -> Self {
        let machine = machine.clone();
        Remote { ifq: ifq.to_path_buf(), machine, jobs: AtomicU32::new(0) }
    }

    /// The folder for the program and for results.
    fn folder(&self) -> &str {
        &self.machine.folder
    }

    /// The program on the rig. Another program has another name.
    fn program(&self) -> Result<String, String> {
        let file = std::fs::metadata(&self.ifq).map_err(|error| error.to_string())?;
        let modified =
            file.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let stamp = modified.map_or(0, |at| at.as_nanos());
        Ok(format!("{}/ifq-{:x}-{stamp:x}", self.folder(), file.len()))
    }

    /// A new name of a file for results.
    pub(super) fn results(&self) -> String {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        format!("{}/results-{}-{number}", self.folder(), std::process::id())
    }

    /// ssh with a command of the rig's shell.
    fn ssh(&self, host: &str, script: &str) -> Command {
        let alive = (self.machine.silence_seconds / 3).max(1);
        let mut command = Command::new("ssh");
        command
            // The user's own arguments come first: of several settings ssh uses the first one.
            .args(&self.machine.ssh)
            .args(["-T", "-o", "BatchMode=yes"])
            .args(["-o", &format!("ConnectTimeout={CONNECT_SECONDS}")])
            .args(["-o", &format!("ServerAliveInterval={alive}"), "-o", "ServerAliveCountMax=2"])
            .args(["--", host, script]);
        command
    }

    /// Runs a command of the rig's shell to its end; what it prints.
    pub(super) fn shell(&self, script: &str) -> Result<String, String> {
        let command = match &self.machine.host {
            Some(host) => self.ssh(host, script),
            None => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", script]);
                command
            }
        };
        output(command).map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The number of the boot of the rig's kernel. `None`: the rig does not answer.
    pub(super) fn boot_id(&self) -> Option<String> {
        let id = self.shell("cat /proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned())
    }

    /// Removes a file of the rig, if it is there.
    pub(super) fn remove(&self, file: &str) {
        // What stays is removed with other old files.
        let _ = self.shell(&format!("rm -f {}", quoted(file)));
    }

    /// Brings the program to the rig, if it is not there. Programs and results of earlier days are removed.
    pub(super) fn bring(&self) -> Result<(), String> {
        let folder = quoted(self.folder());
        let Some(host) = &self.machine.host else {
            return self.shell(&format!("mkdir -p {folder} && {}", without_old(&folder))).map(drop);
        };
        let program = self.program()?;
        let there = format!(
            "mkdir -p {folder} && touch -c {0} && {1} && test -x {0} && echo there || true",
            quoted(&program),
            without_old(&folder)
        );
        if self.shell(&there)?.contains("there") {
            return Ok(());
        }
        // A connection that is lost leaves no program that is cut off.
        let script =
            format!("cat > {0}.part && chmod 755 {0}.part && mv {0}.part {0}", quoted(&program));
        let mut command = self.ssh(host, &script);
        let file =
            File::open(&self.ifq).map_err(|error| format!("{}: {error}", self.ifq.display()))?;
        command.stdin(file).stdout(Stdio::null()).stderr(Stdio::piped());
        let done = command.output().map_err(|error| format!("starting ssh: {error}"))?;
        if done.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        Err(format!("bringing ifq to {host}: {why}"))
    }

    /// Starts the program on the rig with a request; what it prints goes to the channel. Its input stays open as
    /// long as the child is there.
    pub(super) fn start<J: Serialize>(
        &self,
        request: &Request<J>,
        channel: &GuestChannel,
    ) -> Result<KillOnDrop, String> {
        let mut command = match &self.machine.host {
            Some(host) => self.ssh(host, &format!("exec {} {AGENT}", quoted(&self.program()?))),
            None => {
                let mut command = Command::new(&self.ifq);
                command.arg(AGENT);
                command
            }
        };
        channel.connect(&mut command)?;
        let (reader, writer) = std::io::pipe().map_err(|error| format!("a pipe: {error}"))?;
        command.stdin(reader);
        let mut text = serde_json::to_vec(request).map_err(|error| error.to_string())?;
        text.push(b'\n');
        let letting_go = writer.try_clone().map_err(|error| format!("a pipe: {error}"))?;
        let child = KillOnDrop::start_with_grace(command, GRACE)?;
        let beats = Beats::start(letting_go, text);
        drop(writer);
        Ok(child.with(Box::new(beats)))
    }
}

/// A thread that writes the request and then signs of life. Dropping this ends it, and the input.
#[derive(Debug)]
struct Beats {
    /// Dropping it is noticed.
    _stop: std::sync::mpsc::Sender<()>,
}

impl Beats {
    fn start(mut input: PipeWriter, request: Vec<u8>) -> Self {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            if input.write_all(&request).is_err() {
                return;
            }
            let interval = Duration::from_secs(BEAT_SECONDS);
            // Until the other end is dropped.
            while stopped.recv_timeout(interval) == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                if input.write_all(b"\n").is_err() {
                    return;
                }
            }
        });
        Beats { _stop: stop }
    }
}

/// Waits for an answer of the rig for a time; its boot.
pub(super) fn wait_for_boot(
    remote: &Remote,
    seconds: u32,
    interrupted: fn() -> bool,
) -> Option<String> {
    let start = Instant::now();
    loop {
        if let Some(id) = remote.boot_id() {
            return Some(id);
        }
        if start.elapsed() > Duration::from_secs(seconds.into()) || interrupted() {
            return None;
        }
        for _ in 0..50 {
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// The command that removes what earlier runs have left in a folder: another program, and the results of a run whose
/// tool did not come back.
fn without_old(folder: &str) -> String {
    format!(
        "{{ find {folder} -maxdepth 1 -type f '(' -name 'ifq-*' -o -name 'results-*' ')' -mtime +1 \
         -exec rm -f {{}} ';' || true; }}"
    )
}

/// A word of the rig's shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_shell_is_one_word() {
        let text = "a folder's \"name\" $HOME";
        let mut shell = Command::new("/bin/sh");
        let output = shell.args(["-c", &format!("printf %s {}", quoted(text))]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), text);
    }

    #[test]
    fn what_earlier_days_have_left_on_a_rig_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a folder");
        std::fs::create_dir(&path).unwrap();
        let file = |name: &str, days: u64| {
            let file = File::create(path.join(name)).unwrap();
            let age = Duration::from_secs(days * 24 * 3600);
            file.set_modified(std::time::SystemTime::now() - age).unwrap();
        };
        file("results-7-0", 3);
        file("results-7-0.job", 3);
        file("ifq-1-2", 3);
        file("results-8-0", 0);
        file("ifq-3-4", 1);
        file("notes", 9);
        let text = path.display().to_string();
        let mut shell = Command::new("/bin/sh");
        let status = shell.args(["-c", &without_old(&quoted(&text))]).status().unwrap();
        assert!(status.success());
        let entries = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["ifq-3-4", "notes", "results-8-0"]);
    }
}
