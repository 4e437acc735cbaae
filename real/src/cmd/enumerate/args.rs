//! The arguments of `ifq enumerate`.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use ifq_model::revision::Revision;
use ifq_sim::commands::enumerate::Examiner;
use ifq_sim::enumerate::Family;
use ifq_sim::enumerate::plan::{MAX_OPS, MAX_RINGS, Plan, TestId};

use crate::cmd::selection::revision;

/// Arguments of `ifq enumerate`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq enumerate --count                              the number of tests of each size\n  \
    ifq enumerate --rings 2 --ops 2 --out small        write the tests into a folder\n  \
    ifq enumerate --only e-2-3-nodev-held-17           print one test\n  \
    ifq enumerate --check --faults --shard 3/8         search every interleaving, one shard of eight\n  \
    ifq enumerate --check --from e-2-3-nodev-held-17   continue after an interrupt\n  \
    ifq enumerate --record tests/golden/enumeration    record the outcomes, as hashes\n  \
    ifq enumerate --compare tests/golden/enumeration   list the smallest tests whose outcomes changed\n\n\
    A test is a prologue, racing operations and an epilogue; docs/enumeration.md describes them. Without \
    another option the tests are printed.")]
pub struct Args {
    /// Tests with at most N rings
    #[arg(long, value_name = "N", default_value_t = 2,
        value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_RINGS)))]
    pub rings: u8,
    /// Tests with at most N racing operations
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_OPS)))]
    pub ops: u8,
    /// Only this revision (may be repeated)
    #[arg(long = "revision", value_name = "REVISION", value_parser = revision())]
    pub revisions: Vec<Revision>,
    /// Only this family (may be repeated), such as `nodev-held`: mode and prologue
    #[arg(long = "family", value_name = "FAMILY", value_parser = family)]
    pub families: Vec<Family>,
    /// Only every N-th test, beginning with the I-th
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<(u64, u64)>,
    /// Only this test and those after it
    #[arg(long, value_name = "NAME", value_parser = test_id)]
    pub from: Option<TestId>,
    /// Only this test
    #[arg(long, value_name = "NAME", value_parser = test_id,
        conflicts_with_all = ["from", "shard", "families"])]
    pub only: Option<TestId>,
    /// Every fault point may fail while the threads run, at most one in a run
    #[arg(long)]
    pub faults: bool,
    /// Print the number of tests of each size, without building them
    #[arg(long, group = "action")]
    pub count: bool,
    /// Search every interleaving of each test. A violation that the revision's own defects do not explain
    /// is a finding
    #[arg(long, group = "action")]
    pub check: bool,
    /// Store the hashes of the outcomes in a folder
    #[arg(long, value_name = "FOLDER", group = "action", conflicts_with_all = ["shard", "from", "only"])]
    pub record: Option<PathBuf>,
    /// Compare the outcomes with the hashes in a folder
    #[arg(long, value_name = "FOLDER", group = "action")]
    pub compare: Option<PathBuf>,
    /// Folder for the tests, or with --check for the findings
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Print JSON, one object per line
    #[arg(long)]
    pub json: bool,
    /// Number of processors [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
}

impl Args {
    /// The tests that the arguments select.
    pub(super) fn plan(&self) -> Plan {
        let plan = Plan::all(self.rings, self.ops);
        let selected = |family: &Family| {
            (self.families.is_empty() || self.families.contains(family))
                && (self.revisions.is_empty() || self.revisions_of(*family).next().is_some())
        };
        let families = plan.families.into_iter().filter(selected).collect();
        let (shard, shards) = self.shard.unwrap_or((0, 1));
        let plan = Plan { families, shard, shards, from: self.from, ..plan };
        match self.only {
            None => plan,
            Some(only) => Plan {
                rings: only.size.rings,
                ops: only.size.ops,
                families: vec![only.family],
                from: Some(only),
                last: Some(only),
                ..plan
            },
        }
    }

    /// The selected revisions of a family.
    pub(super) fn revisions_of(&self, family: Family) -> impl Iterator<Item = Revision> {
        let all = self.revisions.is_empty();
        family.revisions().filter(move |revision| all || self.revisions.contains(revision))
    }

    pub(super) fn examiner(&self) -> Examiner {
        Examiner::new(self.faults)
    }

    pub(super) fn processors(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(all, usize::from)
    }
}

/// Writes a file into a folder.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn family(name: &str) -> Result<Family, String> {
    Family::named(name).ok_or_else(|| {
        let all: Vec<String> = Family::all().map(Family::name).collect();
        format!("expected one of {}", all.join(", "))
    })
}

fn test_id(name: &str) -> Result<TestId, String> {
    TestId::named(name).ok_or_else(|| "expected a name such as e-2-3-nodev-held-17".to_owned())
}

/// `I/N`, with I from 1 to N; the shard counts from 0.
pub(in crate::cmd) fn shard(text: &str) -> Result<(u64, u64), String> {
    let numbers: Option<(u64, u64)> =
        text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match numbers {
        Some((i, n)) if 1 <= i && i <= n => Ok((i - 1, n)),
        _ => Err("expected I/N with I from 1 to N, such as 3/8".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use ifq_sim::enumerate::stream;

    use super::*;

    #[test]
    fn a_shard_counts_from_one_to_the_number_of_shards() {
        assert_eq!(shard("1/8"), Ok((0, 8)));
        assert_eq!(shard("8/8"), Ok((7, 8)));
        for wrong in ["0/8", "9/8", "1", "a/b", "1/0", ""] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_name_of_a_test_finds_it() {
        let id = test_id("e-2-3-nodev-held-17").unwrap();
        assert_eq!(id.name(), "e-2-3-nodev-held-17");
        let code = stream::code(id.family, id.size, id.number).unwrap();
        assert_eq!(Examiner::new(false).test(id, &code).name, id.name());
        for wrong in ["e-2-3-nodev-held-017", "e-9-3-nodev-held-1", "e-2-3-held-1", "x"] {
            assert!(test_id(wrong).is_err(), "{wrong}");
        }
    }
}
