//! A small Debian system with a compiler, in the user's cache: kernel modules are built in it, because
//! the tools of the kernel's headers need a newer C library than this system may have.
//!
//! A build has a mount namespace and a process namespace of its own, so nothing stays mounted and no process
//! goes on when it ends or is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::Archive;
use super::cache::Cache;
use super::process::output;

/// The suite of the system.
const SUITE: &str = "trixie";
/// The compiler that Debian's kernels of this suite are built with, and what else a build uses. It also
/// builds modules for kernels of newer suites.
const PACKAGES: &str = "gcc-14,make,kmod,libelf1t64";
/// What the build of a whole kernel uses beside them. `ccache` makes the second build of almost the same source short.
const KERNEL_PACKAGES: &str =
    "ccache,libc6-dev,libelf-dev,bc,bison,flex,perl,patch,python3-minimal";
/// What a build does not use.
const UNUSED: [&str; 4] =
    ["usr/share/doc", "usr/share/locale", "usr/share/man", "var/lib/apt/lists"];
/// Mounts the headers and the sources, and builds. Arguments: the system, the unpacked packages with
/// the headers, the sources, the release of the kernel, the folder of its tools.
const BUILD: &str = r#"
mount -t proc proc "$1/proc"
mount --bind "$2/usr/src" "$1/usr/src"
mkdir -p "$1/usr/lib/$5" "$1/build"
mount --bind "$2/usr/lib/$5" "$1/usr/lib/$5"
mount --bind "$3" "$1/build"
chroot "$1" make -s -C "/usr/src/linux-headers-$4" M=/build CC=x86_64-linux-gnu-gcc-14 \
    CONFIG_DEBUG_INFO_BTF_MODULES= modules
exec chroot "$1" strip --strip-debug /build/softnic.ko
"#;

/// The directory of the system, made if it is not in the cache.
pub(super) fn get(cache: &Cache) -> Result<PathBuf, String> {
    cache.get(&format!("build-root-{SUITE}"), |work| make(work, PACKAGES))
}

/// The directory of a system that whole kernels are built in.
pub(super) fn get_for_kernels(cache: &Cache) -> Result<PathBuf, String> {
    let packages = [PACKAGES, KERNEL_PACKAGES].join(",");
    cache.get(&format!("kernel-build-root-{SUITE}"), |work| make(work, &packages))
}

/// Why nothing can be built here. `None`: it can.
pub(super) fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("building for a kernel needs root, for chroot".into());
    }
    let missing = |program: &str| Command::new(program).arg("--version").output().is_err();
    let packages = [("debootstrap", "debootstrap"), ("unshare", "util-linux")];
    let (program, package) = packages.into_iter().find(|(program, _)| missing(program))?;
    Some(format!("building for a kernel needs {program}; `apt-get install {package}` brings it"))
}

fn make(work: &Path, packages: &str) -> Result<PathBuf, String> {
    if let Some(obstacle) = obstacle() {
        return Err(obstacle);
    }
    errln!(
        "ifq: making a system of {SUITE} with a compiler by debootstrap, once; it takes minutes"
    );
    let archive = Archive::of_system()?;
    let made = work.join("made");
    let mut command = isolated("debootstrap");
    command.args(["--variant=minbase", &format!("--include={packages}")]);
    command.args(archive.signed_by.map(|keyring| format!("--keyring={keyring}")));
    command.arg(SUITE).arg(&made).arg(&archive.uri);
    output(command)?;
    let mut clean = isolated("chroot");
    clean.arg(&made).args(["apt-get", "clean"]);
    output(clean)?;
    for unused in UNUSED {
        // It only takes space.
        let _ = fs::remove_dir_all(made.join(unused));
    }
    Ok(made)
}

/// A program in a mount namespace of its own, and in a process namespace, so that all of its processes end
/// with it.
pub(super) fn isolated(program: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--", program]);
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("LC_ALL", "C");
    command
}

/// Builds the module whose sources are in `sources`, into the same directory. `headers`: a directory
/// with the unpacked packages of the kernel's headers; `tools`: the folder of its tools in `usr/lib`.
pub(super) fn build(
    root: &Path,
    headers: &Path,
    sources: &Path,
    release: &str,
    tools: &str,
) -> Result<(), String> {
    if let Some(obstacle) = obstacle() {
        return Err(obstacle);
    }
    let mut command = isolated("sh");
    command.args(["-ec", BUILD, "sh"]).arg(root).arg(headers).arg(sources).args([release, tools]);
    output(command).map(drop).map_err(|error| {
        // The command line is the script; what failed comes after it.
        let tail: Vec<&str> = error.lines().rev().take(12).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("building the module softnic for {release}:\n{}", tail.join("\n"))
    })
}
