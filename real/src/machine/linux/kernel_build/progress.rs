//! How far a build is.

use std::path::PathBuf;

/// How far a build is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildProgress {
    /// The source is unpacked or copied.
    Unpacking,
    /// A patch is applied.
    Patching(PathBuf),
    /// The configuration is made.
    Configuring,
    /// So many files are compiled or linked in this run, and the last one.
    Compiling(u64, String),
}
