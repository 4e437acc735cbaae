//! `ifq sim`: many random runs from one seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args as ClapArgs;
use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Revision, Variant};
use serde::Serialize;

use super::input::{self, Input, Which};
use super::{EXIT_DIFFERENCE, EXIT_OK, counterexample};
use crate::exec::run_once;
use crate::explore::Counterexample;
use crate::report::table::Layout;
use crate::report::verdict::expected;
use crate::rng::Rng;
use crate::schedule::Random;

/// Arguments of `ifq sim`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq sim --seed 7 --runs 1000                the whole library\n  \
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
    if !args.json {
        say!("seed {}, {} runs of each test", args.seed, args.runs);
    }
    let mut code = EXIT_OK;
    for input in inputs.iter() {
        for variant in args.which.variants(&input.test, &args.which.defects) {
            if !campaign(args, input, &variant) {
                code = EXIT_DIFFERENCE;
            }
        }
    }
    code
}

/// Runs one test; whether it came out as the file expects.
fn campaign(args: &Args, input: &Input, variant: &Variant) -> bool {
    let test = Rc::new(input.test.clone());
    let mut seeds = Rng::new(args.seed);
    let mut outcomes: BTreeMap<Outcome, u64> = BTreeMap::new();
    let (mut runs, mut steps, mut found) = (0, 0, None);
    while runs < args.runs && found.is_none() {
        let run = run_once(&test, variant, Box::new(Random::new(seeds.next_u64())));
        runs += 1;
        steps += run.steps;
        if let Some(outcome) = run.outcome {
            *outcomes.entry(outcome).or_default() += 1;
        }
        found = run.violation.map(|violation| Counterexample {
            violation,
            decisions: run.decisions,
            steps: run.steps,
        });
    }
    let broken = found.as_ref().map(|f| f.violation.invariant);
    let histogram = outcomes.iter().map(|(o, n)| (o.display(&test), *n)).collect();
    let campaign = Campaign {
        test: test.name.clone(),
        revision: variant.revision,
        defects: variant.defects.clone(),
        seed: args.seed,
        runs,
        steps,
        histogram,
        violation: found.as_ref().map(|f| f.violation.to_string()),
        as_expected: broken == expected(&test, variant),
    };
    tell!("{}", if args.json { json(&campaign) } else { text(&campaign) });
    if let Some(found) = found {
        report(args, input, variant, &found);
    }
    campaign.as_expected
}

fn json(campaign: &Campaign) -> String {
    serde_json::to_string(campaign).map(|line| line + "\n").unwrap_or_default()
}

fn text(campaign: &Campaign) -> String {
    let Campaign { test, revision, runs, steps, .. } = campaign;
    let mut text = format!("{test} on {revision}: {runs} runs, {steps} steps\n");
    for (outcome, times) in &campaign.histogram {
        let _ = writeln!(text, "{times:>8}  {outcome}");
    }
    if let Some(violation) = &campaign.violation {
        let _ = writeln!(text, "  broken  {violation}");
    }
    text
}

fn report(args: &Args, input: &Input, variant: &Variant, found: &Counterexample) {
    match counterexample::save(&args.out, &input.test, variant, found) {
        Err(error) => eprintln!("ifq: {}: {error}", args.out.display()),
        Ok(path) if args.json => eprintln!("ifq: counterexample: {}", path.display()),
        Ok(path) => {
            let layout = Layout::default();
            tell!("{}", counterexample::show(&input.test, variant, &found.decisions, layout));
            say!("repeat it: ifq replay {}", path.display());
        }
    }
}
