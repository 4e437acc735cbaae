//! The explorer beside stateright, on one problem: three rings share an ifq of six buffers with an
//! ordered refill queue.
//!
//!     cargo bench -p ifq-sim --bench peers
//!     cargo bench -p ifq-sim --bench peers -- --planted
//!
//! Both are given the same operations, each of them one step, and search on one thread ([`problem`]).
//! Their unique states are the same in number, which is checked: our scheduler adds none, because its
//! main thread waits for the rings to exit all the while, and where a ring stands is the number of its
//! operations, as in the other model. "Without names of buffers" the explorer takes states for one that
//! differ in nothing else; as many are left as the other search finds if it counts them so, which is
//! checked. "All, by name" are the states that stand behind those, over the time that it took.
//!
//! The last two lines are test files, run by the kernel-shaped code, where each lock and each atomic
//! access is a step: what the explorer is for. `three-rings-receive-six-times.ifq` is the same scenario,
//! operation by operation. Its states are those that differ in more than the names of rings and buffers;
//! it leaves out in which order a scrub comes to the buffers. `three-rings.ifq` is a short one: each ring
//! receives once. Of it no state is left out but for the names of rings.
//!
//! stateright looks at all lists of buffers in each state; ours compares a buffer's place with what it
//! should be whenever the buffer moves. All find the bug of `--planted`.
//!
//! All contenders take turns; a line shows the run of median time. CPU time is that of the process.
//! Bytes a state: the peak resident size of a process that only searches, less that of one that does
//! nothing (Linux only).

mod measure;
mod ours;
mod peer;
mod problem;

use std::path::Path;

use clap::Parser;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_sim::format::load;
use ifq_sim::search::explore::{Exploration, Limits, explore};
use ifq_sim::symmetry::Symmetries;

use measure::{Measured, measure};

/// How often each contender runs.
const RUNS: usize = 3;

/// Compares the explorer with stateright.
#[derive(Debug, Parser)]
struct Args {
    /// Plant a bug that both must find.
    #[arg(long)]
    planted: bool,
    /// Run one contender once, by its number, and print its peak resident size in bytes.
    #[arg(long, value_name = "N")]
    peak: Option<usize>,
    /// What cargo gives to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a contender found.
#[derive(Clone, Debug)]
struct Found {
    states: u64,
    /// How the problem breaks.
    broken: Option<String>,
}

impl From<Exploration> for Found {
    fn from(found: Exploration) -> Self {
        let broken =
            found.counterexample.map(|c| format!("{} after {} steps", c.violation, c.steps));
        assert_eq!(found.exhaustive, broken.is_none(), "no limit ends the search");
        Found { states: found.states, broken }
    }
}

struct Contender {
    name: &'static str,
    step: &'static str,
    run: fn(bool) -> Found,
}

const NOTHING: Contender =
    Contender { name: "nothing", step: "-", run: |_| Found { states: 0, broken: None } };

const OPERATION: &str = "operation";

/// The explorer leaves nothing out.
const BY_NAME: Limits =
    Limits { persistent_sets: false, symmetry: Symmetries::NONE, ..Limits::DEFAULT };

const CONTENDERS: [Contender; 7] = [
    NOTHING,
    Contender {
        name: "stateright, breadth first",
        step: OPERATION,
        run: |planted| peer::check(planted, peer::Search::BreadthFirst),
    },
    Contender {
        name: "stateright, depth first",
        step: OPERATION,
        run: |planted| peer::check(planted, peer::Search::DepthFirst),
    },
    Contender {
        name: "explorer, every step of every thread",
        step: OPERATION,
        run: |planted| ours::explore(planted, &BY_NAME).into(),
    },
    Contender {
        name: "explorer, without names of buffers",
        step: OPERATION,
        run: |planted| {
            let limits = Limits { symmetry: Symmetries::BUFFERS, ..BY_NAME };
            ours::explore(planted, &limits).into()
        },
    },
    Contender {
        name: "explorer, the same as a test file",
        step: "lock, atomic",
        run: |planted| {
            let limits = Limits { symmetry: Symmetries::BOTH, ..Limits::DEFAULT };
            test_file("three-rings-receive-six-times", planted, &limits)
        },
    },
    Contender {
        name: "explorer, three-rings.ifq",
        step: "lock, atomic",
        run: |planted| test_file("three-rings", planted, &Limits::DEFAULT),
    },
];

fn test_file(name: &str, planted: bool, limits: &Limits) -> Found {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let test = load(folder.join(name).with_extension("ifq")).expect("the file parses");
    let mut variant = Variant::of(Revision::Import73);
    if planted {
        variant.defects.push(Defect::EarlyPut);
    }
    explore(&test, &variant, limits, &mut |_| {}).into()
}

fn main() {
    let args = Args::parse();
    if let Some(contender) = args.peak {
        (CONTENDERS[contender].run)(args.planted);
        println!("{}", measure::peak_bytes().unwrap_or(0));
    } else if args.planted {
        planted();
    } else {
        compare();
    }
}

/// All of them find the bug.
fn planted() {
    for contender in &CONTENDERS[1..] {
        let found = (contender.run)(true);
        let broken = found.broken.expect("the planted bug is found");
        println!("{}: {broken}, {} states", contender.name, found.states);
    }
}

fn compare() {
    let mut runs: Vec<Vec<Measured>> = vec![Vec::new(); CONTENDERS.len()];
    for _ in 0..RUNS {
        for (contender, runs) in CONTENDERS.iter().zip(&mut runs).skip(1) {
            let measured = measure(|| (contender.run)(false));
            assert_eq!(measured.found.broken, None, "the problem holds");
            runs.push(measured);
        }
    }
    let states = |contender: usize| runs[contender][0].found.states;
    let all = states(1);
    assert!(all == states(2) && all == states(3), "the models are the same");
    let orbits = ours::explore(false, &Limits { orbits: Symmetries::BUFFERS, ..BY_NAME }).orbits;
    assert_eq!(orbits, states(4), "without names all of them are there, too");
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header([
        "",
        "a step",
        "s",
        "CPU s",
        "states",
        "states/CPU s",
        "all, by name/CPU s",
        "bytes/state",
    ]);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let idle = measure::peak_of(0);
    for (number, contender) in CONTENDERS.iter().enumerate().skip(1) {
        let runs = &mut runs[number];
        runs.sort_by_key(|run| run.elapsed);
        let median = &runs[RUNS / 2];
        let states = median.found.states;
        let bytes = measure::peak_of(number)
            .zip(idle)
            .map(|(peak, idle)| format!("{:.0}", peak.saturating_sub(idle) as f64 / states as f64));
        table.add_row([
            contender.name.to_owned(),
            contender.step.to_owned(),
            format!("{:.2}", median.elapsed.as_secs_f64()),
            format!("{:.2}", median.cpu.as_secs_f64()),
            states.to_string(),
            format!("{:.0}", states as f64 / median.cpu.as_secs_f64()),
            match contender.step == OPERATION {
                true => format!("{:.0}", all as f64 / median.cpu.as_secs_f64()),
                false => "-".to_owned(),
            },
            bytes.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    println!("{table}");
}
