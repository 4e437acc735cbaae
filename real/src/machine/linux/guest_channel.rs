//! What connects us with a machine: its input, its answer and its console, in memory, so that
//! nothing stays on any disk however we end.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::Command;

use rustix::fs::{MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, memfd_create};

/// Lines of the console that are shown when something went wrong.
const TAIL: usize = 25;
/// The most of a console that is looked at, in bytes.
const CONSOLE: u64 = 1 << 20;

/// The input, by name, in a process that is [connected](GuestChannel::connect).
pub(super) const INPUT: &str = "/proc/self/fd/0";
/// The answer.
pub(super) const ANSWER: &str = "/proc/self/fd/1";
/// The console; its writers append.
pub(super) const CONSOLE_PATH: &str = "/proc/self/fd/2";

/// The three files.
#[derive(Debug)]
pub(super) struct GuestChannel {
    input: File,
    answer: File,
    console: File,
}

impl GuestChannel {
    /// GuestChannel whose input is what `fill` writes.
    pub(super) fn new(fill: impl FnOnce(&mut File) -> Result<(), String>) -> Result<Self, String> {
        let mut input = memory("ifq-input", MemfdFlags::CLOEXEC)?;
        fill(&mut input)?;
        let (answer, console) = (
            memory("ifq-answer", MemfdFlags::CLOEXEC)?,
            memory("ifq-console", MemfdFlags::CLOEXEC)?,
        );
        for file in [&answer, &console] {
            let says = |error: rustix::io::Errno| format!("a file in memory: {error}");
            let flags = fcntl_getfl(file).map_err(says)?;
            fcntl_setfl(file, flags | OFlags::APPEND).map_err(says)?;
        }
        Ok(GuestChannel { input, answer, console })
    }

    /// Makes them a command's standard input, output and error, in this order.
    pub(super) fn connect(&self, command: &mut Command) -> Result<(), String> {
        let copy = |file: &File| -> Result<OwnedFd, String> {
            file.as_fd().try_clone_to_owned().map_err(|error| format!("a descriptor: {error}"))
        };
        command.stdin(copy(&self.input)?);
        command.stdout(copy(&self.answer)?).stderr(copy(&self.console)?);
        Ok(())
    }

    /// What the answer has from a byte on.
    pub(super) fn answer(&self, from: u64) -> Vec<u8> {
        read(&self.answer, from, u64::MAX)
    }

    /// What the console says, as far as it is looked at.
    pub(super) fn console(&self) -> String {
        String::from_utf8_lossy(&read(&self.console, 0, CONSOLE)).into_owned()
    }

    /// The lines of the console that say most: a panic and what follows it, or the last ones.
    pub(super) fn tail(&self) -> String {
        let text = self.console();
        let lines: Vec<&str> = text.lines().collect();
        let panic = lines.iter().position(|line| line.contains("Kernel panic"));
        let start = panic.unwrap_or(lines.len().saturating_sub(TAIL));
        lines[start..lines.len().min(start + TAIL)].join("\n")
    }
}

/// A file in memory that our children find by its path, too.
#[derive(Debug)]
pub(super) struct MemFd(File);

impl MemFd {
    /// What `fill` writes.
    pub(super) fn new(fill: impl FnOnce(&mut File) -> Result<(), String>) -> Result<Self, String> {
        let mut file = memory("ifq-lasting", MemfdFlags::empty())?;
        fill(&mut file)?;
        Ok(MemFd(file))
    }

    /// Its path in a child.
    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

fn memory(name: &str, flags: MemfdFlags) -> Result<File, String> {
    memfd_create(name, flags).map(File::from).map_err(|error| format!("a file in memory: {error}"))
}

/// Reads without moving the place where the machine writes; the machine may share our descriptor.
fn read(file: &File, from: u64, most: u64) -> Vec<u8> {
    let len = file.metadata().map_or(0, |data| data.len()).min(most);
    let mut bytes = vec![0; usize::try_from(len.saturating_sub(from)).unwrap_or(0)];
    // A machine cannot make its answer shorter; if it could, nothing would be lost but the rest.
    match file.read_exact_at(&mut bytes, from) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_process_finds_the_three_files_by_name_and_nothing_of_them_is_on_a_disk() {
        let channel =
            GuestChannel::new(|file| file.write_all(b"in").map_err(|e| e.to_string())).unwrap();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!(
            "cat {INPUT} >> {ANSWER}; echo one >> {CONSOLE_PATH}; echo two >&2; \
             name=$(readlink /proc/$$/fd/1); echo $name >&2"
        ));
        channel.connect(&mut command).unwrap();
        assert!(command.status().unwrap().success());
        assert_eq!(channel.answer(0), b"in");
        assert_eq!(channel.answer(1), b"n");
        assert_eq!(channel.answer(5), b"");
        assert_eq!(channel.console(), "one\ntwo\n/memfd:ifq-answer (deleted)\n");
    }

    #[test]
    fn the_tail_begins_with_the_panic_if_there_is_one() {
        let channel = GuestChannel::new(|_| Ok(())).unwrap();
        let write = |text: &str| (&channel.console).write_all(text.as_bytes()).unwrap();
        for line in 0..100 {
            write(&format!("line {line}\n"));
        }
        assert!(channel.tail().starts_with("line 75\n"));
        write("Kernel panic - not syncing\nCPU: 0\n");
        assert!(channel.tail().starts_with("Kernel panic") && channel.tail().ends_with("CPU: 0"));
    }
}
