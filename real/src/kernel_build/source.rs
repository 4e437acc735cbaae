//! Where the source of a kernel comes from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

use crate::kernels::series_number::Series;

/// The source of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Debian's package `linux-source-SERIES`: `debian:7.3`.
    Debian(Series),
    /// A folder.
    Folder(PathBuf),
    /// A git repository that is cloned, and a branch or tag of it: `https://HOST/linux.git#BRANCH`.
    Git {
        /// What `git clone` takes.
        url: String,
        /// The branch or tag; the default is that of the repository.
        reference: Option<String>,
    },
}

/// Why a text names no source.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// No folder, no URL, nothing of Debian.
    #[error(
        "`{0}` is no source of a kernel; expected debian:SERIES (such as debian:7.3), a folder, or the URL of a \
         git repository (URL#BRANCH for a branch or tag)"
    )]
    Unknown(String),
    /// A folder that is no kernel.
    #[error("{} has no Makefile with a VERSION and no Kconfig: it is not the source of a kernel", .0.display())]
    NoKernel(PathBuf),
    /// There is no such folder.
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    /// What comes after `debian:` is no series.
    #[error("{0}")]
    Series(String),
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if let Some(series) = text.strip_prefix("debian:") {
            let series = series.parse::<Series>();
            return series
                .map(Source::Debian)
                .map_err(|error| SourceError::Series(error.to_string()));
        }
        let (url, reference) = match text.rsplit_once('#') {
            Some((url, reference)) => (url, Some(reference.to_owned())),
            None => (text, None),
        };
        if url.contains("://") || url.starts_with("git@") {
            return Ok(Source::Git { url: url.to_owned(), reference });
        }
        // A shell replaces `~`, but not in `--source=~/linux`, and that error is understood.
        if text == "." || text.contains('/') {
            return Ok(Source::Folder(text.into()));
        }
        Err(SourceError::Unknown(text.to_owned()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Debian(series) => write!(f, "debian:{series}"),
            Source::Folder(folder) => write!(f, "{}", folder.display()),
            Source::Git { url, reference: Some(reference) } => write!(f, "{url}#{reference}"),
            Source::Git { url, reference: None } => f.write_str(url),
        }
    }
}

impl Source {
    /// Whether a folder has the source of a kernel; its absolute path.
    ///
    /// # Errors
    ///
    /// [`SourceError::NoFolder`], [`SourceError::NoKernel`].
    pub fn kernel_in(folder: &Path) -> Result<PathBuf, SourceError> {
        let absolute = folder.canonicalize().ok().filter(|folder| folder.is_dir());
        let absolute = absolute.ok_or_else(|| SourceError::NoFolder(folder.into()))?;
        let makefile = std::fs::read_to_string(absolute.join("Makefile")).unwrap_or_default();
        match version(&makefile).is_some() && absolute.join("Kconfig").is_file() {
            true => Ok(absolute),
            false => Err(SourceError::NoKernel(absolute)),
        }
    }

    /// The first part of the default name of a kernel.
    pub(super) fn short_name(&self) -> String {
        match self {
            Source::Debian(series) => format!("debian-{series}"),
            Source::Folder(folder) => {
                let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
                folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
            Source::Git { url, reference } => {
                let name = url.trim_end_matches(".git").rsplit('/').next().unwrap_or_default();
                [Some(name), reference.as_deref()]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join("-")
            }
        }
    }
}

/// The version that the first lines of a kernel's Makefile name: `7.3.4`.
fn version(makefile: &str) -> Option<String> {
    let field = |name: &str| {
        let line = makefile.lines().take(12).find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim_start().strip_prefix('='))
            .map(|value| value.trim().to_owned())
    };
    let numbers = [field("VERSION")?, field("PATCHLEVEL")?, field("SUBLEVEL")?].join(".");
    Some(numbers + &field("EXTRAVERSION").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_read_back_as_it_was_printed() {
        for text in
            ["debian:7.3", "https://example.org/linux.git#v7.3", "git@example.org:linux.git"]
        {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        let folder = tempfile::tempdir().unwrap();
        let makefile = "# SPDX\nVERSION = 7\nPATCHLEVEL = 4\nSUBLEVEL = 0\nEXTRAVERSION = -rc1\n";
        std::fs::write(folder.path().join("Makefile"), makefile).unwrap();
        let path = folder.path().canonicalize().unwrap();
        assert_eq!(Source::kernel_in(&path), Err(SourceError::NoKernel(path.clone())));
        std::fs::write(path.join("Kconfig"), "").unwrap();
        assert_eq!(Source::kernel_in(&path), Ok(path.clone()));
        assert_eq!(path.to_string_lossy().parse(), Ok(Source::Folder(path.clone())));
        let none = path.join("none");
        assert_eq!(Source::kernel_in(&none), Err(SourceError::NoFolder(none)));
        assert_eq!(version(makefile).unwrap(), "7.4.0-rc1");
    }

    #[test]
    fn what_names_no_source_is_told_what_was_expected() {
        for (text, says) in [
            ("linux", "expected debian:SERIES"),
            ("debian:", "expected MAJOR.MINOR"),
            ("debian:7.3.4", "is no series"),
            ("", "expected debian:SERIES"),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
