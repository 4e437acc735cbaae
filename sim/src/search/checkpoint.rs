//! A long search that can be stopped at any moment, by a crash too, and goes on later.
//!
//! The file is one line of JSON and the words of the visited set. It is written anew beside the old one
//! and then put in its place, so that one of both is always whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::Test;
use serde::{Deserialize, Serialize};

use crate::search::dfs::{Counts, Job};
use crate::search::explore::Limits;
use crate::search::visited::Visited;
use crate::symmetry::Symmetries;

/// What went wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not one, or it was cut off.
    #[error("{}: not a checkpoint of ifq: {what}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: String,
    },
    /// It belongs to another test, kernel or way to search.
    #[error("{}: a checkpoint of another search: {what} differs", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
}

/// Where a search leaves how far it has come, and how often.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The file. If it is there, the search goes on from it; at its end it is removed.
    pub path: PathBuf,
    /// Time between two; longer if writing takes long.
    pub every: Duration,
}

/// Which search it is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Which {
    version: String,
    test: Test,
    variant: String,
    persistent_sets: bool,
    sleep_sets: bool,
    symmetry: Symmetries,
    preemptions: Option<u32>,
}

impl Which {
    pub(crate) fn new(test: &Test, variant: &Variant, limits: &Limits) -> Self {
        Which {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            test: test.clone(),
            variant: variant.to_string(),
            persistent_sets: limits.persistent_sets,
            sleep_sets: limits.sleep_sets,
            symmetry: limits.symmetry,
            preemptions: limits.preemptions,
        }
    }

    fn difference(&self, other: &Which) -> Option<&'static str> {
        let same = [
            (self.version == other.version, "the version of ifq"),
            (self.test == other.test, "the test"),
            (self.variant == other.variant, "the kernel"),
            (self == other, "what the search leaves out"),
        ];
        same.iter().find(|(same, _)| !same).map(|(_, what)| *what)
    }
}

/// How far a large search has come.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Progressed {
    pub(crate) passes: u32,
    /// What earlier passes have learned, and this one so far.
    pub(crate) learned_before: Vec<Vec<u32>>,
    pub(crate) learned: Vec<Vec<u32>>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) counts: Counts,
    pub(crate) outcomes: Vec<Outcome>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    ifq_checkpoint: u32,
    which: Which,
    progressed: Progressed,
    /// Words of the visited set that follow.
    words: usize,
}

const FORMAT: u32 = 2;

/// Writes a checkpoint.
pub(crate) fn save(
    path: &Path,
    which: Which,
    progressed: Progressed,
    visited: &Visited,
) -> Result<(), CheckpointError> {
    let fresh = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut out = BufWriter::new(File::create(&fresh)?);
        let head = Head { ifq_checkpoint: FORMAT, which, progressed, words: visited.words().len() };
        serde_json::to_writer(&mut out, &head)?;
        out.write_all(b"\n")?;
        for word in visited.words() {
            out.write_all(&word.to_le_bytes())?;
        }
        out.into_inner()?.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(|error| CheckpointError::Io { path: path.to_owned(), error })
}

/// Reads a checkpoint of this search; `None` if there is none.
pub(crate) fn load(
    path: &Path,
    which: &Which,
) -> Result<Option<(Progressed, Visited)>, CheckpointError> {
    let io = |error| CheckpointError::Io { path: path.to_owned(), error };
    let broken = |what: String| CheckpointError::Broken { path: path.to_owned(), what };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io)?,
    };
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    reader.read_line(&mut line).map_err(|error| broken(error.to_string()))?;
    let head: Head = serde_json::from_str(&line).map_err(|error| broken(error.to_string()))?;
    if head.ifq_checkpoint != FORMAT {
        return Err(broken(format!("format {}, not {FORMAT}", head.ifq_checkpoint)));
    }
    if let Some(what) = which.difference(&head.which) {
        return Err(CheckpointError::Other { path: path.to_owned(), what });
    }
    let mut words = Vec::with_capacity(head.words);
    let mut word = [0; 8];
    for _ in 0..head.words {
        reader.read_exact(&mut word).map_err(|_| broken("it was cut off".to_owned()))?;
        words.push(u64::from_le_bytes(word));
    }
    let visited = Visited::from_words(words)
        .ok_or_else(|| broken("the visited set has an impossible size".to_owned()))?;
    Ok(Some((head.progressed, visited)))
}
