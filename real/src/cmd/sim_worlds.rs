//! `ifq sim` without files: worlds from seeds.

use std::path::Path;
use std::time::{Duration, Instant};

use ifq_sim::commands::worlds::{Ran, Worlds, run_worlds};
use ifq_sim::format;
use ifq_sim::world::{Cut, Kernels, Options, World, WorldRun, cut};
use serde::Serialize;

use super::exit::{EXIT_DIFFERENCE, EXIT_OK};
use super::interrupt::Interrupted;
use super::keep::keep;
use super::selection::usage_error;
use super::sim::Args;
use crate::machine::interrupted;

/// The result of one world, as it is printed.
#[derive(Serialize)]
struct WorldReport<'a> {
    seed: u64,
    revision: &'a str,
    options: &'a Options,
    operations: u64,
    steps: u64,
    violation: Option<String>,
    command: Option<String>,
    file: Option<String>,
}

/// The last object of `--json`.
#[derive(Serialize)]
struct Summary {
    worlds: u64,
    operations: u64,
    steps: u64,
    failures: u64,
    seconds: f64,
    steps_per_second: f64,
    operations_per_second: f64,
}

/// Runs worlds; returns the exit code.
pub(super) fn sim_worlds(args: &Args) -> u8 {
    let selection = &args.selection;
    if selection.fixed || !selection.without.is_empty() {
        return usage_error("worlds run on revisions whose defects are fixed; --defect plants one");
    }
    let kernels = Kernels { revision: selection.revision, defects: selection.defects.clone() };
    if kernels.revisions().is_empty() {
        return usage_error("no revision has code that all these defects could be in");
    }
    let runs = args.runs.unwrap_or(if args.seconds.is_some() { u64::MAX } else { 1 });
    let jobs = usize::from(args.jobs.unwrap_or(1));
    let worlds = Worlds { seed: args.seed, runs, profile: args.profile, kernels, jobs };
    let started = Instant::now();
    let deadline = args.seconds.map(|seconds| started + Duration::from_secs(seconds));
    let in_time = || !interrupted() && deadline.is_none_or(|at| Instant::now() < at);
    let mut each = |world: &World, run: &WorldRun| {
        if args.seconds.is_none() && run.failure.is_none() {
            report(args, world, run, None);
        }
    };
    let ran = run_worlds(&worlds, &in_time, &mut each);
    let seconds = started.elapsed().as_secs_f64();
    let code = match &ran.failed {
        Some((world, run)) => failed(args, world, run),
        None => EXIT_OK,
    };
    summary(args, &ran, seconds);
    if interrupted() && ran.failed.is_none() {
        let done = format!("{} worlds are done", ran.statistics.worlds);
        return Interrupted { done, running: Vec::new(), checkpoint: None, can_resume: false }
            .report();
    }
    code
}

/// Cuts the world that failed, stores it, and prints both.
fn failed(args: &Args, world: &World, run: &WorldRun) -> u8 {
    let Some(failure) = &run.failure else { return EXIT_OK };
    if args.whole {
        let kept = keep(&args.out, &world.test, &world.options.variant, failure);
        let path = kept.ok().map(|path| path.display().to_string());
        report(args, world, run, path.map(|path| (path, None)));
        return EXIT_DIFFERENCE;
    }
    let small = cut(world, failure);
    let kept = keep(&args.out, &small.test, &world.options.variant, &small.found);
    let path = kept.ok().map(|path| path.display().to_string());
    report(args, world, run, path.map(|path| (path, Some(small))));
    EXIT_DIFFERENCE
}

/// The command that runs the world again.
fn command(args: &Args, world: &World) -> String {
    let mut command = format!("ifq sim --seed {} --profile {}", world.seed, args.profile);
    if let Some(revision) = args.selection.revision {
        command += &format!(" --revision {revision}");
    }
    for defect in &args.selection.defects {
        command += &format!(" --defect {defect}");
    }
    command
}

fn report(args: &Args, world: &World, run: &WorldRun, file: Option<(String, Option<Cut>)>) {
    let violation = run.failure.as_ref().map(|failure| failure.violation.to_string());
    let (path, small) = file.map_or((None, None), |(path, small)| (Some(path), small));
    if args.json {
        let report = WorldReport {
            seed: world.seed,
            revision: world.options.variant.revision.name(),
            options: &world.options,
            operations: run.operations,
            steps: run.steps,
            command: violation.as_ref().map(|_| command(args, world)),
            violation,
            file: path,
        };
        if let Ok(line) = serde_json::to_string(&report) {
            outln!("{line}");
        }
        return;
    }
    outln!("world of seed {}", world.seed);
    out!("{}", world.options);
    outln!("  {} operations, {} steps", run.operations, run.steps);
    let Some(violation) = violation else { return };
    outln!("  violated  {violation}");
    outln!("  again: {}", command(args, world));
    if let Some(small) = small {
        let operations = small.test.steps().count();
        outln!("  cut to {operations} operations: {}", small.found.violation);
        out!("{}", format::print(&small.test));
    }
    if let Some(path) = path {
        outln!("  replay it: ifq replay {}", Path::new(&path).display());
    }
}

fn summary(args: &Args, ran: &Ran, seconds: f64) {
    let sums = &ran.statistics;
    let rate = |count: u64| count as f64 / seconds.max(1e-9);
    if args.json {
        let summary = Summary {
            worlds: sums.worlds,
            operations: sums.operations,
            steps: sums.steps,
            failures: sums.failures,
            seconds,
            steps_per_second: rate(sums.steps),
            operations_per_second: rate(sums.operations),
        };
        if let Ok(line) = serde_json::to_string(&summary) {
            outln!("{line}");
        }
        return;
    }
    let (worlds, operations, steps) = (sums.worlds, sums.operations, sums.steps);
    outln!("{worlds} worlds, {operations} operations, {steps} steps, {} failed", sums.failures);
    if args.seconds.is_some() {
        outln!("{:.0} steps/s, {:.0} operations/s", rate(steps), rate(operations));
    }
}
