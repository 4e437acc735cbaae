//! The provenance of a cache entry: the package that it was extracted from.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::apt::{OldPackage, Package};

/// File name in the directory of the entry.
const FILE: &str = "provenance.json";

/// A Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Provenance {
    pub(super) package: String,
    pub(super) version: String,
    /// SHA-256 of the package, verified by apt.
    pub(super) sha256: String,
}

impl From<Package> for Provenance {
    fn from(package: Package) -> Self {
        let Package { name, version, sha256 } = package;
        Provenance { package: name, version, sha256 }
    }
}

impl From<OldPackage<'_>> for Provenance {
    fn from(package: OldPackage<'_>) -> Self {
        let OldPackage { name, version, sha256, .. } = package;
        Provenance { package: name.into(), version: version.into(), sha256: sha256.into() }
    }
}

impl Provenance {
    /// Reads the provenance of a directory of the cache.
    pub(super) fn read(home: &Path) -> Result<Self, String> {
        let file = home.join(FILE);
        let context = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = fs::read(&file).map_err(|error| context(&error))?;
        serde_json::from_slice(&text).map_err(|error| context(&error))
    }

    /// Writes the provenance into a directory of the cache.
    pub(super) fn write(&self, home: &Path) -> Result<(), String> {
        let file = home.join(FILE);
        let context = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = serde_json::to_vec(self).map_err(|error| context(&error))?;
        fs::write(&file, text).map_err(|error| context(&error))
    }
}
