//! Which lines of `io_uring/zcrx.c` the boots of a kernel have run: the counters are kept with the kernel, and gcov of
//! the build system reads them.

use std::fs;
use std::path::{Path, PathBuf};

use super::built::BuiltKernel;
use super::context;
use crate::kernel_build::{Coverage, Feature};
use crate::machine::Failure;
use crate::machine::linux::build_root::{self, isolated};
use crate::machine::linux::cache::Cache;
use crate::machine::linux::fnv::Fnv;
use crate::machine::linux::process::{self, output};

/// The folder of the counters in that of the kernel.
const FOLDER: &str = "coverage";
/// The notes of the compiler, the counters and the source.
pub(super) const NOTES: &str = "zcrx.gcno";
const COUNTERS: &str = "zcrx.gcda";
pub(super) const SOURCE: &str = "zcrx.c";
/// Runs gcov in each folder of /build; a line of JSON for each. Arguments: the system, the folder.
const GCOV: &str = r#"
mkdir -p "$1/build"
mount --bind "$2" "$1/build"
exec chroot "$1" sh -ec 'for boot in /build/*; do cd "$boot"; gcov-14 --json-format --stdout zcrx.gcda; done'
"#;

impl BuiltKernel {
    /// Keeps the counters of a boot, as [`crate::job::JobLine::Coverage`] has them. Equal counters are kept once.
    ///
    /// # Errors
    ///
    /// They are no hexadecimal digits, or cannot be written.
    pub(in crate::machine::linux) fn keep_coverage(&self, counters: &str) -> Result<(), String> {
        let bytes =
            bytes(counters).ok_or("a guest sent counters that are no hexadecimal digits")?;
        let folder = self.folder.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|error| context(&folder, &error))?;
        let mut hash = Fnv::default();
        hash.add(&bytes);
        let file = folder.join(format!("{:016x}.gcda", hash.0));
        fs::write(&file, bytes).map_err(|error| context(&file, &error))
    }

    /// The files with the counters of all boots.
    fn boots(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.join(FOLDER)).into_iter().flatten().flatten();
        let mut boots: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        boots.sort();
        boots
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

/// The lines that all boots of a kernel have run so far.
///
/// # Errors
///
/// [`Failure`]: there is no such kernel, it does not count, nothing has run on it, or gcov fails.
pub fn coverage(name: &str) -> Result<Coverage, Failure> {
    process::interrupted();
    let cache = Cache::of_user().map_err(Failure::NotRun)?;
    let found = || -> Result<Coverage, String> {
        let kernel = counting(&cache, name)?;
        let boots = kernel.boots();
        if boots.is_empty() {
            return Err(format!("nothing has run on kernel:{name} yet"));
        }
        let root = build_root::get_for_kernels(&cache)?;
        let work = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
        for (boot, counters) in boots.iter().enumerate() {
            let folder = work.path().join(boot.to_string());
            fs::create_dir(&folder).map_err(|error| context(&folder, &error))?;
            copy(counters, &folder.join(COUNTERS))?;
            copy(&kernel.folder.join(NOTES), &folder.join(NOTES))?;
        }
        let mut command = isolated("sh");
        command.args(["-ec", GCOV, "sh"]).arg(root).arg(work.path());
        let printed = output(command)?.stdout;
        let source = kernel.folder.join(SOURCE);
        let source = fs::read_to_string(&source).map_err(|error| context(&source, &error))?;
        Coverage::parse(&printed, &source)
    };
    found().map_err(super::failure)
}

/// Forgets the counters of a kernel.
///
/// # Errors
///
/// [`Failure`]: there is no such kernel, it does not count, or they cannot be removed.
pub fn clear_coverage(name: &str) -> Result<(), Failure> {
    let cache = Cache::of_user().map_err(Failure::NotRun)?;
    let kernel = counting(&cache, name).map_err(Failure::NotRun)?;
    for file in kernel.boots() {
        fs::remove_file(&file).map_err(|error| Failure::NotRun(context(&file, &error)))?;
    }
    Ok(())
}

fn counting(cache: &Cache, name: &str) -> Result<BuiltKernel, String> {
    let kernel = super::find(cache, name).ok_or_else(|| {
        format!("no kernel is called {name}; `ifq kernel list` lists those that are built")
    })?;
    match kernel.features.contains(&Feature::Gcov) {
        true => Ok(kernel),
        false => Err(format!("kernel:{name} was built without gcov; build one --with gcov")),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(drop).map_err(|error| context(from, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_of_each_boot_are_kept_and_equal_ones_once() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = BuiltKernel {
            name: "k".into(),
            release: "7.3.4".into(),
            source: "here".into(),
            patches: Vec::new(),
            features: vec![Feature::Gcov],
            folder: dir.path().into(),
        };
        for counters in ["6164", "00ff", "6164"] {
            kernel.keep_coverage(counters).unwrap();
        }
        let kept: Vec<Vec<u8>> =
            kernel.boots().iter().map(|file| fs::read(file).unwrap()).collect();
        assert_eq!(kept.len(), 2);
        assert!(kept.contains(&vec![0x61, 0x64]) && kept.contains(&vec![0, 0xff]), "{kept:?}");
        assert!(kernel.keep_coverage("6x").is_err());
    }
}
