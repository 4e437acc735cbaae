//! Where something in the cache is from.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::apt::Package;

/// The file that says it.
const FILE: &str = "provenance.json";

/// A package of Debian.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Provenance {
    pub(super) package: String,
    pub(super) version: String,
    /// SHA-256 of the package, which apt has compared.
    pub(super) sha256: String,
}

impl From<Package> for Provenance {
    fn from(package: Package) -> Self {
        let Package { name, version, sha256 } = package;
        Provenance { package: name, version, sha256 }
    }
}

impl Provenance {
    /// Of what is in a directory of the cache.
    pub(super) fn read(home: &Path) -> Result<Self, String> {
        let file = home.join(FILE);
        let says = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = fs::read(&file).map_err(|error| says(&error))?;
        serde_json::from_slice(&text).map_err(|error| says(&error))
    }

    /// Writes it down beside what is from there.
    pub(super) fn write(&self, home: &Path) -> Result<(), String> {
        let file = home.join(FILE);
        let says = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = serde_json::to_vec(self).map_err(|error| says(&error))?;
        fs::write(&file, text).map_err(|error| says(&error))
    }
}
