//! `ifq sim`: many random runs from one seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args as ClapArgs;
use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;
use serde::Serialize;

use super::input::{self, Input, Which};
use super::{EXIT_DIFFERENCE, EXIT_OK, EXIT_USAGE, counterexample};
use crate::executor::counterexample::Counterexample;
use crate::executor::rng::Rng;
use crate::executor::run::run_once;
use crate::executor::scheduler::Random;

/// Arguments of `ifq sim`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq sim --seed 7 --runs 1000                the whole library, all that is to hold\n  \
    ifq sim --defect early-put exits-race.ifq   until it breaks\n\n\
    The same seed gives the same output, byte for byte, on every machine.")]
pub struct Args {
    /// Test files, or folders of them; none: the library that comes with ifq
    pub files: Vec<PathBuf>,
    /// Where all random decisions come from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Runs of each test
    #[arg(long, default_value_t = 1000)]
    pub runs: u64,
    /// Which kernels
    #[command(flatten)]
    pub which: Which,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Where counterexamples are written
    #[arg(long, value_name = "FOLDER", default_value = "counterexamples")]
    pub out: PathBuf,
}

/// What the runs of one test came to.
#[derive(Debug, Serialize)]
struct Campaign {
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

/// Runs it. `library`: what is run when no files are named.
#[must_use]
pub fn simulate(args: &Args, library: &[Input]) -> u8 {
    let inputs = match input::read_or(&args.files, library) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    let (mut jobs, mut skipped) = (Vec::new(), Vec::new());
    for Input { test, .. } in inputs.iter() {
        for variant in variants(&args.which, test) {
            match variant {
                Ok(variant) => jobs.push((test, variant)),
                Err(reason) => skipped.push(reason),
            }
        }
    }
    input::note_skipped(&skipped);
    if jobs.is_empty() {
        input::complain(&["nothing to run: no test file has such a variant"]);
        return EXIT_USAGE;
    }
    if !args.json {
        say!("seed {}, {} runs of each test", args.seed, args.runs);
    }
    let mut code = EXIT_OK;
    for (test, variant) in jobs {
        if !campaign(args, test, &variant) {
            code = EXIT_DIFFERENCE;
        }
    }
    code
}

/// What was asked for; without a switch, all that is expected to hold.
fn variants(which: &Which, test: &Test) -> Vec<Result<Variant, String>> {
    if which.switches() {
        return which.variants(test);
    }
    let sound = |v: &Variant| which.has(v.revision) && test.expected(v).is_none();
    test.variants().into_iter().filter(sound).map(Ok).collect()
}

/// Runs one test; whether it came out as the file expects.
fn campaign(args: &Args, test: &Test, variant: &Variant) -> bool {
    let test = Rc::new(test.clone());
    let mut seeds = Rng::new(args.seed);
    let mut outcomes: BTreeMap<Outcome, u64> = BTreeMap::new();
    let (mut runs, mut steps, mut found) = (0, 0, None);
    while runs < args.runs && found.is_none() {
        let run = run_once(&test, variant, Box::new(Random::new(seeds.next_u64())));
        runs += 1;
        steps += run.steps;
        let broken = run.failure();
        if let Some(outcome) = run.outcome {
            *outcomes.entry(outcome).or_default() += 1;
        }
        let (decisions, steps) = (run.decisions, run.steps);
        found = broken.map(|violation| Counterexample { violation, decisions, steps });
    }
    let broken = found.as_ref().map(|f| f.violation.invariant);
    let histogram = outcomes.iter().map(|(o, n)| (o.display(&test), *n)).collect();
    let campaign = Campaign {
        test: test.name.clone(),
        revision: variant.revision,
        defects: variant.defects.clone(),
        without: variant.without.clone(),
        seed: args.seed,
        runs,
        steps,
        histogram,
        violation: found.as_ref().map(|f| f.violation.to_string()),
        as_expected: broken == test.expected(variant),
    };
    tell!("{}", if args.json { json(&campaign) } else { text(&campaign) });
    if let Some(found) = found {
        report(args, &test, variant, &found);
    }
    campaign.as_expected
}

fn json(campaign: &Campaign) -> String {
    serde_json::to_string(campaign).map(|line| line + "\n").unwrap_or_default()
}

fn text(campaign: &Campaign) -> String {
    let Campaign { test, revision, runs, steps, defects, without, .. } = campaign;
    let (defects, without) = (defects.clone(), without.clone());
    let variant = Variant { revision: *revision, defects, without };
    let mut text = format!("{test} on {variant}: {runs} runs, {steps} steps\n");
    for (outcome, times) in &campaign.histogram {
        let _ = writeln!(text, "{times:>8}  {outcome}");
    }
    if let Some(violation) = &campaign.violation {
        let _ = writeln!(text, "  broken  {violation}");
    }
    text
}

fn report(args: &Args, test: &Test, variant: &Variant, found: &Counterexample) {
    match counterexample::save(&args.out, test, variant, found) {
        Err(error) => eprintln!("ifq: {}: {error}", args.out.display()),
        Ok(path) if args.json => eprintln!("ifq: counterexample: {}", path.display()),
        Ok(path) => {
            tell!("{}", counterexample::show(test, variant, found));
            say!("repeat it: ifq replay {}", path.display());
        }
    }
}
