//! Runs many worlds on several processors.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::world::{Kernels, Profile, Statistics, World, WorldRun};

/// Which worlds.
#[derive(Clone, Debug)]
pub struct Worlds {
    /// The seed of the first world. The next one has the next seed.
    pub seed: u64,
    /// Their number at most.
    pub runs: u64,
    /// Their profile.
    pub profile: Profile,
    /// Revisions and defects.
    pub kernels: Kernels,
    /// Processors.
    pub jobs: usize,
}

/// What the worlds did, up to the first one that failed.
#[derive(Debug, Default)]
pub struct Ran {
    /// Sums over the worlds.
    pub statistics: Statistics,
    /// The world of the smallest seed that failed, with its run.
    pub failed: Option<(World, WorldRun)>,
}

/// Runs worlds in the order of their seeds until one fails, or `should_continue` returns `false`. Calls `each`
/// with every world, in the order of the seeds.
///
/// The result does not depend on the number of processors, as long as `should_continue` is true.
pub fn run_worlds(
    worlds: &Worlds,
    should_continue: &(dyn Fn() -> bool + Sync),
    each: &mut dyn FnMut(&World, &WorldRun),
) -> Ran {
    let mut ran = Ran::default();
    let (mut next, batch) = (0, BATCH * worlds.jobs.max(1) as u64);
    while next < worlds.runs && ran.failed.is_none() && should_continue() {
        let end = worlds.runs.min(next + batch);
        for (world, run) in run_batch(worlds, next..end, should_continue) {
            ran.statistics.add(&world, &run);
            each(&world, &run);
            if run.failure.is_some() {
                ran.failed = Some((world, run));
                break;
            }
        }
        next = end;
    }
    ran
}

/// Worlds of one batch, for each processor.
const BATCH: u64 = 4;

/// Runs the worlds of some numbers; those that were not started are left out.
fn run_batch(
    worlds: &Worlds,
    numbers: std::ops::Range<u64>,
    should_continue: &(dyn Fn() -> bool + Sync),
) -> Vec<(World, WorldRun)> {
    let next = AtomicU64::new(numbers.start);
    let done: Mutex<Vec<(World, WorldRun)>> = Mutex::new(Vec::new());
    let work = || {
        while should_continue() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                break;
            }
            let seed = worlds.seed.wrapping_add(number);
            let Some(world) = World::draw(seed, worlds.profile, &worlds.kernels) else { break };
            let run = world.run();
            if let Ok(mut done) = done.lock() {
                done.push((world, run));
            }
        }
    };
    if worlds.jobs <= 1 {
        work();
    } else {
        std::thread::scope(|scope| {
            (0..worlds.jobs).for_each(|_| _ = scope.spawn(work));
        });
    }
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(world, _)| world.seed.wrapping_sub(worlds.seed));
    done
}
