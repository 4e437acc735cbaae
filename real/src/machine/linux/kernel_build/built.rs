//! The kernels that are built, by name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Plan, context};
use crate::kernel_build::Feature;
use crate::machine::Failure;
use crate::machine::linux::cache::Cache;
use crate::machine::linux::softnic;

/// Prefix of the links in the cache.
const NAMED: &str = "kernel-named-";
/// Files of a kernel.
const DESCRIPTION: &str = "kernel.json";
pub(super) const IMAGE: &str = "bzImage";
pub(super) const CONFIG: &str = "config";

/// A kernel that was built here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltKernel {
    /// The name for `--on kernel:NAME`.
    #[serde(skip)]
    pub name: String,
    /// Its release, as `uname -r` has it.
    pub release: String,
    /// What its source is.
    pub source: String,
    /// Its patches: the names of the files.
    pub patches: Vec<String>,
    /// What was added to the smallest kernel.
    pub features: Vec<Feature>,
    /// The folder with its files.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl BuiltKernel {
    /// The image that boots.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.folder.join(IMAGE)
    }

    /// The bytes of the module softnic for it.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn module(&self) -> Result<Vec<u8>, String> {
        let module = self.folder.join(softnic::MODULE);
        fs::read(&module).map_err(|error| context(&module, &error))
    }
}

/// All kernels that were built here, by name.
///
/// # Errors
///
/// [`Failure`]: there is no cache.
pub fn built() -> Result<Vec<BuiltKernel>, Failure> {
    let cache = Cache::of_user().map_err(Failure::NotRun)?;
    let mut names = cache.names();
    names.sort();
    let names = names.iter().filter_map(|name| name.strip_prefix(NAMED));
    Ok(names.filter_map(|name| find(&cache, name)).collect())
}

/// The kernel with a name.
pub(in crate::machine::linux) fn find(cache: &Cache, name: &str) -> Option<BuiltKernel> {
    let folder = cache.find(&format!("{NAMED}{name}"))?.canonicalize().ok()?;
    let text = fs::read(folder.join(DESCRIPTION)).ok()?;
    let built: BuiltKernel = serde_json::from_slice(&text).ok()?;
    Some(BuiltKernel { name: name.to_owned(), folder, ..built })
}

/// The entry of the cache.
pub(super) fn place(hash: u64) -> String {
    format!("built-{hash:016x}")
}

/// Writes the description of a kernel into its folder.
pub(super) fn describe(made: &Path, plan: &Plan, features: Vec<Feature>) -> Result<(), String> {
    let release = made.join("release");
    let release = fs::read_to_string(&release).map_err(|error| context(&release, &error))?;
    let name = |(path, _): &(PathBuf, u64)| {
        path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    let built = BuiltKernel {
        name: String::new(),
        release: release.trim().to_owned(),
        source: plan.source.clone(),
        patches: plan.patches.iter().map(name).collect(),
        features,
        folder: PathBuf::new(),
    };
    let file = made.join(DESCRIPTION);
    let text = serde_json::to_string_pretty(&built).map_err(|error| context(&file, &error))?;
    fs::write(&file, text).map_err(|error| context(&file, &error))
}

/// Gives a kernel a name. A kernel that had it before keeps its folder.
pub(super) fn link(cache: &Cache, name: &str, hash: u64) -> Result<BuiltKernel, String> {
    let link = cache.path(&format!("{NAMED}{name}"));
    if link.is_symlink() {
        fs::remove_file(&link).map_err(|error| context(&link, &error))?;
    }
    symlink(place(hash), &link).map_err(|error| context(&link, &error))?;
    find(cache, name).ok_or_else(|| format!("{} describes no kernel", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_found_by_each_of_its_names_and_a_name_can_move() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        for hash in [1, 2] {
            let folder = dir.path().join(place(hash));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("release"), format!("7.3.{hash}\n")).unwrap();
            let plan = Plan {
                name: String::new(),
                source: "here".into(),
                patches: vec![("/tmp/a.patch".into(), 1)],
                symbols: Vec::new(),
                hash,
                built: false,
            };
            describe(&folder, &plan, vec![Feature::Kasan]).unwrap();
        }
        link(&cache, "a", 1).unwrap();
        let b = link(&cache, "b", 1).unwrap();
        assert_eq!((b.release.as_str(), b.patches.as_slice()), ("7.3.1", &["a.patch".into()][..]));
        link(&cache, "a", 2).unwrap();
        assert_eq!(find(&cache, "a").unwrap().release, "7.3.2");
        assert_eq!(find(&cache, "b").unwrap().release, "7.3.1");
        assert_eq!(find(&cache, "c"), None);
    }
}
