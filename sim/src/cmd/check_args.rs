//! Arguments of `ifq check`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use ifq_model::test::limits;

use super::bounds::Bounds;
use super::input::Which;

/// Arguments of `ifq check`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq check                                       the whole library, as each file expects it\n  \
    ifq check tests/library/exits-race.ifq          one file\n  \
    ifq check --defect early-put exits-race.ifq     with a defect: prints the counterexample\n  \
    ifq check --revision proxy-v1 --without P1      with one of the revision's defects fixed\n  \
    ifq check --faults 2 --fixed                   whatever can fail may fail, up to twice a run\n  \
    ifq check --preemptions 2 big.ifq               first the runs with few preemptions\n  \
    ifq check --max-memory 8000 big.ifq             as far as 8 GB go\n  \
    ifq check --checkpoint big.ckpt big.ifq         goes on where it was killed\n  \
    ifq check --catalogue                           each known defect is found, and only those\n  \
    ifq check --json | jq 'select(.as_expected|not)'")]
pub struct Args {
    /// Test files, or folders of them; none: the library that comes with ifq
    pub files: Vec<PathBuf>,
    /// Which kernels
    #[command(flatten)]
    pub which: Which,
    /// For each entry of the catalogue: is the defect found by the tests that show it, with which
    /// shortest counterexample, and does its repair hold; is a non-defect left alone
    #[arg(long, conflicts_with_all = ["faults", "revision", "defects", "without", "fixed"])]
    pub catalogue: bool,
    /// Every fault point may fail, at most N of them in one run, whatever the files say; what they
    /// expect to hold must still hold
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::FAULTS)))]
    pub faults: Option<u32>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// How far, and how
    #[command(flatten)]
    pub bounds: Bounds,
    /// Leave in this file, every few seconds, how far the search has come; if it is there, go on from it.
    /// For one file and one kernel
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Where counterexamples are written that nobody expected or that were asked for
    #[arg(long, value_name = "FOLDER", default_value = "counterexamples")]
    pub out: PathBuf,
}
