//! What many worlds have done.

use std::collections::BTreeMap;

use serde::Serialize;

use super::draw::World;
use super::run::WorldRun;

/// Sums over worlds. Adding worlds in another order gives the same sums.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Statistics {
    /// Worlds.
    pub worlds: u64,
    /// Steps of the executor.
    pub steps: u64,
    /// Operations of user space.
    pub operations: u64,
    /// Worlds in which something failed.
    pub failures: u64,
    /// Worlds by revision.
    pub revisions: BTreeMap<String, u64>,
}

impl Statistics {
    /// Adds a world.
    pub fn add(&mut self, world: &World, run: &WorldRun) {
        self.worlds += 1;
        self.steps += run.steps;
        self.operations += run.operations;
        self.failures += u64::from(run.failure.is_some());
        let revision = world.options.variant.revision.to_string();
        *self.revisions.entry(revision).or_default() += 1;
    }

    /// Adds the sums of other worlds.
    pub fn merge(&mut self, other: &Statistics) {
        self.worlds += other.worlds;
        self.steps += other.steps;
        self.operations += other.operations;
        self.failures += other.failures;
        for (revision, worlds) in &other.revisions {
            *self.revisions.entry(revision.clone()).or_default() += worlds;
        }
    }
}
