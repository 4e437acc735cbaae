//! Speed of the simulator at 4 and at 64 rings, beside a loop that only draws worlds and runs none.
//! `cargo run --release -p ifq-fuzz --example speed` measures the body of the fuzz target as well.

use divan::Bencher;
use divan::counter::ItemsCount;
use ifq_sim::world::{Kernels, Profile, World};

fn main() {
    divan::main();
}

/// Worlds of the default profile with this many rings.
fn worlds(rings: u32) -> Vec<World> {
    (0..).filter_map(|seed| draw(seed, rings)).take(8).collect()
}

fn draw(seed: u64, rings: u32) -> Option<World> {
    World::draw_with_rings(seed, Profile::Default, &Kernels::default(), rings)
}

/// Items are steps.
#[divan::bench(args = [4, 64])]
fn steps(bencher: Bencher<'_, '_>, rings: u32) {
    let worlds = worlds(rings);
    let run = || worlds.iter().map(|world| world.run().steps).sum::<u64>();
    bencher.counter(ItemsCount::new(run())).bench_local(run);
}

/// Items are operations.
#[divan::bench(args = [4, 64])]
fn operations(bencher: Bencher<'_, '_>, rings: u32) {
    let worlds = worlds(rings);
    let run = || worlds.iter().map(|world| world.run().operations).sum::<u64>();
    bencher.counter(ItemsCount::new(run())).bench_local(run);
}

/// Items are operations that are drawn and not run.
#[divan::bench(args = [4, 64])]
fn drawing_only(bencher: Bencher<'_, '_>, rings: u32) {
    let worlds = worlds(rings);
    let draw_again = || {
        let again = worlds.iter().filter_map(|world| draw(world.seed, rings));
        again.map(|world| world.test.steps().count()).sum::<usize>()
    };
    bencher.counter(ItemsCount::new(draw_again())).bench_local(draw_again);
}
