//! The tools of a shell in a guest: Debian's static busybox, in the user's cache.

use std::fs;
use std::path::{Path, PathBuf};

use super::apt::Index;
use super::cache::Cache;
use super::provenance::Provenance;

const SUITE: &str = "forky";
const PACKAGE: &str = "busybox-static";
/// Where the program is in the package: now, and in older ones.
const PROGRAMS: [&str; 2] = ["usr/bin/busybox", "bin/busybox"];
/// The program in the cache.
const PROGRAM: &str = "busybox";

/// The program, fetched if it is not in the cache.
pub(super) fn get(cache: &Cache) -> Result<Vec<u8>, String> {
    let program = cache.get(&format!("busybox-{SUITE}"), fetch)?.join(PROGRAM);
    fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))
}

fn fetch(work: &Path) -> Result<PathBuf, String> {
    errln!("ifq: fetching the package {PACKAGE} of {SUITE} with apt, once");
    let index = Index::fetch(&work.join("apt"), &[SUITE])?;
    let packages = index.packages(&[PACKAGE])?;
    let package = packages.into_iter().find(|package| package.name == PACKAGE);
    let package = package.ok_or_else(|| format!("{SUITE} has no package {PACKAGE}"))?;
    let root = index.unpack(&[PACKAGE])?;
    let program = PROGRAMS
        .iter()
        .map(|path| root.join(path))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("the package {PACKAGE} has no program"))?;
    let made = work.join("made");
    let context = |error: std::io::Error| format!("{}: {error}", made.display());
    fs::create_dir(&made).map_err(context)?;
    fs::rename(program, made.join(PROGRAM)).map_err(context)?;
    Provenance::from(package).write(&made)?;
    Ok(made)
}
