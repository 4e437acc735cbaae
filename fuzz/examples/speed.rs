//! Speed of the simulator's worlds and of the fuzz target `world`, without libFuzzer, on one processor:
//! `cargo run --release -p ifq-fuzz --example speed -- SECONDS`.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

use ifq_fuzz::decode::FuzzInput;
use ifq_fuzz::targets::world;
use ifq_sim::executor::rng::Rng;
use ifq_sim::world::{Kernels, Profile, World};

/// Worlds of each kind, run again and again.
const WORLDS: usize = 8;
/// Random inputs beside the corpus.
const INPUTS: u64 = 200;
/// Length of a random input in bytes.
const LEN: usize = 96;

fn main() {
    let mut arguments = env::args().skip(1);
    let seconds = arguments.next().and_then(|s| s.parse().ok()).unwrap_or(2.0);
    let only = arguments.next();
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let time = Duration::from_secs_f64(seconds);
    for rings in [4, 64] {
        if wanted(&rings.to_string()) {
            measure_worlds(rings, time);
        }
    }
    if wanted("fuzz") {
        measure_inputs(time);
    }
}

fn draw(seed: u64, rings: u32) -> Option<World> {
    World::draw_with_rings(seed, Profile::Default, &Kernels::default(), rings)
}

/// Runs worlds that are drawn before, and draws the same worlds without running them.
fn measure_worlds(rings: u32, time: Duration) {
    let worlds: Vec<World> = (0..).filter_map(|seed| draw(seed, rings)).take(WORLDS).collect();
    let (mut steps, mut operations, begin) = (0, 0, Instant::now());
    while begin.elapsed() < time {
        for world in &worlds {
            let run = world.run();
            (steps, operations) = (steps + run.steps, operations + run.operations);
        }
    }
    let ran = begin.elapsed().as_secs_f64();
    let (mut drawn, begin) = (0, Instant::now());
    while begin.elapsed() < time {
        for world in &worlds {
            drawn += black_box(draw(world.seed, rings)).map_or(0, |w| w.test.steps().count());
        }
    }
    let drew = begin.elapsed().as_secs_f64();
    let rate = |n: u64, seconds: f64| n as f64 / seconds;
    println!("{rings} rings: {:.0} steps/s", rate(steps, ran));
    println!("{rings} rings: {:.0} operations/s", rate(operations, ran));
    println!("{rings} rings: {:.0} operations/s only drawn", rate(drawn as u64, drew));
}

/// Runs the inputs of the corpus and random inputs.
fn measure_inputs(time: Duration) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/world");
    let mut paths: Vec<_> =
        fs::read_dir(corpus).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut inputs: Vec<Vec<u8>> = paths.iter().flat_map(fs::read).collect();
    for seed in 0..INPUTS {
        let mut rng = Rng::new(seed);
        inputs.push((0..LEN).map(|_| rng.below(256) as u8).collect());
    }
    let operations: usize =
        inputs.iter().map(|bytes| FuzzInput::decode(bytes).test.steps().count()).sum();
    let (mut executions, begin) = (0, Instant::now());
    while begin.elapsed() < time {
        for bytes in &inputs {
            world(&FuzzInput::decode(bytes));
            executions += 1;
        }
    }
    let executed = f64::from(executions) / begin.elapsed().as_secs_f64();
    let (mut decoded, begin) = (0, Instant::now());
    while begin.elapsed() < time {
        for bytes in &inputs {
            black_box(FuzzInput::decode(bytes));
            decoded += 1;
        }
    }
    println!("fuzz: {executed:.0} executions/s");
    let decoded = f64::from(decoded) / begin.elapsed().as_secs_f64();
    println!("fuzz: {decoded:.0} inputs/s only decoded");
    println!("fuzz: {:.1} operations an input", operations as f64 / inputs.len() as f64);
}
