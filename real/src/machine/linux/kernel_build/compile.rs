//! Configures and compiles a kernel, and the module softnic for it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::built::{CONFIG, IMAGE};
use super::coverage::{NOTES, SOURCE};
use super::progress::BuildProgress;
use super::tree::TREE;
use super::{check_configuration, context};
use crate::kernel_build::{Feature, Request, Symbol};
use crate::machine::linux::build_root::isolated;
use crate::machine::linux::process::{KillOnDrop, interrupted};
use crate::machine::linux::softnic;

/// The folder of the objects, that of the module, and that of the result.
const OBJECTS: &str = "objects";
const NIC: &str = "softnic";
const MADE: &str = "made";
/// What make prints.
const LOG: &str = "log";
/// The lines of the configuration that are asked for.
const FRAGMENT: &str = "fragment";
/// Time between two looks at the log.
const LOOK: Duration = Duration::from_millis(200);
/// Lines of the log that an error shows.
const SHOWN: usize = 20;
/// Runs make in the system, with the folder of the build at /build, so that all builds have the same paths and share
/// what ccache keeps. Arguments: the system, the folder, that of ccache, and the arguments of make.
const MAKE: &str = r#"
mount -t proc proc "$1/proc"
mkdir -p "$1/build" "$1/ccache"
mount --bind "$2" "$1/build"
mount --bind "$3" "$1/ccache"
root=$1
shift 3
export CCACHE_DIR=/ccache
exec chroot "$root" make -C /build/source O=/build/objects \
    "CC=ccache x86_64-linux-gnu-gcc-14" HOSTCC=x86_64-linux-gnu-gcc-14 \
    KBUILD_BUILD_USER=ifq KBUILD_BUILD_HOST=ifq KBUILD_BUILD_TIMESTAMP=@0 "$@"
"#;

/// The folders that a build uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folders<'a> {
    /// Of this build.
    pub(super) build: &'a Path,
    /// The system with the compiler.
    pub(super) root: &'a Path,
    /// What ccache keeps of all builds.
    pub(super) ccache: &'a Path,
}

/// Compiles everything; the folder with the result.
pub(super) fn compile(
    folders: Folders<'_>,
    request: &Request,
    symbols: &[Symbol],
    progress: &mut dyn FnMut(&BuildProgress),
) -> Result<PathBuf, String> {
    let folder = folders.build;
    let fragment = folder.join(FRAGMENT);
    let lines: String =
        symbols.iter().map(|Symbol { name, value, .. }| format!("{name}={value}\n")).collect();
    let same = fs::read_to_string(&fragment).is_ok_and(|old| old == lines);
    let config = folder.join(OBJECTS).join(".config");
    if !same || !config.is_file() {
        progress(&BuildProgress::Configuring);
        fs::create_dir_all(folder.join(OBJECTS)).map_err(|error| context(folder, &error))?;
        fs::write(&fragment, &lines).map_err(|error| context(&fragment, &error))?;
        let all = format!("KCONFIG_ALLCONFIG=/build/{FRAGMENT}");
        make(folders, &[&all, "allnoconfig"], progress)?;
    }
    check_configuration(&config, symbols)?;
    let jobs = format!("-j{}", request.jobs);
    let version = format!("LOCALVERSION={}", request.local_version());
    let mut arguments = vec![jobs.as_str(), version.as_str()];
    arguments.extend(request.features.iter().flat_map(|feature| feature.make_arguments()));
    make(folders, &[&arguments[..], &["bzImage", "modules"]].concat(), progress)?;
    softnic::write_sources(&folder.join(NIC))?;
    make(folders, &[&arguments[..], &["M=/build/softnic", "modules"]].concat(), progress)?;
    collect(folder, request)
}

/// Copies what is kept into a folder of its own.
fn collect(folder: &Path, request: &Request) -> Result<PathBuf, String> {
    let made = folder.join(MADE);
    if made.exists() {
        fs::remove_dir_all(&made).map_err(|error| context(&made, &error))?;
    }
    fs::create_dir(&made).map_err(|error| context(&made, &error))?;
    let objects = folder.join(OBJECTS);
    let mut files = vec![
        (objects.join("arch/x86/boot/bzImage"), IMAGE),
        (objects.join(".config"), CONFIG),
        (objects.join("include/config/kernel.release"), "release"),
        (objects.join("System.map"), "System.map"),
        (folder.join(NIC).join(softnic::MODULE), softnic::MODULE),
    ];
    if request.features.contains(&Feature::DebugInfo) {
        files.push((objects.join("vmlinux"), "vmlinux"));
    }
    if request.features.contains(&Feature::Gcov) {
        files.push((objects.join("io_uring/zcrx.gcno"), NOTES));
        files.push((folder.join(TREE).join("io_uring/zcrx.c"), SOURCE));
    }
    for (from, name) in files {
        fs::copy(&from, made.join(name)).map_err(|error| context(&from, &error))?;
    }
    Ok(made)
}

/// Runs make. Its output goes to the log, which tells the progress.
fn make(
    folders: Folders<'_>,
    arguments: &[&str],
    progress: &mut dyn FnMut(&BuildProgress),
) -> Result<(), String> {
    let path = folders.build.join(LOG);
    let log = File::create(&path).map_err(|error| context(&path, &error))?;
    let errors = log.try_clone().map_err(|error| context(&path, &error))?;
    let mut command = isolated("sh");
    command.args(["-ec", MAKE, "sh"]).arg(folders.root).arg(folders.build).arg(folders.ccache);
    command.args(arguments);
    command.stdin(std::process::Stdio::null()).stdout(log).stderr(errors);
    let mut child = KillOnDrop::start(command)?;
    let mut reader = LogReader::new(&path)?;
    let status = loop {
        let status = child.exit_status();
        if let Some(last) = reader.read()? {
            progress(&BuildProgress::Compiling(reader.steps, last));
        }
        if let Some(status) = status {
            break status;
        }
        if interrupted() {
            return Err("interrupted; the next build with the same arguments goes on".into());
        }
        std::thread::sleep(LOOK);
    };
    if status.success() {
        return Ok(());
    }
    let text = fs::read(&path).map_err(|error| context(&path, &error))?;
    Err(format!("make {}:\n{}", arguments.join(" "), essence(&String::from_utf8_lossy(&text))))
}

/// The lines of a log that say what failed: from the first error on.
fn essence(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let is_error = |line: &&str| line.contains("error:") || line.contains("***");
    let first = lines.iter().position(is_error).unwrap_or(lines.len().saturating_sub(SHOWN));
    lines[first..].iter().take(SHOWN).copied().collect::<Vec<_>>().join("\n")
}

/// Reads what is added to a log of make.
#[derive(Debug)]
struct LogReader {
    file: BufReader<File>,
    steps: u64,
    /// A line whose end has not been written yet.
    begun: String,
}

impl LogReader {
    fn new(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|error| context(path, &error))?;
        file.seek(SeekFrom::Start(0)).map_err(|error| context(path, &error))?;
        Ok(LogReader { file: BufReader::new(file), steps: 0, begun: String::new() })
    }

    /// Reads to the end; the last file that make has named since, if any.
    fn read(&mut self) -> Result<Option<String>, String> {
        let mut last = None;
        loop {
            let read = self.file.read_line(&mut self.begun);
            if read.map_err(|error| format!("the log of make: {error}"))? == 0 {
                return Ok(last);
            }
            if !self.begun.ends_with('\n') {
                continue;
            }
            if let Some(file) = step(&self.begun) {
                self.steps += 1;
                last = Some(file.to_owned());
            }
            self.begun.clear();
        }
    }
}

/// The file of a line such as `  CC      io_uring/zcrx.o`.
fn step(line: &str) -> Option<&str> {
    let line = line.strip_prefix("  ")?;
    let (verb, file) = line.trim_end().split_once(' ')?;
    let is_verb = !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_uppercase());
    is_verb.then(|| file.trim_start())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_progress_counts_the_steps_of_make_also_when_a_line_is_not_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = File::create(&path).unwrap();
        let mut reader = LogReader::new(&path).unwrap();
        log.write_all(b"make: Entering directory '/build'\n  CC      io_uring/zcrx.o\n  LD  ")
            .unwrap();
        assert_eq!(reader.read().unwrap().as_deref(), Some("io_uring/zcrx.o"));
        assert_eq!(reader.read().unwrap(), None);
        log.write_all(b"    vmlinux\nwarning: nothing\n").unwrap();
        assert_eq!(reader.read().unwrap().as_deref(), Some("vmlinux"));
        assert_eq!(reader.steps, 2);
    }

    #[test]
    fn an_error_shows_the_first_line_that_failed() {
        let log = "  CC      a.o\na.c:1:2: error: expected ';'\nmake[2]: *** [a.o] Error 1\n";
        assert!(essence(log).starts_with("a.c:1:2: error"));
        assert_eq!(essence("killed\n"), "killed");
    }
}
