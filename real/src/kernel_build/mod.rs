//! Kernels that `ifq` builds from source: what is asked for. How they are built is in
//! `machine/linux/kernel_build`.

mod config;
mod coverage;
mod feature;
mod source;

use std::collections::BTreeSet;
use std::path::PathBuf;

use ifq_model::revision::Revision;

use crate::kernels::series::BUILT_AS;

pub use config::{Symbol, differences, fragments};
pub use coverage::{Coverage, Line};
pub use feature::Feature;
pub use source::{Source, SourceError};

/// A kernel to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where its source comes from.
    pub source: Source,
    /// Patches for it, applied in this order with `patch -p1`.
    pub patches: Vec<PathBuf>,
    /// What is added to the smallest kernel with zcrx.
    pub features: BTreeSet<Feature>,
    /// The revision of the model that it is built as: its release says so, and it is compared with this revision.
    pub revision: Option<Revision>,
    /// The name for `--on kernel:NAME`; the default is made of source and features.
    pub name: Option<String>,
    /// Compilers that run at the same time.
    pub jobs: usize,
}

impl Request {
    /// What follows the numbers in its release: empty, or the revision that it is built as.
    #[must_use]
    pub fn local_version(&self) -> String {
        self.revision.map_or_else(String::new, |revision| format!("{BUILT_AS}{revision}"))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        let made = || {
            let words = std::iter::once(self.source.short_name());
            let patches = self.patches.iter().filter_map(|patch| patch.file_stem());
            let patches = patches.map(|stem| stem.to_string_lossy().into_owned());
            let features = self.features.iter().map(ToString::to_string);
            let all: Vec<String> = words.chain(patches).chain(features).collect();
            all.join("-").chars().map(|c| if is_of_a_name(c) { c } else { '-' }).collect()
        };
        self.name.clone().unwrap_or_else(made)
    }

    /// Why these features cannot be together. `None`: they can.
    #[must_use]
    pub fn conflict(&self) -> Option<String> {
        let both = [Feature::Kasan, Feature::Kcsan];
        both.iter().all(|feature| self.features.contains(feature)).then(|| {
            "kasan and kcsan exclude each other: build two kernels (Documentation/dev-tools/kcsan.rst)"
                .to_owned()
        })
    }
}

/// Whether a character may be in the name of a kernel.
fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}

/// Parses the name of a kernel.
///
/// # Errors
/// It is empty, begins with a dot, or has a character that is no letter, digit, `.`, `_` or `-`.
pub fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('.') || !text.chars().all(is_of_a_name) {
        return Err(format!("`{text}` is no name: expected letters, digits, `.`, `_` and `-`"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(features: &[Feature]) -> Request {
        Request {
            source: "debian:7.3".parse().unwrap(),
            revision: None,
            patches: vec!["/tmp/my fix.patch".into()],
            features: features.iter().copied().collect(),
            name: None,
            jobs: 1,
        }
    }

    #[test]
    fn the_default_name_says_what_the_kernel_is_and_is_a_name() {
        let made = request(&[Feature::Lockdep, Feature::Kasan]).name();
        assert_eq!(made, "debian-7.3-my-fix-kasan-lockdep");
        assert_eq!(name(&made), Ok(made));
        for wrong in ["", ".hidden", "a/b", "a b", "ä"] {
            assert!(name(wrong).unwrap_err().contains("is no name"), "{wrong}");
        }
    }

    #[test]
    fn kasan_and_kcsan_exclude_each_other() {
        assert_eq!(request(&[Feature::Kasan, Feature::Lockdep]).conflict(), None);
        assert!(request(&[Feature::Kasan, Feature::Kcsan]).conflict().is_some());
    }
}
