//! `ifq campaign`: runs plans of many runs, and reports what they have found.

mod check;
mod conform;
mod engines;
mod enumerate;
mod report;
mod run;
mod sim;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use ifq_sim::format::Input;
use serde::Serialize;

use self::run::Campaign;
use super::enumerate::shard;
use super::exit::{EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, combined};
use super::selection::{usage_error, usage_errors};
use crate::campaign::engine::{inputs, units};
use crate::campaign::merge::merge;
use crate::campaign::plan::Plan;
use crate::campaign::record::{Header, Record, UnitName, VERSION};
use crate::campaign::store::{Contents, Store};
use crate::campaign::summary::{Results, Summary};
use crate::campaign::{html, junit};
use crate::machine::interrupted;

const EXAMPLES: &str = "Examples:\n  \
    ifq campaign run plan.toml --out night              run a plan, on all processors\n  \
    ifq campaign resume night                           continue after a crash, Ctrl-C or a time limit\n  \
    ifq campaign status night                           what has run so far, also while it runs\n  \
    ifq campaign run plan.toml --shard 2/8 --out part-2 every eighth unit, beginning with the second\n  \
    ifq campaign merge night part-1 part-2              one campaign of the parts\n  \
    ifq campaign report night --html night.html --junit night.xml\n\n\
    docs/campaigns.md describes plans, the store and how to use several machines.";

/// The subcommands of `ifq campaign`.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Begin a campaign: run all units of a plan
    #[command(after_help = EXAMPLES)]
    Run(Run),
    /// Run the units of a campaign that have not run
    Resume(Resume),
    /// Print what has run and what failed
    Status(Status),
    /// Make one campaign of the shards of a plan
    Merge(Merge),
    /// Print what has run and what failed, and write reports
    Report(Report),
}

/// Arguments of `ifq campaign run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The plan
    #[arg(value_name = "PLAN.toml")]
    pub plan: PathBuf,
    /// Folder of the campaign [default: campaigns/ and the plan's name]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only every N-th unit, beginning with the I-th
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<(u64, u64)>,
    /// How to run
    #[command(flatten)]
    pub how: How,
}

/// Arguments of commands that run units.
#[derive(Debug, Args)]
pub struct How {
    /// Number of processors [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Print one JSON object at the end
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ifq campaign resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Folder of the campaign
    pub dir: PathBuf,
    /// How to run
    #[command(flatten)]
    pub how: How,
}

/// Arguments of `ifq campaign status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Folder of the campaign
    pub dir: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ifq campaign merge`.
#[derive(Debug, Args)]
pub struct Merge {
    /// Folder for the merged campaign
    pub out: PathBuf,
    /// Folders of the shards
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ifq campaign report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Folder of the campaign
    pub dir: PathBuf,
    /// Write one HTML file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write JUnit XML: a test case for each unit
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Where campaigns are stored.
const FOLDER: &str = "campaigns";

/// The object of `--json` of `run` and `resume`.
#[derive(Serialize)]
struct Ran<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    seconds: f64,
    units_per_second: f64,
}

/// Runs a subcommand; returns the exit code.
#[must_use]
pub fn campaign(command: &Command, library: &[Input]) -> u8 {
    let done = match command {
        Command::Run(args) => begin(args, library),
        Command::Resume(args) => resume(args, library),
        Command::Status(args) => status(&args.dir, args.json),
        Command::Merge(args) => merge_all(args),
        Command::Report(args) => write_reports(args),
    };
    done.unwrap_or_else(|errors| usage_errors(&errors))
}

type Done = Result<u8, Vec<String>>;

fn begin(args: &Run, library: &[Input]) -> Done {
    let path = args.plan.display().to_string();
    let text = std::fs::read_to_string(&args.plan).map_err(|error| {
        vec![format!("{path}: {error}; expected a plan, which docs/campaigns.md describes")]
    })?;
    let shard = args.shard.map(|(shard, shards)| (shard + 1, shards));
    let out = args.out.clone().unwrap_or_else(|| {
        let stem = args.plan.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let part = shard.map(|(shard, shards)| format!(".{shard}-of-{shards}"));
        Path::new(FOLDER).join(stem + &part.unwrap_or_default())
    });
    let started = Instant::now();
    with_campaign(&path, &text, shard, &args.how, library, |campaign| {
        let store = Store::create(&out, campaign.header.clone(), &[]).map_err(one)?;
        go_on(campaign, &out, &store, Vec::new(), &args.how, started)
    })
}

fn resume(args: &Resume, library: &[Input]) -> Done {
    let (store, Contents { header, records, torn, .. }) = Store::open(&args.dir).map_err(one)?;
    let folder = args.dir.display();
    if torn > 0 {
        errln!("ifq: {folder}: cut off an incomplete last record of {torn} bytes");
    }
    // A plan that is gone has not changed.
    if let Ok(text) = std::fs::read_to_string(&header.plan_path)
        && text != header.plan
    {
        let why = "has changed since the campaign began; put it back, or begin another campaign";
        return Err(vec![format!("{folder}: the plan {} {why}", header.plan_path)]);
    }
    let started = Instant::now();
    let (path, shard) = (&header.plan_path, header.shard);
    with_campaign(path, &header.plan, shard, &args.how, library, |campaign| {
        if campaign.header.program != header.program {
            let (began, now) = (&header.program, &campaign.header.program);
            return Err(vec![format!("{folder}: began with ifq {began}, this is {now}")]);
        }
        if campaign.header != header {
            let why = "the test files have changed since the campaign began";
            return Err(vec![format!("{folder}: {why}; begin another campaign")]);
        }
        go_on(campaign, &args.dir, &store, records, &args.how, started)
    })
}

/// Makes a campaign of a plan and calls a function with it.
fn with_campaign(
    path: &str,
    text: &str,
    shard: Option<(u64, u64)>,
    how: &How,
    library: &[Input],
    then: impl FnOnce(&Campaign<'_>) -> Done,
) -> Done {
    let plan = Plan::parse(path, text).map_err(one)?;
    let files = engines::inputs(&plan, library)?;
    let engines = engines::engines(&plan, &files).map_err(one)?;
    let units = units(&engines);
    let name =
        |unit: &crate::campaign::engine::Unit| UnitName { job: unit.job, name: unit.name.clone() };
    let header = Header {
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        name: plan.name.clone(),
        plan_path: path.to_owned(),
        plan: text.to_owned(),
        inputs: inputs(text, &engines, &units),
        jobs: engines.iter().map(|engine| engine.name()).collect(),
        units: units.iter().map(name).collect(),
        shard,
    };
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = how.jobs.map_or_else(all, usize::from);
    let deadline = plan.limits.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    then(&Campaign { engines, units, header, jobs, deadline })
}

/// Runs what has not run, and prints the result.
fn go_on(
    campaign: &Campaign<'_>,
    folder: &Path,
    store: &Store,
    mut records: Vec<Record>,
    how: &How,
    started: Instant,
) -> Done {
    let ran = campaign.run(store, &mut records).map_err(one)?;
    let summary = Results::new(&campaign.header, &records).summary();
    let stored = report::write_failures(folder, &summary).map_or_else(usage_error, |()| EXIT_OK);
    let seconds = started.elapsed().as_secs_f64();
    let units_per_second = ran as f64 / seconds.max(1e-3);
    if how.json {
        let object = Ran { summary: &summary, seconds, units_per_second };
        print_json(&object)?;
    } else {
        report::print(folder, &summary);
        outln!("{ran} units in {seconds:.1} s, {units_per_second:.1}/s");
    }
    let total = summary.total;
    if interrupted() {
        errln!("ifq: interrupted: {} of {} units are done", total.done, total.units);
        errln!("ifq: ifq campaign resume {} continues", folder.display());
        return Ok(EXIT_INTERRUPTED);
    }
    if total.done < total.units {
        let (done, units) = (total.done, total.units);
        errln!("ifq: the time is over: {done} of {units} units are done");
        errln!("ifq: ifq campaign resume {} continues", folder.display());
    }
    Ok(combined([stored, report::exit_code(&total)]))
}

fn status(folder: &Path, json: bool) -> Done {
    let Contents { header, records, .. } = Contents::read(folder).map_err(one)?;
    let summary = Results::new(&header, &records).summary();
    if json {
        print_json(&summary)?;
    } else {
        report::print(folder, &summary);
    }
    Ok(report::exit_code(&summary.total))
}

fn merge_all(args: &Merge) -> Done {
    let read = |dir: &PathBuf| {
        let contents = Contents::read(dir).map_err(|error| error.to_string())?;
        Ok((dir.display().to_string(), contents))
    };
    let campaigns: Result<Vec<_>, String> = args.dirs.iter().map(read).collect();
    let (header, records) = merge(&campaigns.map_err(one)?).map_err(one)?;
    Store::create(&args.out, header.clone(), &records).map_err(one)?;
    let summary = Results::new(&header, &records).summary();
    let stored = report::write_failures(&args.out, &summary).map_or_else(usage_error, |()| EXIT_OK);
    Ok(combined([stored, status(&args.out, args.json)?]))
}

fn write_reports(args: &Report) -> Done {
    let Contents { header, records, .. } = Contents::read(&args.dir).map_err(one)?;
    let results = Results::new(&header, &records);
    let summary = results.summary();
    let mut code = report::exit_code(&summary.total);
    let mut write = |path: &PathBuf, text: String| {
        if let Err(error) = std::fs::write(path, text) {
            errln!("ifq: cannot write {}: {error}", path.display());
            code = EXIT_USAGE;
        }
    };
    if let Some(path) = &args.html {
        write(path, html::report(&summary));
    }
    if let Some(path) = &args.junit {
        write(path, junit::report(&results).map_err(one)?);
    }
    report::print(&args.dir, &summary);
    Ok(code)
}

fn print_json(object: &impl Serialize) -> Result<(), Vec<String>> {
    let line = serde_json::to_string(object).map_err(one)?;
    outln!("{line}");
    Ok(())
}

/// One error.
fn one(error: impl std::fmt::Display) -> Vec<String> {
    vec![error.to_string()]
}
