//! Speed of the simulator, beside a loop that only draws worlds and runs none.

use divan::Bencher;
use divan::counter::ItemsCount;
use ifq_sim::world::{Kernels, Profile, World};

fn main() {
    divan::main();
}

/// Worlds of the default profile with this many rings.
fn worlds(rings: u32) -> Vec<World> {
    let draw = |seed| World::draw(seed, Profile::Default, &Kernels::default());
    let fits = |world: &World| world.options.rings == rings && !world.options.sequential;
    (0..).filter_map(draw).filter(fits).take(8).collect()
}

/// Items are steps.
#[divan::bench(args = [4, 8, 16])]
fn steps(bencher: Bencher<'_, '_>, rings: u32) {
    let worlds = worlds(rings);
    let run = || worlds.iter().map(|world| world.run().steps).sum::<u64>();
    bencher.counter(ItemsCount::new(run())).bench_local(run);
}

/// Items are operations.
#[divan::bench(args = [4, 8, 16])]
fn operations(bencher: Bencher<'_, '_>, rings: u32) {
    let worlds = worlds(rings);
    let run = || worlds.iter().map(|world| world.run().operations).sum::<u64>();
    bencher.counter(ItemsCount::new(run())).bench_local(run);
}

/// Items are operations that are drawn and not run.
#[divan::bench(args = [4, 8, 16])]
fn drawing_only(bencher: Bencher<'_, '_>, rings: u32) {
    let worlds = worlds(rings);
    let draw = || {
        let again = worlds
            .iter()
            .filter_map(|world| World::draw(world.seed, Profile::Default, &Kernels::default()));
        again.map(|world| world.test.steps().count()).sum::<usize>()
    };
    bencher.counter(ItemsCount::new(draw())).bench_local(draw);
}
