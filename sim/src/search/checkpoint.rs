//! Checkpoints: a long search can be killed at any time and resumed from the last one.
//!
//! The file is one line of JSON followed by the words of the visited set. A new checkpoint is written to
//! a temporary file and renamed over the old one, so that a crash never leaves a partial file.

use std::fmt;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::Test;
use serde::{Deserialize, Serialize};

use crate::search::job::{SearchCounts, SearchJob};
use crate::search::limits::Limits;
use crate::search::visited::VisitedSet;
use crate::symmetry::Symmetries;

/// Error while reading or writing a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        error: io::Error,
    },
    /// The file is not a checkpoint, or it is truncated.
    #[error("{}: not a checkpoint of ifq: {what}", path.display())]
    Broken {
        /// Path of the file.
        path: PathBuf,
        /// What the reader expected.
        what: String,
    },
    /// The checkpoint belongs to a search of another test or kernel, or with other options.
    #[error("{}: a checkpoint of another search: {what} differs", path.display())]
    OtherSearch {
        /// Path of the file.
        path: PathBuf,
        /// The part that differs.
        what: &'static str,
    },
    /// The folder belongs to a command with other searches.
    #[error(
        "{}: a checkpoint of another command: {what}; repeat the same command, or name another folder",
        path.display()
    )]
    OtherCommand {
        /// Path of the folder.
        path: PathBuf,
        /// The difference.
        what: String,
    },
}

/// Where and how often a search writes checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The file. An existing file is resumed.
    pub path: PathBuf,
    /// Time between two checkpoints; ten times the time of writing one if that is longer.
    pub every: Duration,
    /// Remove the file when the search is finished.
    pub remove: bool,
}

impl Checkpoint {
    /// Removes the file, if there is one.
    pub(super) fn remove_file(&self) -> Result<(), CheckpointError> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CheckpointError::Io { path: self.path.clone(), error })
            }
            _ => Ok(()),
        }
    }
}

/// Identifies a search: a checkpoint is resumed only by the same one.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SearchIdentity {
    version: String,
    test: Test,
    variant: String,
    persistent_sets: bool,
    sleep_sets: bool,
    symmetry: Symmetries,
    preemptions: Option<u32>,
    thread_faults_only: bool,
}

impl SearchIdentity {
    pub(crate) fn new(test: &Test, variant: &Variant, limits: &Limits) -> Self {
        SearchIdentity {
            version: format!("{} {:016x}", env!("CARGO_PKG_VERSION"), build()),
            test: test.clone(),
            variant: variant.to_string(),
            persistent_sets: limits.persistent_sets,
            sleep_sets: limits.sleep_sets,
            symmetry: limits.symmetry,
            preemptions: limits.preemptions,
            thread_faults_only: limits.thread_faults_only,
        }
    }

    /// The part in which two searches differ.
    pub(super) fn difference(&self, other: &SearchIdentity) -> Option<&'static str> {
        let same = [
            (self.version == other.version, "the version of ifq"),
            (self.test == other.test, "the test"),
            (self.variant == other.variant, "the kernel"),
            (self == other, "a search option"),
        ];
        same.iter().find(|(same, _)| !same).map(|(_, what)| *what)
    }
}

impl fmt::Display for SearchIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.test.name, self.variant)
    }
}

/// A hash of this executable: a search is resumed by the same model only.
fn build() -> u64 {
    static BUILD: OnceLock<u64> = OnceLock::new();
    *BUILD.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        let executable = std::env::current_exe().and_then(std::fs::read);
        hasher.write(&executable.unwrap_or_default());
        hasher.finish()
    })
}

/// The progress of a parallel search.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SearchProgress {
    pub(crate) passes: u32,
    /// Paths that earlier passes recorded in the step table.
    pub(crate) recorded_before: Vec<Vec<u32>>,
    /// Paths that this pass has recorded so far.
    pub(crate) recorded_paths: Vec<Vec<u32>>,
    pub(crate) jobs: Vec<SearchJob>,
    pub(crate) counts: SearchCounts,
    pub(crate) outcomes: Vec<Outcome>,
}

#[derive(Serialize, Deserialize)]
struct CheckpointHeader {
    ifq_checkpoint: u32,
    identity: SearchIdentity,
    progress: SearchProgress,
    /// Number of words of the visited set after this line.
    words: usize,
}

/// Version of the file format.
const FORMAT: u32 = 3;

/// Writes a checkpoint.
pub(crate) fn save(
    path: &Path,
    identity: SearchIdentity,
    progress: SearchProgress,
    visited: &VisitedSet,
) -> Result<(), CheckpointError> {
    let temporary = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut out = BufWriter::new(File::create(&temporary)?);
        let header = CheckpointHeader {
            ifq_checkpoint: FORMAT,
            identity,
            progress,
            words: visited.words().len(),
        };
        serde_json::to_writer(&mut out, &header)?;
        out.write_all(b"\n")?;
        for word in visited.words() {
            out.write_all(&word.to_le_bytes())?;
        }
        out.into_inner()?.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| CheckpointError::Io { path: path.to_owned(), error })
}

/// Reads a checkpoint of this search; `None` if there is none.
pub(crate) fn load(
    path: &Path,
    identity: &SearchIdentity,
) -> Result<Option<(SearchProgress, VisitedSet)>, CheckpointError> {
    let io = |error| CheckpointError::Io { path: path.to_owned(), error };
    let broken = |what: String| CheckpointError::Broken { path: path.to_owned(), what };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io)?,
    };
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    reader.read_line(&mut line).map_err(|error| broken(error.to_string()))?;
    let header: CheckpointHeader =
        serde_json::from_str(&line).map_err(|error| broken(error.to_string()))?;
    if header.ifq_checkpoint != FORMAT {
        return Err(broken(format!("format {}, not {FORMAT}", header.ifq_checkpoint)));
    }
    if let Some(what) = identity.difference(&header.identity) {
        return Err(CheckpointError::OtherSearch { path: path.to_owned(), what });
    }
    let mut words = Vec::with_capacity(header.words);
    let mut word = [0; 8];
    for _ in 0..header.words {
        reader.read_exact(&mut word).map_err(|_| broken("it is truncated".to_owned()))?;
        words.push(u64::from_le_bytes(word));
    }
    let visited = VisitedSet::from_words(words)
        .ok_or_else(|| broken("the visited set has an impossible size".to_owned()))?;
    Ok(Some((header.progress, visited)))
}
