//! Compares the explorer with stateright on one problem: three rings share an ifq of six buffers with an
//! ordered refill queue.
//!
//!     cargo bench -p ifq-sim --bench peers
//!     cargo bench -p ifq-sim --bench peers -- --planted
//!
//! Both search the same operations, each of them one step, on one thread ([`problem`]). They must find the
//! same number of unique states: our scheduler adds none, because the main thread waits until all rings have
//! exited. With buffer symmetry the explorer must find as many states as there are orbits. The column "all
//! states/CPU s" divides the number of states without symmetry by the time with it.
//!
//! The last two lines are test files that run the kernel-shaped code, in which each lock and each atomic
//! access is a step: the explorer's real use. `three-rings-receive-six-times.ifq` is the same scenario,
//! operation by operation, with ring and buffer symmetry; buffer symmetry ignores the order in which a scrub
//! visits the buffers. `three-rings.ifq` is a short scenario in which each ring receives once, with ring
//! symmetry only.
//!
//! stateright checks all lists of buffers in each state. The explorer checks the place of a buffer whenever
//! it moves. Both find the bug of `--planted`.
//!
//! The contenders take turns; a line shows the run of median time. CPU time is that of the process. Bytes
//! per state: peak resident size of a process that only searches, minus that of a process that does nothing
//! (Linux only).

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

/// Runs of each contender.
const RUNS: usize = 3;

/// Compares the explorer with stateright.
#[derive(Debug, Parser)]
struct Args {
    /// Plant a bug, which both must find.
    #[arg(long)]
    planted: bool,
    /// Run one contender once, by number, and print its peak resident size in bytes.
    #[arg(long, value_name = "N")]
    peak: Option<usize>,
    /// Cargo passes this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The result of a contender.
#[derive(Clone, Debug)]
struct Found {
    states: u64,
    /// The violation.
    violation: Option<String>,
}

impl From<Exploration> for Found {
    fn from(found: Exploration) -> Self {
        let violation =
            found.counterexample.map(|c| format!("{} after {} steps", c.violation, c.steps));
        assert_eq!(found.exhaustive, violation.is_none(), "no limit ends the search");
        Found { states: found.states, violation }
    }
}

/// A checker in the comparison.
struct Contender {
    name: &'static str,
    step: &'static str,
    run: fn(bool) -> Found,
}

const NOTHING: Contender =
    Contender { name: "nothing", step: "-", run: |_| Found { states: 0, violation: None } };

const OPERATION: &str = "operation";

/// The explorer without reductions.
const UNREDUCED: Limits =
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
        name: "explorer, no reduction",
        step: OPERATION,
        run: |planted| ours::explore(planted, &UNREDUCED).into(),
    },
    Contender {
        name: "explorer, buffer symmetry",
        step: OPERATION,
        run: |planted| {
            let limits = Limits { symmetry: Symmetries::BUFFERS, ..UNREDUCED };
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

/// Checks that all contenders find the bug.
fn planted() {
    for contender in &CONTENDERS[1..] {
        let found = (contender.run)(true);
        let violation = found.violation.expect("the planted bug is found");
        println!("{}: {violation}, {} states", contender.name, found.states);
    }
}

fn compare() {
    let mut runs: Vec<Vec<Measured>> = vec![Vec::new(); CONTENDERS.len()];
    for _ in 0..RUNS {
        for (contender, runs) in CONTENDERS.iter().zip(&mut runs).skip(1) {
            let measured = measure(|| (contender.run)(false));
            assert_eq!(measured.found.violation, None, "the problem holds");
            runs.push(measured);
        }
    }
    let states = |contender: usize| runs[contender][0].found.states;
    let states_in_full = states(1);
    assert!(states_in_full == states(2) && states_in_full == states(3), "the models are the same");
    let limits = Limits { count_orbits: Symmetries::BUFFERS, ..UNREDUCED };
    let orbits = ours::explore(false, &limits).orbits;
    assert_eq!(orbits, states(4), "the search with symmetry finds every orbit");
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header([
        "",
        "a step",
        "s",
        "CPU s",
        "states",
        "states/CPU s",
        "all states/CPU s",
        "bytes/state",
    ]);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let baseline = measure::peak_of(0);
    for (number, contender) in CONTENDERS.iter().enumerate().skip(1) {
        let runs = &mut runs[number];
        runs.sort_by_key(|run| run.elapsed);
        let median = &runs[RUNS / 2];
        let states = median.found.states;
        let bytes = measure::peak_of(number).zip(baseline).map(|(peak, baseline)| {
            format!("{:.0}", peak.saturating_sub(baseline) as f64 / states as f64)
        });
        table.add_row([
            contender.name.to_owned(),
            contender.step.to_owned(),
            format!("{:.2}", median.elapsed.as_secs_f64()),
            format!("{:.2}", median.cpu.as_secs_f64()),
            states.to_string(),
            format!("{:.0}", states as f64 / median.cpu.as_secs_f64()),
            match contender.step == OPERATION {
                true => format!("{:.0}", states_in_full as f64 / median.cpu.as_secs_f64()),
                false => "-".to_owned(),
            },
            bytes.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    println!("{table}");
}
