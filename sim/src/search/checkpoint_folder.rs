//! The checkpoint of a command with many searches: a folder.
//!
//! `searches.json` says which searches the command has, `finished.jsonl` holds the result of each finished
//! one, and `search-N.ckpt` the progress of search N. A command that is killed at any time loses at most
//! what the searches have done since their last checkpoints.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ifq_model::revision::Variant;
use ifq_model::test::Test;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointError, SearchIdentity};
use super::exploration::Exploration;
use super::limits::Limits;

/// Names the searches of the command.
const SEARCHES: &str = "searches.json";
/// One line of JSON for each finished search.
const FINISHED: &str = "finished.jsonl";

/// The folder of a running command.
#[derive(Debug)]
pub struct CheckpointFolder {
    path: PathBuf,
    every: Duration,
    /// The results of the searches that an earlier run of the command finished.
    earlier: BTreeMap<usize, Exploration>,
    finished: Mutex<File>,
}

#[derive(Serialize, Deserialize)]
struct FinishedLine {
    search: usize,
    found: Exploration,
}

impl CheckpointFolder {
    /// Opens the folder for a command with these searches, or creates it. `every`: see
    /// [`Checkpoint::every`].
    ///
    /// # Errors
    /// The folder cannot be read or written, holds something else, or belongs to another command.
    pub fn open(
        path: &Path,
        searches: &[(&Test, &Variant)],
        limits: &Limits,
        every: Duration,
    ) -> Result<Self, CheckpointError> {
        let io = |error| CheckpointError::Io { path: path.to_owned(), error };
        if path.exists() && !path.is_dir() {
            let what = "it is a file; expected a folder or a new name".to_owned();
            return Err(CheckpointError::Broken { path: path.to_owned(), what });
        }
        fs::create_dir_all(path).map_err(io)?;
        let identities: Vec<SearchIdentity> =
            searches.iter().map(|(test, on)| SearchIdentity::new(test, on, limits)).collect();
        match fs::read(path.join(SEARCHES)) {
            Ok(text) => compare(path, &text, &identities)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::read_dir(path).map_err(io)?.next().is_some() {
                    let what = "the folder holds other files; expected an empty one".to_owned();
                    return Err(CheckpointError::Broken { path: path.to_owned(), what });
                }
                let text = serde_json::to_vec(&identities).map_err(|error| io(error.into()))?;
                let new = path.join("searches.tmp");
                let written = fs::write(&new, text);
                written.and_then(|()| fs::rename(&new, path.join(SEARCHES))).map_err(io)?;
            }
            Err(error) => return Err(io(error)),
        }
        let name = path.join(FINISHED);
        let earlier = read_finished(&name, searches.len())?;
        let file = OpenOptions::new().create(true).append(true).open(name).map_err(io)?;
        Ok(CheckpointFolder { path: path.to_owned(), every, earlier, finished: Mutex::new(file) })
    }

    /// The result of a search that an earlier run of the command finished.
    #[must_use]
    pub fn finished(&self, search: usize) -> Option<&Exploration> {
        self.earlier.get(&search)
    }

    /// Where the progress of a search goes.
    #[must_use]
    pub fn search(&self, search: usize) -> Checkpoint {
        let path = self.path.join(format!("search-{search}.ckpt"));
        Checkpoint { path, every: self.every, remove: false }
    }

    /// Stores the result of a search, unless a limit ended it: with another limit it can go on.
    ///
    /// # Errors
    /// The file cannot be written, or the one with the progress cannot be removed.
    pub fn finish(&self, search: usize, found: &Exploration) -> Result<(), CheckpointError> {
        if found.limit_reached {
            return Ok(());
        }
        let line = FinishedLine { search, found: found.clone() };
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            self.finished.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)
        };
        write().map_err(|error| CheckpointError::Io { path: self.path.join(FINISHED), error })?;
        self.search(search).remove_file()
    }

    /// Removes the folder, when all searches are finished.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(self) -> Result<(), CheckpointError> {
        let remove = || -> io::Result<()> {
            for entry in fs::read_dir(&self.path)? {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.starts_with("search") || name == FINISHED {
                    fs::remove_file(path)?;
                }
            }
            fs::remove_dir(&self.path)
        };
        remove().map_err(|error| CheckpointError::Io { path: self.path.clone(), error })
    }
}

/// An error unless the folder belongs to these searches.
fn compare(path: &Path, text: &[u8], searches: &[SearchIdentity]) -> Result<(), CheckpointError> {
    let other = |what| CheckpointError::OtherCommand { path: path.to_owned(), what };
    let stored: Vec<SearchIdentity> = serde_json::from_slice(text).map_err(|error| {
        CheckpointError::Broken { path: path.join(SEARCHES), what: error.to_string() }
    })?;
    for (now, then) in searches.iter().zip(&stored) {
        if let Some(what) = now.difference(then) {
            return Err(other(format!("{what} of the search of {now} differs")));
        }
    }
    if stored.len() != searches.len() {
        return Err(other(format!("it has {} searches, not {}", stored.len(), searches.len())));
    }
    Ok(())
}

/// The stored results. A last line without an end was being written when the command was killed.
fn read_finished(
    path: &Path,
    searches: usize,
) -> Result<BTreeMap<usize, Exploration>, CheckpointError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|error| CheckpointError::Io { path: path.to_owned(), error })?,
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    if whole.len() < text.len() {
        let io = |error| CheckpointError::Io { path: path.to_owned(), error };
        let file = OpenOptions::new().write(true).open(path).map_err(io)?;
        file.set_len(whole.len() as u64).map_err(io)?;
    }
    let mut found = BTreeMap::new();
    for line in whole.lines() {
        let broken = |what| CheckpointError::Broken { path: path.to_owned(), what };
        let line: FinishedLine =
            serde_json::from_str(line).map_err(|error| broken(error.to_string()))?;
        if line.search >= searches {
            return Err(broken(format!("there is no search {}", line.search)));
        }
        found.insert(line.search, line.found);
    }
    Ok(found)
}
