//! `ifq sim`: worlds from seeds, or tests many times with random schedules from one seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::commands::selection::Selection;
use ifq_sim::commands::simulate::{Simulation, simulate};
use ifq_sim::format::Input;
use ifq_sim::report::counterexample;
use ifq_sim::world::Profile;
use serde::Serialize;

use super::exit::{EXIT_DIFFERENCE, EXIT_OK, combined};
use super::interrupt::Interrupted;
use super::keep::{keep, layout};
use super::selection::{SelectionArgs, note_skipped, read_or, usage_error};
use crate::machine::interrupted;

/// Arguments of `ifq sim`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq sim --seed 7                            the world of this seed\n  \
    ifq sim --seed 1 --seconds 60 --jobs 2      worlds of seeds 1, 2, ... until one fails\n  \
    ifq sim --seed 1 --runs 50 --profile swarm  fifty worlds of another profile\n  \
    ifq sim --defect early-put --seconds 60     worlds with a planted defect\n  \
    ifq sim --seed 7 --runs 1000 tests/library  each test 1000 times, variants that must hold\n  \
    ifq sim --defect early-put exits-race.ifq   until a violation\n\n\
    Without files: each seed is a world, on a revision whose defects are fixed, with the planted ones. A world\n\
    that fails is cut to a small test, which is stored.\n\
    With files and without --defect, --without and --fixed, each file runs on the variants that it expects to\n\
    hold. The same seed gives the same output, byte for byte, on every machine.")]
pub struct Args {
    /// Test files, or folders of them; `-` is standard input [default: worlds]
    pub files: Vec<PathBuf>,
    /// Seed of all random decisions; of the first world
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Runs of each test [default: 1000], or number of worlds [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub runs: Option<u64>,
    /// Sizes and features of worlds
    #[arg(long, default_value_t = Profile::Default, value_parser = profile(), conflicts_with = "files")]
    pub profile: Profile,
    /// Run worlds for so many seconds
    #[arg(long, value_name = "N", conflicts_with = "files")]
    pub seconds: Option<u64>,
    /// Number of processors for worlds [default: 1]
    #[arg(long, value_name = "N", conflicts_with = "files",
        value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Store a world that fails as it is, instead of a small test
    #[arg(long, conflicts_with = "files")]
    pub whole: bool,
    /// Which variants
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Folder for counterexamples
    #[arg(long, value_name = "FOLDER", default_value = "counterexamples")]
    pub out: PathBuf,
}

/// The result of one test, as it is printed.
#[derive(Debug, Serialize)]
struct SimulationReport {
    test: String,
    revision: Revision,
    defects: Vec<Defect>,
    without: Vec<Defect>,
    seed: u64,
    runs: u64,
    steps: u64,
    histogram: BTreeMap<String, u64>,
    violation: Option<String>,
    as_expected: bool,
}

/// Runs of each test, unless the caller says how many.
const RUNS: u64 = 1000;

/// The profiles, by their names.
fn profile() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new(Profile::ALL.map(Profile::name)).map(|name| {
        Profile::ALL.into_iter().find(|profile| profile.name() == name).unwrap_or_default()
    })
}

/// Runs the named tests; returns the exit code.
#[must_use]
pub fn sim(args: &Args) -> u8 {
    let runs = args.runs.unwrap_or(RUNS);
    let inputs = match read_or(&args.files, &[]) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    let selection = args.selection.selection();
    let (mut jobs, mut skipped) = (Vec::new(), Vec::new());
    for Input { test, .. } in inputs.tests.iter() {
        for variant in variants(&selection, test) {
            match variant {
                Ok(variant) => jobs.push((test, variant)),
                Err(reason) => skipped.push(reason),
            }
        }
    }
    note_skipped(&skipped);
    if jobs.is_empty() {
        return usage_error("nothing to run: no test file has such a variant");
    }
    if !args.json {
        outln!("seed {}, {} runs of each test", args.seed, runs);
    }
    let (mut code, all) = (inputs.code, jobs.len());
    for (done, (test, variant)) in jobs.into_iter().enumerate() {
        let found = simulate(test, &variant, args.seed, runs, &|| !interrupted());
        if interrupted() && found.runs < runs && found.counterexample.is_none() {
            let running = vec![format!("{} on {variant}, {} runs", test.name, found.runs)];
            let done = format!("{done} of {all} tests are done");
            return Interrupted { done, running, checkpoint: None, can_resume: false }.report();
        }
        code = combined([code, report(args, test, &variant, &found)]);
    }
    code
}

/// The selected variants; without changes to defects, only those that must hold.
fn variants(selection: &Selection, test: &Test) -> Vec<Result<Variant, String>> {
    if selection.changes_defects() {
        return selection.variants(test);
    }
    let sound = |v: &Variant| selection.includes(v.revision) && test.expected(v).is_none();
    test.variants().into_iter().filter(sound).map(Ok).collect()
}

/// Prints the result of one test; returns the exit code. A counterexample is stored first, because an
/// error while printing ends the program.
fn report(args: &Args, test: &Test, variant: &Variant, found: &Simulation) -> u8 {
    let kept = found.counterexample.as_ref().map(|c| (c, keep(&args.out, test, variant, c)));
    let violation = found.counterexample.as_ref().map(|c| &c.violation);
    let report = SimulationReport {
        test: test.name.clone(),
        revision: variant.revision,
        defects: variant.defects.clone(),
        without: variant.without.clone(),
        seed: args.seed,
        runs: found.runs,
        steps: found.steps,
        histogram: found.outcomes.iter().map(|(o, n)| (o.display(test), *n)).collect(),
        violation: violation.map(ToString::to_string),
        as_expected: violation.map(|v| v.invariant) == test.expected(variant),
    };
    out!("{}", if args.json { json(&report) } else { text(&report) });
    let code = if report.as_expected { EXIT_OK } else { EXIT_DIFFERENCE };
    let Some((counterexample, path)) = kept else { return code };
    if !args.json {
        out!("{}", counterexample::show_in(test, variant, counterexample, layout()));
    }
    match path {
        Err(error) => combined([code, error]),
        Ok(path) => {
            let path = path.display();
            if args.json {
                errln!("ifq: counterexample: {path}");
            } else {
                outln!("replay it: ifq replay {path}");
            }
            code
        }
    }
}

fn json(report: &SimulationReport) -> String {
    serde_json::to_string(report).map(|line| line + "\n").unwrap_or_default()
}

fn text(report: &SimulationReport) -> String {
    let SimulationReport { test, revision, runs, steps, defects, without, .. } = report;
    let (defects, without) = (defects.clone(), without.clone());
    let variant = Variant { revision: *revision, defects, without };
    let mut text = format!("{test} on {variant}: {runs} runs, {steps} steps\n");
    for (outcome, times) in &report.histogram {
        let _ = writeln!(text, "{times:>8}  {outcome}");
    }
    if let Some(violation) = &report.violation {
        let _ = writeln!(text, "  violated  {violation}");
    }
    text
}
