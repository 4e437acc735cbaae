//! Draws a world from a seed.

use ifq_model::test::limits::FAULTS;
use ifq_model::test::{Expect, Test};

use super::draft::Draft;
use super::feature::Feature;
use super::options::{Kernels, Options};
use super::profile::Profile;
use super::{application, liveness, network};
use crate::executor::rng::Rng;
use crate::generate::{Shape, Word, sequence};

/// A world: one seed, one long run.
#[derive(Clone, Debug)]
pub struct World {
    /// The seed.
    pub seed: u64,
    /// What the seed has drawn first.
    pub options: Options,
    /// The test that runs.
    pub test: Test,
    /// The seed of the schedule.
    pub(super) schedule: u64,
}

impl World {
    /// Draws a world; `None` if no revision has the code of all planted defects.
    #[must_use]
    pub fn draw(seed: u64, profile: Profile, kernels: &Kernels) -> Option<World> {
        if kernels.revisions().is_empty() {
            return None;
        }
        let mut rng = Rng::new(seed);
        let options = Options::draw(&mut rng, profile, kernels);
        Some(World::draw_content(seed, options, &mut rng))
    }

    /// As [`World::draw`], but with this number of rings, at most 64, and threads. For measurements.
    #[must_use]
    pub fn draw_with_rings(
        seed: u64,
        profile: Profile,
        kernels: &Kernels,
        rings: u32,
    ) -> Option<World> {
        if kernels.revisions().is_empty() {
            return None;
        }
        let mut rng = Rng::new(seed);
        let options = Options::draw(&mut rng, profile, kernels).with_rings(rings);
        Some(World::draw_content(seed, options, &mut rng))
    }

    fn draw_content(seed: u64, options: Options, rng: &mut Rng) -> World {
        let (content, schedule) = (rng.next_u64(), rng.next_u64());
        let test = draw_test(seed, &options, content);
        World { seed, options, test, schedule }
    }
}

/// Draws the test of a world whose options are known.
fn draw_test(seed: u64, options: &Options, content: u64) -> Test {
    let mut test = match options.sequential {
        true => draw_sequence(options, content),
        false => draw_threads(options, content),
    };
    test.name = format!("world-{seed}");
    test.about = format!("The world of seed {seed}, profile {}.", options.profile);
    test
}

/// Operations one after the other, for the oracle.
fn draw_sequence(options: &Options, content: u64) -> Test {
    let mut rng = Rng::new(content);
    let (rings, variant) = (options.rings.min(6) as u8, &options.variant);
    let queues = options.queues.min(4);
    let socket = |rng: &mut Rng| {
        (queues > 0 && rng.below(4) > 0).then(|| rng.below(u64::from(queues)) as u32)
    };
    let sockets = (0..4).map(|_| socket(&mut rng)).collect();
    let shape = Shape { rings, sockets, queues, setup: None };
    let mut word = || -> Word { std::array::from_fn(|_| rng.next_u64() as u8) };
    let words: Vec<Word> = (0..options.operations).map(|_| word()).collect();
    let mut test = sequence(variant.revision, &shape, &words);
    let (defects, without) = (variant.defects.clone(), variant.without.clone());
    test.expect = vec![Expect { defects, without, ..Expect::default() }];
    test.observe.clear();
    test
}

/// Threads of applications, peers and one that closes things; then `finally`.
fn draw_threads(options: &Options, content: u64) -> Test {
    let mut draft = Draft::new(Rng::new(content), options);
    application::draw_setups(&mut draft);
    application::draw_setup(&mut draft);
    let closes = draft.weight(Feature::Unshare);
    let device = [Feature::DownUp, Feature::Restart, Feature::Unregister];
    let device: u32 = device.iter().map(|feature| draft.weight(*feature)).sum();
    for _ in 0..options.operations {
        let open = draft.open();
        let kinds = [(0, 16), (1, 12), (2, closes / 2), (3, device.div_ceil(8))];
        let drawn = match draft.weighted(&kinds) {
            Some(0) => match draft.one_of(&open) {
                Some(ring) => application::draw(&mut draft, ring),
                None => false,
            },
            Some(2) => network::draw_close(&mut draft),
            Some(3) => network::draw_device(&mut draft),
            _ => network::draw(&mut draft),
        };
        if !drawn {
            network::draw(&mut draft);
        }
    }
    liveness::draw_execs(&mut draft);
    liveness::draw(&mut draft);
    let mut test = draft.finish();
    test.max_faults = if test.faults.is_empty() { 0 } else { FAULTS };
    test
}
