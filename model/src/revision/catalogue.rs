//! The catalogue: defects that must be found, and behaviours that must not be reported.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::named_enum::named_enum;
use crate::revision::defect::Defect;

named_enum! {
    /// A behaviour that looks like a defect and is none. A report of one is a false alarm.
    pub enum NonDefect {
        N1 "N1"
            "the proxy is in the table before copy_to_user: the ring lock keeps submitters out";
        N2 "N2"
            "a clone races with the source's exit: the file reference keeps release from starting";
        N3 "N3"
            "the cloner releases its ring lock before it takes both: address order, nothing stale";
        N4 "N4"
            "an importer exports again, imports twice, or imports into the owner: each has its id";
        N5 "N5"
            "a double return (to 7.2, and on 7.3 unless in a row: refill-run), a bad offset, a wrong length in an entry: the kernel ignores it";
        S4 "S4" "several producers of the refill ring with the lock, in any order";
    }
}

/// An entry of the catalogue. A test names the entries that it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// Must be found.
    Defect(Defect),
    /// Must not be reported.
    NonDefect(NonDefect),
}

impl Entry {
    /// All entries.
    #[must_use]
    pub fn all() -> Vec<Entry> {
        let defects = Defect::ALL.iter().map(|d| Entry::Defect(*d));
        defects.chain(NonDefect::ALL.iter().map(|n| Entry::NonDefect(*n))).collect()
    }

    /// The id.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Entry::Defect(defect) => defect.name(),
            Entry::NonDefect(non_defect) => non_defect.name(),
        }
    }

    /// One line about it.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Entry::Defect(defect) => defect.about(),
            Entry::NonDefect(non_defect) => non_defect.about(),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
