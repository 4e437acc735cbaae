//! Temporary directories that do not stay behind.
//!
//! A directory is removed when it is dropped. One whose process was killed is removed by the next
//! that makes one: its lock is free then.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

/// How all of them begin.
const PREFIX: &str = "ifq-run-";
/// The file in a directory that its process keeps locked.
const LOCK: &str = "ifq-run.lock";

/// A temporary directory.
#[derive(Debug)]
pub(super) struct WorkDir {
    dir: TempDir,
    _lock: File,
}

impl WorkDir {
    /// Makes one in the system's directory for them, and removes those left behind there.
    pub(super) fn new() -> Result<Self, String> {
        WorkDir::new_in(&std::env::temp_dir())
            .map_err(|error| format!("a temporary directory: {error}"))
    }

    fn new_in(parent: &Path) -> std::io::Result<Self> {
        sweep(parent);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        // The lock gets its name when it is held, so that nobody takes the directory for dead.
        let draft = dir.path().join("draft.lock");
        let lock = File::create(&draft)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(&draft, dir.path().join(LOCK))?;
        Ok(WorkDir { dir, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes the directories whose lock is free. What cannot be removed is somebody else's.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if let Ok(lock) = File::open(entry.path().join(LOCK))
            && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_directory_is_gone_and_a_used_one_stays() {
        let parent = tempfile::tempdir().unwrap();
        let used = WorkDir::new_in(parent.path()).unwrap();
        let dropped = WorkDir::new_in(parent.path()).unwrap();
        let path = dropped.path().to_path_buf();
        drop(dropped);
        assert!(!path.exists());
        assert!(used.path().exists());
    }

    #[test]
    fn a_directory_left_behind_by_a_killed_process_is_removed_by_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join("ifq-run-dead");
        let other = parent.path().join("other");
        let young = parent.path().join("ifq-run-young");
        for dir in [&dead, &other, &young] {
            fs::create_dir(dir).unwrap();
        }
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(other.join(LOCK), "").unwrap();
        let _next = WorkDir::new_in(parent.path()).unwrap();
        assert!(!dead.exists());
        assert!(other.exists(), "not ours");
        assert!(young.exists(), "its process has not locked it yet");
    }
}
