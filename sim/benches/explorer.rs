//! How fast the machine runs and the explorer searches, on files of the library.

use std::path::Path;
use std::rc::Rc;

use divan::Bencher;
use divan::counter::ItemsCount;
use ifq_model::revision::{Revision, Variant};
use ifq_model::scenario::Test;
use ifq_sim::exec::run_once;
use ifq_sim::explore::{Limits, explore};
use ifq_sim::file::load;
use ifq_sim::schedule::Random;

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

/// Items are unique states.
#[divan::bench(args = ["exits-race", "importer-exports-again"], sample_count = 5)]
fn exhaustive(bencher: Bencher<'_, '_>, name: &str) {
    let test = library(name);
    let variant = Variant::of(Revision::Import73);
    let search = || explore(&test, &variant, &Limits::default(), &mut |_| {});
    let states = search().states;
    bencher.counter(ItemsCount::new(states)).bench_local(search);
}
