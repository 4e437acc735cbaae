//! How long each engine takes to find each defect of the catalogue.

use std::time::{Duration, Instant};

use ifq_model::revision::{Defect, Entry, Revision};
use ifq_model::test::Test;

use super::worlds::{Worlds, run_worlds};
use crate::search::explore::{Limits, explore};
use crate::world::{Kernels, Profile};

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Campaigns of the simulator for each defect, each with seeds of its own.
    pub campaigns: u64,
    /// Worlds of one campaign at most.
    pub worlds: u64,
    /// Time of one campaign at most.
    pub time: Duration,
}

/// The campaigns of one defect with one profile.
#[derive(Clone, Debug)]
pub struct Campaigns {
    /// The profile.
    pub profile: Profile,
    /// By campaign: worlds and seconds until the violation. Campaigns that found none are left out.
    pub found: Vec<(u64, Duration)>,
    /// Number of campaigns.
    pub campaigns: u64,
}

/// The search of the library file that shows a defect.
#[derive(Clone, Debug)]
pub struct Searched {
    /// The file's test.
    pub test: String,
    /// Visited states.
    pub states: u64,
    /// Time.
    pub time: Duration,
    /// A violation was found.
    pub found: bool,
}

/// Campaigns with worlds of one profile.
///
/// Campaign `n` begins with seed `n * 2^32`, so that campaigns have no seed in common.
#[must_use]
pub fn campaigns(defect: Defect, profile: Profile, budget: Budget) -> Campaigns {
    let mut found = Vec::new();
    for number in 0..budget.campaigns {
        let kernels = Kernels { revision: None, defects: vec![defect] };
        let worlds = Worlds { seed: number << 32, runs: budget.worlds, profile, kernels, jobs: 1 };
        let started = Instant::now();
        let ran = run_worlds(&worlds, &|| started.elapsed() < budget.time, &mut |_, _| {});
        if ran.failed.is_some() {
            found.push((ran.statistics.worlds, started.elapsed()));
        }
    }
    Campaigns { profile, found, campaigns: budget.campaigns }
}

/// The value below which a share of the campaigns lies, in per cent; a campaign without a violation is larger
/// than all others. `None`: it is one of these.
#[must_use]
pub fn percentile<T: Ord + Copy>(found: &[T], campaigns: u64, per_cent: u64) -> Option<T> {
    let mut sorted = found.to_vec();
    sorted.sort_unstable();
    let at = (campaigns * per_cent).div_ceil(100).saturating_sub(1);
    sorted.get(at as usize).copied()
}

/// Searches the first test of a library that shows a defect, on the first revision on which it must find a
/// violation. `None`: no test does.
#[must_use]
pub fn search(defect: Defect, library: &[&Test]) -> Option<Searched> {
    let shows = |test: &&&Test| test.shows.contains(&Entry::Defect(defect));
    for test in library.iter().filter(shows) {
        let violating = test.variants().into_iter().find(|variant| {
            let own = |revision: Revision| revision.defects().contains(&defect);
            let has = variant.defects.contains(&defect) || own(variant.revision);
            has && test.expected(variant).is_some()
        });
        let Some(variant) = violating else { continue };
        let started = Instant::now();
        let seen = explore(test, &variant, &Limits::default(), &mut |_| {});
        return Some(Searched {
            test: test.name.clone(),
            states: seen.states,
            time: started.elapsed(),
            found: seen.counterexample.is_some(),
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_counts_campaigns_that_found_nothing_as_larger_than_all_others() {
        assert_eq!(percentile(&[3, 1, 2], 3, 50), Some(2));
        assert_eq!(percentile(&[3, 1, 2], 4, 90), None);
        assert_eq!(percentile(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 10, 90), Some(9));
        assert_eq!(percentile::<u64>(&[], 20, 50), None);
    }
}
