//! The cache of the user: each fetched entry has its own directory.
//!
//! A directory is renamed to its final name when it is complete. A lock file allows one fetch at a time,
//! also among processes. The next fetch removes the remains of a killed one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::process::interrupted;

/// Prefix of the working directories of fetches.
const FETCH: &str = "fetch-";
/// Time between two tries to get the lock.
const TRY: Duration = Duration::from_millis(100);

/// A cache in a directory.
#[derive(Clone, Debug)]
pub(super) struct Cache(PathBuf);

impl Cache {
    /// The user's, `ifq` in `$XDG_CACHE_HOME` or `$HOME/.cache`.
    pub(super) fn of_user() -> Result<Self, String> {
        let absolute = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .map(|cache| Cache(cache.join("ifq")))
            .ok_or_else(|| "neither XDG_CACHE_HOME nor HOME says where to keep a kernel".into())
    }

    /// A cache in this directory.
    #[cfg(test)]
    pub(super) fn at(dir: &Path) -> Self {
        Cache(dir.into())
    }

    /// Where an entry would be.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A directory that is made if it does not exist, for work that is continued when it was killed.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.0.join(name);
        fs::create_dir_all(&folder).map_err(|error| context(&folder, &error))?;
        Ok(folder)
    }

    /// Makes a directory in the cache's file system an entry.
    pub(super) fn keep(&self, made: &Path, name: &str) -> Result<(), String> {
        let home = self.0.join(name);
        fs::rename(made, &home).map_err(|error| context(&home, &error))
    }

    /// The directory of an entry, if it exists.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        Some(self.0.join(name)).filter(|home| home.is_dir())
    }

    /// The names of all entries.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// The directory of an entry. If it does not exist, `fetch` creates it in the directory that it is
    /// given, and returns its path.
    pub(super) fn get(
        &self,
        name: &str,
        fetch: impl FnOnce(&Path) -> Result<PathBuf, String>,
    ) -> Result<PathBuf, String> {
        if let Some(home) = self.find(name) {
            return Ok(home);
        }
        let _lock = self.lock()?;
        match self.find(name) {
            Some(home) => Ok(home),
            None => self.fill(name, fetch),
        }
    }

    /// Like [`Cache::get`], but replaces an existing entry.
    pub(super) fn renew(
        &self,
        name: &str,
        fetch: impl FnOnce(&Path) -> Result<PathBuf, String>,
    ) -> Result<PathBuf, String> {
        let _lock = self.lock()?;
        self.fill(name, fetch)
    }

    /// Fetches an entry. The caller holds the lock.
    fn fill(
        &self,
        name: &str,
        fetch: impl FnOnce(&Path) -> Result<PathBuf, String>,
    ) -> Result<PathBuf, String> {
        self.sweep();
        let work = tempfile::Builder::new()
            .prefix(FETCH)
            .tempdir_in(&self.0)
            .map_err(|error| context(&self.0, &error))?;
        let made = fetch(work.path())?;
        let home = self.0.join(name);
        if home.is_dir() {
            let old = work.path().join("old");
            fs::rename(&home, &old).map_err(|error| context(&home, &error))?;
        }
        fs::rename(&made, &home).map_err(|error| context(&home, &error))?;
        Ok(home)
    }

    fn lock(&self) -> Result<File, String> {
        fs::create_dir_all(&self.0).map_err(|error| context(&self.0, &error))?;
        let path = self.0.join("lock");
        let file = File::create(&path).map_err(|error| context(&path, &error))?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(Errno::WOULDBLOCK) if interrupted() => return Err("interrupted".into()),
                Err(Errno::WOULDBLOCK) => std::thread::sleep(TRY),
                Err(error) => return Err(context(&path, &error)),
            }
        }
    }

    /// Removes the remains of killed fetches. The caller holds the lock.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(FETCH)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn context(what: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", what.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(work: &Path, text: &str) -> Result<PathBuf, String> {
        let made = work.join("made");
        fs::create_dir(&made).map_err(|error| error.to_string())?;
        fs::write(made.join("thing"), text).map_err(|error| error.to_string())?;
        Ok(made)
    }

    fn entries(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_entry_is_fetched_once_and_again_by_renew() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache(dir.path().join("ifq"));
        let read = |home: &Path| fs::read_to_string(home.join("thing")).unwrap();
        assert_eq!(cache.find("a"), None);
        assert_eq!(read(&cache.get("a", |work| fetched(work, "1")).unwrap()), "1");
        assert_eq!(read(&cache.get("a", |_| unreachable!()).unwrap()), "1");
        assert_eq!(read(&cache.get("b", |work| fetched(work, "2")).unwrap()), "2");
        assert_eq!(read(&cache.renew("a", |work| fetched(work, "3")).unwrap()), "3");
        assert_eq!(entries(&cache.0), ["a", "b", "lock"]);
    }

    #[test]
    fn a_failed_fetch_keeps_the_old_entry_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache(dir.path().into());
        cache.get("a", |work| fetched(work, "1")).unwrap();
        let fails = |work: &Path| fetched(work, "half").and(Err("no network".to_owned()));
        assert_eq!(cache.renew("a", fails), Err("no network".into()));
        assert_eq!(cache.get("b", fails), Err("no network".into()));
        assert_eq!(entries(dir.path()), ["a", "lock"]);
        assert_eq!(fs::read_to_string(dir.path().join("a/thing")).unwrap(), "1");
    }

    #[test]
    fn the_remains_of_a_killed_fetch_are_removed_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache(dir.path().into());
        fs::create_dir(dir.path().join("fetch-dead")).unwrap();
        cache.get("a", |work| fetched(work, "1")).unwrap();
        assert_eq!(entries(dir.path()), ["a", "lock"]);
    }
}
