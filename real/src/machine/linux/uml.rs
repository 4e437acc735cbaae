//! The machine `uml`: Debian's user-mode Linux, a kernel that runs as an ordinary process.
//!
//! The kernel comes from the package `user-mode-linux`. It is linked to a C library that may be
//! newer than this system's, so that of the same suite is unpacked beside it, and a copy of the
//! kernel's program is made to ask for the loader in the directory that it is started in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::apt::Index;
use super::cache::Cache;
use super::guest_channel::INPUT;
use super::guest_root::{GuestRoot, INIT};
use super::provenance::Provenance;
use super::shell_session::ShellSession;
use super::{elf, guest_process, initramfs, process, retry};
use crate::job::{Job, JobLine, Reply, RunInfo};
use crate::machine::{Failure, Machine, MachineSpec};

/// The suite that the kernel is taken from.
const SUITE: &str = "forky";
/// The package.
const PACKAGE: &str = "user-mode-linux";
/// The kernel's program in its package.
const PROGRAM: &str = "usr/bin/linux.uml";
/// The C library's directory in its package.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// Its loader.
const LOADER: &str = "./ld-linux-x86-64.so.2";
/// The guest's memory.
const MEMORY: &str = "mem=512M";
/// Time for the first line: the kernel boots and probes in it.
const BOOT: Duration = Duration::from_secs(60);

/// The machine.
#[derive(Debug)]
pub struct Uml {
    ifq: PathBuf,
    cache: Cache,
}

impl Uml {
    /// `ifq` is the executable that understands `ifq guest` and becomes the guest's init.
    ///
    /// # Errors
    ///
    /// [`Failure::NotRun`] if there is no directory for a cache.
    pub fn new(ifq: &Path) -> Result<Self, Failure> {
        Ok(Uml { ifq: ifq.to_path_buf(), cache: Cache::of_user().map_err(Failure::NotRun)? })
    }
}

/// The directory of the kernel in the cache.
fn place() -> String {
    format!("user-mode-{SUITE}")
}

/// The directory with the kernel and its libraries, fetched if it is not there, or anyway.
pub(super) fn kernel(cache: &Cache, again: bool) -> Result<PathBuf, String> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(format!("user-mode Linux is not there for {}", std::env::consts::ARCH));
    }
    if again { cache.renew(&place(), fetch) } else { cache.get(&place(), fetch) }
}

/// Where the kernel in the cache is from, if there is one.
pub(super) fn cached(cache: &Cache) -> Option<Provenance> {
    cache.find(&place()).and_then(|home| Provenance::read(&home).ok())
}

fn fetch(work: &Path) -> Result<PathBuf, String> {
    let context =
        |what: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", what.display());
    errln!("ifq: fetching the packages {PACKAGE} and libc6 of {SUITE} with apt, once");
    let index = Index::fetch(&work.join("apt"), &[SUITE])?;
    let package = index
        .packages(&[PACKAGE])?
        .into_iter()
        .find(|package| package.name == PACKAGE)
        .ok_or_else(|| format!("{SUITE} has no package {PACKAGE} for this machine"))?;
    let root = index.unpack(&[PACKAGE, "libc6"])?;
    let libraries = root.join(LIBRARIES);
    let program = root.join(PROGRAM);
    let mut kernel = fs::read(&program).map_err(|error| context(&program, &error))?;
    elf::set_interpreter(&mut kernel, LOADER).map_err(|error| context(&program, &error))?;
    let patched = libraries.join("linux.uml");
    fs::write(&patched, kernel).map_err(|error| context(&patched, &error))?;
    let mode = fs::metadata(&program).map_err(|error| context(&program, &error))?.permissions();
    fs::set_permissions(&patched, mode).map_err(|error| context(&patched, &error))?;
    Provenance::from(package).write(&libraries)?;
    Ok(libraries)
}

impl Machine for Uml {
    fn name(&self) -> String {
        MachineSpec::Uml.to_string()
    }

    fn may_crash(&self) -> bool {
        true
    }

    fn run(&self, job: &Job, progress: &mut dyn FnMut(&JobLine)) -> Result<Reply, Failure> {
        // Installs the signal handlers.
        process::interrupted();
        let kernel = match kernel(&self.cache, false) {
            Ok(kernel) => kernel,
            Err(_) if process::interrupted() => return Err(Failure::Interrupted),
            Err(reason) => return Err(Failure::NotRun(reason)),
        };
        let root = GuestRoot::of(&self.ifq).map_err(Failure::NotRun)?;
        let how = RunInfo { cpus: Some(1), ..RunInfo::default() };
        retry::run(job, how, progress, &mut |part, _, progress| {
            let channel = initramfs::channel(&root, part).map_err(Failure::NotRun)?;
            let mut command = command(&kernel, INPUT);
            command.args(FILES).args(["--", "guest", initramfs::JOB, ANSWER]);
            channel.connect(&mut command).map_err(Failure::NotRun)?;
            guest_process::supervise(command, part, &channel, BOOT, progress)
        })
    }
}

impl Uml {
    /// The command that starts it with a shell.
    pub(super) fn session(&self, session: &ShellSession<'_>) -> Result<Command, Failure> {
        let kernel = kernel(&self.cache, false).map_err(Failure::NotRun)?;
        let mut command = command(&kernel, session.initrd);
        let (channel, line) =
            if session.terminal { (&TERMINAL[..], CONSOLE) } else { (&FILES[..], ANSWER) };
        command.args(channel).args(["--", "guest-shell", line]);
        Ok(command)
    }
}

/// The lines in the guest: of the console, and of the answer.
const CONSOLE: &str = "/dev/tty0";
const ANSWER: &str = "/dev/ttyS0";
/// The console goes to standard error, the answer to standard output.
const FILES: [&str; 2] = ["con0=null,fd:2", "ssl0=null,fd:1"];
/// The console is the terminal.
const TERMINAL: [&str; 3] = ["con0=fd:0,fd:1", "ssl0=null", "loglevel=5"];

/// The kernel; what follows are further arguments.
fn command(kernel: &Path, initrd: &str) -> Command {
    let mut command = Command::new(kernel.join("linux.uml"));
    command
        .current_dir(kernel)
        .env_clear()
        .env("LD_LIBRARY_PATH", kernel)
        .env("PATH", "/usr/bin:/bin")
        .args([MEMORY, "con=null", "ssl=null", "console=tty0", "printk.time=1", "panic=-1"])
        // An invalid directory: no files for the management console.
        .arg("uml_dir=/dev/null/")
        .arg(format!("initrd={initrd}"))
        .arg(format!("rdinit={INIT}"));
    command
}
