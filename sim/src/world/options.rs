//! The options of a world. Each seed draws them, before anything else: swarm testing (Groce, Zhang, Eide,
//! Chen, Regehr, "Swarm Testing", ISSTA 2012).
//!
//! The core idea of swarm testing is that a run with some features off reaches states that no run with all
//! features on reaches: a world in which no buffer ever comes back, or in which no ring ever exits.

use std::fmt;

use ifq_model::fault::FaultPoint;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::limits::RINGS;
use serde::Serialize;

use super::faults::{FaultRate, draw_faults};
use super::feature::{Feature, Part};
use super::profile::Profile;
use super::strategy::Strategy;
use crate::executor::rng::Rng;

/// Weight of a feature that is off.
const OFF: u32 = 0;

/// The drawn options of a world.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// The profile that they were drawn from.
    pub profile: Profile,
    /// The kernel: a revision, and its defects.
    #[serde(skip)]
    pub variant: Variant,
    /// One operation at a time, with the sequential specification as an oracle; no threads, no faults.
    pub sequential: bool,
    /// Rings.
    pub rings: u32,
    /// Connections.
    pub connections: u32,
    /// Receive queues of the device; 0: there is no device.
    pub queues: u32,
    /// Operations of the storm.
    pub operations: u32,
    /// Largest number of buffers in an area.
    pub buffers: u32,
    /// Largest number of entries of a refill ring.
    pub entries: u32,
    /// The weight of each feature that is on.
    pub features: Vec<(Feature, u32)>,
    /// Which thread runs when.
    pub strategy: Strategy,
    /// The fault points that may fail, with their probabilities.
    pub faults: Vec<FaultRate>,
}

/// The revisions and the defect that a caller asks for.
#[derive(Clone, Debug, Default)]
pub struct Kernels {
    /// Only this revision.
    pub revision: Option<Revision>,
    /// Planted defects. All others are fixed.
    pub defects: Vec<Defect>,
}

impl Kernels {
    /// The revisions that a world may have: those whose code has all planted defects.
    #[must_use]
    pub fn revisions(&self) -> Vec<Revision> {
        let has = |revision: &Revision| self.defects.iter().all(|d| d.has_code_in(*revision));
        let asked = |revision: &Revision| self.revision.is_none_or(|asked| asked == *revision);
        Revision::ALL.into_iter().filter(has).filter(asked).collect()
    }

    /// The variant of a revision with the planted defects, and all others fixed.
    #[must_use]
    pub fn variant(&self, revision: Revision) -> Variant {
        let own = |defect: &&Defect| revision.defects().contains(defect);
        let added: Vec<Defect> = self.defects.iter().filter(|d| !own(d)).copied().collect();
        let fixed = revision.defects().iter().filter(|d| !self.defects.contains(d));
        let fixed: Vec<Defect> = fixed.copied().collect();
        Variant::with(revision, &added).without(&fixed)
    }
}

impl Options {
    /// Draws options. `kernels` must allow at least one revision.
    #[must_use]
    pub fn draw(rng: &mut Rng, profile: Profile, kernels: &Kernels) -> Self {
        let revisions = kernels.revisions();
        let revision = revisions[rng.below(revisions.len() as u64) as usize];
        let sequential = rng.below(8) == 0;
        let sizes = profile.sizes();
        let mut between = |(low, high): (u32, u32)| low + skewed(rng, high - low);
        let (rings, operations) = (between(sizes.rings), between(sizes.operations));
        let (buffers, entries) = (between(sizes.buffers), between(sizes.entries));
        let device = !revision.has_nodev() || rng.below(2) == 0;
        let queues = if device { 1 + skewed(rng, 15.min(rings.max(2) - 1)) } else { 0 };
        let features = draw_features(rng, profile, queues > 0);
        let strategy = Strategy::draw(rng, operations);
        let faults = if sequential { Vec::new() } else { draw_faults(rng, profile) };
        Options {
            profile,
            variant: kernels.variant(revision),
            sequential,
            rings,
            connections: (2 * rings + 4 + skewed(rng, 32)).min(96),
            queues,
            operations: if sequential { operations.min(MAX_SEQUENTIAL) } else { operations },
            buffers,
            entries,
            features,
            strategy,
            faults,
        }
    }

    /// The same options with this number of rings, each with its connections, and with threads.
    pub(super) fn with_rings(mut self, rings: u32) -> Self {
        self.rings = rings.min(RINGS as u32);
        self.connections = (2 * self.rings + 4).min(96);
        self.sequential = false;
        self
    }

    /// The weight of a feature; 0: it is off.
    #[must_use]
    pub fn weight(&self, feature: Feature) -> u32 {
        self.features.iter().find(|(on, _)| *on == feature).map_or(OFF, |(_, weight)| *weight)
    }

    /// Whether user space breaks rules. Then only what the kernel owes to every application is checked.
    #[must_use]
    pub fn misuses(&self) -> bool {
        self.features.iter().any(|(feature, _)| feature.part() == Part::Misuse)
    }

    /// The fault points that may fail.
    #[must_use]
    pub fn fault_points(&self) -> Vec<FaultPoint> {
        self.faults.iter().map(|rate| rate.point).collect()
    }
}

/// Longest world of the sequential kind: the specification is compared at the end of it.
const MAX_SEQUENTIAL: u32 = 150;

/// A number up to `most`; small ones are more likely.
fn skewed(rng: &mut Rng, most: u32) -> u32 {
    let below = rng.below(u64::from(most) + 1);
    rng.below(below + 1) as u32
}

/// Each feature is on with the probability of the profile. Features of the device need one.
fn draw_features(rng: &mut Rng, profile: Profile, device: bool) -> Vec<(Feature, u32)> {
    let mut features = Vec::new();
    for feature in Feature::ALL {
        let (on, weight) = (rng.below(100) as u32, 1 + rng.below(8) as u32);
        let possible = device || feature.part() != Part::Device;
        if possible && on < profile.percent(*feature) {
            features.push((*feature, weight));
        }
    }
    features
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { profile, variant, rings, connections, queues, operations, .. } = self;
        let kind = if self.sequential { "one operation at a time" } else { "threads" };
        writeln!(f, "  profile {profile}, {variant}, {kind}")?;
        writeln!(
            f,
            "  {rings} rings, {connections} connections, {queues} queues, areas to {} buffers, \
             refill rings to {} entries, {operations} operations",
            self.buffers, self.entries
        )?;
        let names: Vec<String> =
            self.features.iter().map(|(on, weight)| format!("{}={weight}", on.name())).collect();
        writeln!(f, "  features {}", list(&names))?;
        writeln!(f, "  schedule {}", self.strategy)?;
        let faults: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        writeln!(f, "  faults {}", list(&faults))
    }
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}
