//! How fast the machine runs and the explorer searches, on files of the library.

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
#[divan::bench(args = ["exits-race", "recv-through-the-importer"])]
fn random_run(bencher: Bencher<'_, '_>, name: &str) {
    let test = Rc::new(library(name));
    let variant = Variant::of(Revision::Import73);
    let run = || run_once(&test, &variant, Box::new(Random::new(1)));
    let steps = run().steps;
    bencher.counter(ItemsCount::new(steps)).bench_local(run);
}

/// One search: what it leaves out, and how many processors it has.
#[derive(Debug)]
struct Way {
    name: &'static str,
    limits: fn() -> Limits,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const WAYS: &[Way] = &[
    Way { name: "persistent sets", limits: Limits::default },
    Way {
        name: "persistent sets, 2 processors",
        limits: || Limits { workers: 2, ..Limits::default() },
    },
    Way {
        name: "persistent and sleep sets",
        limits: || Limits { sleep_sets: true, ..Limits::default() },
    },
    Way { name: "everything", limits: everything },
    Way { name: "everything, 2 processors", limits: || Limits { workers: 2, ..everything() } },
    Way { name: "sleep sets", limits: || Limits { sleep_sets: true, ..everything() } },
];

/// Every thread in every state, as far as a few seconds go.
fn everything() -> Limits {
    Limits { persistent_sets: false, max_states: 4_000_000, ..Limits::default() }
}

/// Three rings that share an ifq, every lock and atomic a step. Items are unique states.
#[divan::bench(args = WAYS, sample_count = 3, sample_size = 1)]
fn three_rings(bencher: Bencher<'_, '_>, way: &Way) {
    search(bencher, "three-rings", way);
}

/// As [`three_rings`], large enough that preparing it takes no share of the time.
#[divan::bench(args = &WAYS[..2], sample_count = 3, sample_size = 1)]
fn three_rings_twice(bencher: Bencher<'_, '_>, way: &Way) {
    search(bencher, "three-rings-twice", way);
}

fn search(bencher: Bencher<'_, '_>, name: &str, way: &Way) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let test = load(folder.join(name).with_extension("ifq")).expect("the test parses");
    let variant = Variant::of(Revision::Import73);
    let limits = (way.limits)();
    let search = || explore(&test, &variant, &limits, &mut |_| {});
    let found = search();
    eprintln!("{name}, {way}: {} states, {} bytes", found.states, found.bytes);
    bencher.counter(ItemsCount::new(found.states)).bench_local(search);
}
