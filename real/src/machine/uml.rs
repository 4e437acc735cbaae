//! Debian's user-mode Linux: a whole kernel as an ordinary process, up in about a second.
//!
//! The kernel comes from the package `user-mode-linux`. It is linked to a C library that may be
//! newer than this system's, so that of the same suite is unpacked beside it, and a copy of the
//! kernel's program is made to ask for the loader in the directory that it is started in.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use super::workdir::WorkDir;
use super::{Failure, Machine, On, apt, child, elf, image};
use crate::job::{Job, Line, Reply};

/// The suite that the kernel is taken from.
const SUITE: &str = "forky";
/// The kernel's program in its package.
const PROGRAM: &str = "usr/bin/linux.uml";
/// The C library's directory in its package.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// Its loader.
const LOADER: &str = "./ld-linux-x86-64.so.2";
/// How directories begin that a fetch works in.
const FETCH: &str = "fetch-";
/// The guest's memory.
const MEMORY: &str = "mem=512M";

/// The machine.
#[derive(Debug)]
pub struct Uml {
    ifq: PathBuf,
    cache: PathBuf,
}

impl Uml {
    /// `ifq` is the executable that understands `ifq guest` and becomes the guest's init.
    ///
    /// # Errors
    ///
    /// [`Failure::NotRun`] if there is no directory for a cache.
    pub fn new(ifq: &Path) -> Result<Self, Failure> {
        let absolute = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let cache = absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .ok_or_else(|| {
                Failure::NotRun(
                    "neither XDG_CACHE_HOME nor HOME says where to keep a kernel".into(),
                )
            })?;
        Ok(Uml { ifq: ifq.to_path_buf(), cache: cache.join("ifq") })
    }

    /// The directory with the kernel and its libraries, fetched if it is not there.
    fn kernel(&self) -> Result<PathBuf, String> {
        if std::env::consts::ARCH != "x86_64" {
            return Err(format!("user-mode Linux is not there for {}", std::env::consts::ARCH));
        }
        let says =
            |what: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", what.display());
        let home = self.cache.join(format!("uml-{SUITE}"));
        if home.is_dir() {
            return Ok(home);
        }
        fs::create_dir_all(&self.cache).map_err(|error| says(&self.cache, &error))?;
        let lock = self.cache.join("lock");
        let held = File::create(&lock).map_err(|error| says(&lock, &error))?;
        flock(&held, FlockOperation::LockExclusive).map_err(|error| says(&lock, &error))?;
        if home.is_dir() {
            return Ok(home);
        }
        self.sweep();
        let work = tempfile::Builder::new()
            .prefix(FETCH)
            .tempdir_in(&self.cache)
            .map_err(|error| says(&self.cache, &error))?;
        eprintln!("ifq: fetching the packages user-mode-linux and libc6 of {SUITE} with apt, once");
        let root = apt::fetch(work.path(), SUITE, &["user-mode-linux", "libc6"])?;
        let libraries = root.join(LIBRARIES);
        let program = root.join(PROGRAM);
        let mut kernel = fs::read(&program).map_err(|error| says(&program, &error))?;
        elf::set_interpreter(&mut kernel, LOADER).map_err(|error| says(&program, &error))?;
        let patched = libraries.join("linux.uml");
        fs::write(&patched, kernel).map_err(|error| says(&patched, &error))?;
        let mode = fs::metadata(&program).map_err(|error| says(&program, &error))?.permissions();
        fs::set_permissions(&patched, mode).map_err(|error| says(&patched, &error))?;
        // The rename comes last: the directory is there only when all of it is.
        fs::rename(&libraries, &home).map_err(|error| says(&home, &error))?;
        Ok(home)
    }

    /// Removes what a killed fetch has left behind; the lock is held.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.cache).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(FETCH)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Machine for Uml {
    fn name(&self) -> String {
        On::Uml.to_string()
    }

    fn run(&self, job: &Job, progress: &mut dyn FnMut(&Line)) -> Result<Reply, Failure> {
        // From here on a signal ends us in order.
        child::interrupted();
        let kernel = match self.kernel() {
            Ok(kernel) => kernel,
            Err(_) if child::interrupted() => return Err(Failure::Interrupted),
            Err(reason) => return Err(Failure::NotRun(reason)),
        };
        let dir = WorkDir::new().map_err(Failure::NotRun)?;
        let (command, console) =
            prepare(dir.path(), &kernel, &self.ifq, job).map_err(Failure::NotRun)?;
        child::supervise(command, job, &dir.path().join("root/answer.jsonl"), &console, progress)
    }
}

/// The guest's root, the job in it, and the command that boots it.
fn prepare(dir: &Path, kernel: &Path, ifq: &Path, job: &Job) -> Result<(Command, PathBuf), String> {
    let root = dir.join("root");
    let flags = root.to_str().filter(|path| !path.contains([' ', ',', '"']));
    let flags =
        flags.ok_or("the temporary directory's name cannot stand on a kernel command line")?;
    fs::create_dir(&root).map_err(|error| error.to_string())?;
    image::make(&root, ifq)?;
    let text = serde_json::to_vec(job).map_err(|error| error.to_string())?;
    fs::write(root.join("job.json"), text).map_err(|error| format!("the job: {error}"))?;
    let console = dir.join("console");
    let log = File::create(&console).map_err(|error| format!("the console: {error}"))?;
    let mut command = Command::new(kernel.join("linux.uml"));
    command
        .current_dir(kernel)
        .env_clear()
        .env("LD_LIBRARY_PATH", kernel)
        .env("HOME", dir)
        .env("PATH", "/usr/bin:/bin")
        .args([MEMORY, "rootfstype=hostfs", "rw", "con=null", "con0=null,fd:1", "console=tty0"])
        .args(["printk.time=1", "panic=-1"])
        .arg(format!("rootflags={flags}"))
        .arg(format!("uml_dir={}/", dir.display()))
        .arg(format!("init={}", image::INIT))
        .args(["--", "guest", "/job.json", "/answer.jsonl"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(|error| format!("the console: {error}"))?)
        .stderr(log);
    Ok((command, console))
}
