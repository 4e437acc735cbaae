//! The channel to a machine: its input, its answer and its console, in memory files, so that nothing is
//! left on a disk.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::Command;

use rustix::fs::{MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, memfd_create};

use crate::kernels::kernel_error::is_error;

/// Lines of the console that are shown after an error.
const TAIL: usize = 25;
/// Lines before a panic in which its reason is: a warning, an oops with its stack.
const OOPS: usize = 150;
/// Bytes of the console that are read.
const CONSOLE_MAX: u64 = 1 << 20;

/// Path of the input in a process that is [connected](GuestChannel::connect).
pub(super) const INPUT: &str = "/proc/self/fd/0";
/// Path of the answer.
pub(super) const ANSWER: &str = "/proc/self/fd/1";
/// Path of the console. Writers append.
pub(super) const CONSOLE_PATH: &str = "/proc/self/fd/2";

/// The three memory files.
#[derive(Debug)]
pub(super) struct GuestChannel {
    input: File,
    answer: File,
    console: File,
}

impl GuestChannel {
    /// A channel whose input `fill` writes.
    pub(super) fn new(fill: impl FnOnce(&mut File) -> Result<(), String>) -> Result<Self, String> {
        let mut input = create_memfd("ifq-input", MemfdFlags::CLOEXEC)?;
        fill(&mut input)?;
        let (answer, console) = (
            create_memfd("ifq-answer", MemfdFlags::CLOEXEC)?,
            create_memfd("ifq-console", MemfdFlags::CLOEXEC)?,
        );
        for file in [&answer, &console] {
            let context = |error: rustix::io::Errno| format!("memfd_create: {error}");
            let flags = fcntl_getfl(file).map_err(context)?;
            fcntl_setfl(file, flags | OFlags::APPEND).map_err(context)?;
        }
        Ok(GuestChannel { input, answer, console })
    }

    /// Makes input, answer and console the standard input, output and error of a command.
    pub(super) fn connect(&self, command: &mut Command) -> Result<(), String> {
        let copy = |file: &File| -> Result<OwnedFd, String> {
            file.as_fd().try_clone_to_owned().map_err(|error| format!("a descriptor: {error}"))
        };
        command.stdin(copy(&self.input)?);
        command.stdout(copy(&self.answer)?).stderr(copy(&self.console)?);
        Ok(())
    }

    /// The answer from a byte offset on.
    pub(super) fn answer(&self, from: u64) -> Vec<u8> {
        read(&self.answer, from, u64::MAX)
    }

    /// The text of the console, at most [`CONSOLE_MAX`] bytes.
    pub(super) fn console(&self) -> String {
        String::from_utf8_lossy(&read(&self.console, 0, CONSOLE_MAX)).into_owned()
    }

    /// The relevant lines of the console: from a panic on, or the last ones.
    pub(super) fn tail(&self) -> String {
        let text = self.console();
        let lines: Vec<&str> = text.lines().collect();
        let Some(panic) = lines.iter().position(|line| line.contains("Kernel panic")) else {
            return lines[lines.len().saturating_sub(TAIL)..].join("\n");
        };
        let near = panic.saturating_sub(OOPS);
        let start =
            lines[near..].iter().position(|line| is_error(line)).map_or(panic, |at| near + at);
        lines[start..lines.len().min(panic + TAIL)].join("\n")
    }
}

/// A memory file that children inherit and can open by its path.
#[derive(Debug)]
pub(super) struct MemFd(File);

impl MemFd {
    /// A file that `fill` writes.
    pub(super) fn new(fill: impl FnOnce(&mut File) -> Result<(), String>) -> Result<Self, String> {
        let mut file = create_memfd("ifq-inherited", MemfdFlags::empty())?;
        fill(&mut file)?;
        Ok(MemFd(file))
    }

    /// Its path in a child.
    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

fn create_memfd(name: &str, flags: MemfdFlags) -> Result<File, String> {
    memfd_create(name, flags).map(File::from).map_err(|error| format!("memfd_create: {error}"))
}

/// Reads without moving the file position, which the machine may share.
fn read(file: &File, from: u64, most: u64) -> Vec<u8> {
    let len = file.metadata().map_or(0, |data| data.len()).min(most);
    let mut bytes = vec![0; usize::try_from(len.saturating_sub(from)).unwrap_or(0)];
    // Fails only if the file became shorter meanwhile.
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
    fn a_process_opens_the_three_files_by_path_and_none_is_on_a_disk() {
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
    fn the_tail_starts_at_a_panic_or_at_the_error_before_it() {
        let channel = GuestChannel::new(|_| Ok(())).unwrap();
        let write = |text: &str| (&channel.console).write_all(text.as_bytes()).unwrap();
        for line in 0..100 {
            write(&format!("line {line}\n"));
        }
        assert!(channel.tail().starts_with("line 75\n"));
        write("Kernel panic - not syncing\nCPU: 0\n");
        assert!(channel.tail().starts_with("Kernel panic") && channel.tail().ends_with("CPU: 0"));
        let channel = GuestChannel::new(|_| Ok(())).unwrap();
        let write = |text: &str| (&channel.console).write_all(text.as_bytes()).unwrap();
        write("booted\nBUG: unable to handle page fault\nCall Trace:\nKernel panic\nCPU: 0\n");
        let tail = channel.tail();
        assert!(tail.starts_with("BUG: unable") && tail.ends_with("CPU: 0"), "{tail}");
    }
}
