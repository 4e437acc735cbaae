//! Arguments of `ifq run` and `ifq conform`: how to run tests and compare the results.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use ifq_model::revision::Defect;

use crate::conform::compare::Verdict;
use crate::conform::oracle::Explorer;
use crate::conform::run::{IDLE_TIMEOUT_MS, RunOptions};

use super::exit::{EXIT_BOUNDED, EXIT_DIFFERENCE, EXIT_NOT_RUN, EXIT_OK, combined};

/// Arguments that say how to run and compare tests.
#[derive(Clone, Debug, Args)]
pub struct Live {
    /// Number of processors of a QEMU guest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub cpus: u32,
    /// Repetitions of each test [default: 100, or 1 for a drawn sequence]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub times: Option<u32>,
    /// Seed of the delays between threads and of drawn tests [default: from the clock; printed]
    #[arg(long)]
    pub seed: Option<u64>,
    /// A wait gives up after so many milliseconds in which nothing happened [default: 300; of a drawn
    /// test 60, and 300 before a difference counts]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..60_000))]
    pub idle_timeout_ms: Option<u64>,
    /// Time limit, in seconds, of the model search for each test
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub search_seconds: u64,
    /// Add a defect to the model (may be repeated)
    #[arg(long = "defect", value_name = "ID", value_parser = super::selection::defect())]
    pub defects: Vec<Defect>,
    /// Fix one of the revision's own defects in the model (may be repeated)
    #[arg(long, value_name = "ID", value_parser = super::selection::defect())]
    pub without: Vec<Defect>,
}

impl Live {
    /// How tests are run; `times` and `idle_timeout_ms` if nothing else was said.
    #[must_use]
    pub fn options(&self, times: u32, idle_timeout_ms: u64) -> RunOptions {
        RunOptions {
            times: self.times.unwrap_or(times),
            seed: self.seed.unwrap_or_else(clock_seed),
            idle_timeout_ms: self.idle_timeout_ms.unwrap_or(idle_timeout_ms),
            observed_first: false,
        }
    }

    /// The model search that computes the allowed outcomes.
    #[must_use]
    pub fn explorer(&self) -> Explorer {
        Explorer {
            time: Duration::from_secs(self.search_seconds),
            defects: self.defects.clone(),
            without: self.without.clone(),
        }
    }

    /// The arguments that repeat a run.
    #[must_use]
    pub fn again(&self, options: &RunOptions) -> String {
        let RunOptions { times, seed, idle_timeout_ms, .. } = options;
        let mut text = format!("--times {times} --seed {seed}");
        if self.cpus != 1 {
            text.push_str(&format!(" --cpus {}", self.cpus));
        }
        if self.idle_timeout_ms.is_some() && *idle_timeout_ms != IDLE_TIMEOUT_MS {
            text.push_str(&format!(" --idle-timeout-ms {idle_timeout_ms}"));
        }
        for (option, defects) in [("defect", &self.defects), ("without", &self.without)] {
            defects.iter().for_each(|defect| text.push_str(&format!(" --{option} {defect}")));
        }
        text
    }
}

fn clock_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::from(time.subsec_nanos()))
}

/// The exit code of several verdicts, see [`combined`].
#[must_use]
pub fn exit_code(verdicts: impl IntoIterator<Item = Verdict>) -> u8 {
    combined(verdicts.into_iter().map(|verdict| match verdict {
        Verdict::Differs => EXIT_DIFFERENCE,
        Verdict::Bounded => EXIT_BOUNDED,
        Verdict::NotRun => EXIT_NOT_RUN,
        Verdict::Agrees => EXIT_OK,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_wins_and_a_test_that_was_not_run_never_passes() {
        use Verdict::{Agrees, Bounded, Differs, NotRun};
        assert_eq!(exit_code([Agrees, Agrees]), EXIT_OK);
        assert_eq!(exit_code([Agrees, NotRun, Agrees]), EXIT_NOT_RUN);
        assert_eq!(exit_code([NotRun, Bounded, Agrees]), EXIT_BOUNDED);
        assert_eq!(exit_code([NotRun, Differs, Bounded]), EXIT_DIFFERENCE);
    }
}
