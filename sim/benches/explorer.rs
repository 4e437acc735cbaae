//! Speed of the executor and of the explorer, on tests of the library.

use std::path::Path;
use std::rc::Rc;

use divan::Bencher;
use divan::counter::ItemsCount;
use ifq_model::revision::{Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::executor::run::run_once;
use ifq_sim::executor::scheduler::Random;
use ifq_sim::format::load;
use ifq_sim::search::explore::{Limits, explore};

fn main() {
    divan::main();
}

fn library(name: &str) -> Test {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    load(folder.join(name).with_extension("ifq")).expect("the library parses")
}

/// Items are steps.
#[divan::bench(args = ["teardown/exits-race", "import/recv-through-the-importer"])]
fn random_run(bencher: Bencher<'_, '_>, name: &str) {
    let test = Rc::new(library(name));
    let variant = Variant::of(Revision::Import73);
    let run = || run_once(&test, &variant, Box::new(Random::new(1)));
    let steps = run().steps;
    bencher.counter(ItemsCount::new(steps)).bench_local(run);
}

/// A search configuration.
#[derive(Debug)]
struct Configuration {
    name: &'static str,
    limits: fn() -> Limits,
}

impl std::fmt::Display for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const CONFIGURATIONS: &[Configuration] = &[
    Configuration { name: "persistent sets", limits: Limits::default },
    Configuration {
        name: "persistent sets, 2 processors",
        limits: || Limits { workers: 2, ..Limits::default() },
    },
    Configuration {
        name: "persistent and sleep sets",
        limits: || Limits { sleep_sets: true, ..Limits::default() },
    },
    Configuration { name: "unreduced", limits: unreduced },
    Configuration {
        name: "unreduced, 2 processors",
        limits: || Limits { workers: 2, ..unreduced() },
    },
    Configuration { name: "sleep sets", limits: || Limits { sleep_sets: true, ..unreduced() } },
];

/// No partial-order reduction, for a few seconds.
fn unreduced() -> Limits {
    Limits { persistent_sets: false, max_states: 4_000_000, ..Limits::default() }
}

/// Three rings share an ifq; every lock and atomic is a step. Items are unique states.
#[divan::bench(args = CONFIGURATIONS, sample_count = 3, sample_size = 1)]
fn three_rings(bencher: Bencher<'_, '_>, configuration: &Configuration) {
    search(bencher, "three-rings", configuration);
}

/// As [`three_rings`], large enough that the preparation is negligible.
#[divan::bench(args = &CONFIGURATIONS[..2], sample_count = 3, sample_size = 1)]
fn three_rings_twice(bencher: Bencher<'_, '_>, configuration: &Configuration) {
    search(bencher, "three-rings-twice", configuration);
}

fn search(bencher: Bencher<'_, '_>, name: &str, configuration: &Configuration) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let test = load(folder.join(name).with_extension("ifq")).expect("the test parses");
    let variant = Variant::of(Revision::Import73);
    let limits = (configuration.limits)();
    let search = || explore(&test, &variant, &limits, &mut |_| {});
    let found = search();
    eprintln!("{name}, {configuration}: {} states, {} bytes", found.states, found.bytes);
    bencher.counter(ItemsCount::new(found.states)).bench_local(search);
}
