//! `ifq conform`: runs many tests on several kernels and prints where they agree with the model.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args as ClapArgs;
use ifq_sim::enumerate::plan::{MAX_OPS, MAX_RINGS};
use ifq_sim::format::Input;

use super::exit::{EXIT_OK, EXIT_USAGE, combined};
use super::interrupt::Interrupted;
use super::live::{Live, exit_code};
use super::selection::read_or;
use crate::conform::campaign::{Campaign, CampaignMachine};
use crate::conform::enumerated;
use crate::conform::generated::{self, DrawKind};
use crate::conform::progress::Progress;
use crate::conform::run::{IDLE_TIMEOUT_MS, RunOptions};
use crate::conform::table;
use crate::kernels::supported::Equipment;
use crate::machine::MachineSpec;

/// Repetitions of each test.
const TIMES: u32 = 100;
/// A shorter timeout for drawn tests: most of their waits that end without a completion are expected
/// to.
const DRAWN_IDLE_TIMEOUT_MS: u64 = 60;
/// Number of drawn tests that a machine runs per boot.
const BATCH: usize = 500;

/// The arguments of `ifq conform`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq conform --on uml                                 the whole library\n  \
    ifq conform --on uml --on qemu:7.3 --times 1000\n  \
    ifq conform --generate 10000 --seed 1 --on uml       random sequences from a seed\n  \
    ifq conform --generate 100 --races --times 200 --seed 1 --on uml\n  \
    ifq conform --enumerated 10000 --rings 3 --seed 1 --on uml   a sample of `ifq enumerate`\n  \
    ifq conform --defect M1 --on uml                     check that a wrong model is detected\n\n\
    A kernel is compared with the revision of its series, by the files that apply to this revision.")]
pub struct Args {
    /// Test files, or folders of them; `-` is standard input [default: the built-in library]
    #[arg(value_name = "FILE", conflicts_with_all = ["generate", "enumerated"])]
    pub files: Vec<PathBuf>,
    /// Machine to run on (may be repeated): host, uml, qemu:SERIES, qemu:SERIES+nic, kernel:PATH or rig:FILE
    #[arg(long, value_name = "MACHINE", required = true, value_parser = MachineSpec::argument)]
    pub on: Vec<MachineSpec>,
    /// Draw N random sequences of operations instead of reading files
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub generate: Option<u64>,
    /// Run a random sample of N enumerated tests (`ifq enumerate`) instead of reading files
    #[arg(long, value_name = "N", conflicts_with = "generate")]
    pub enumerated: Option<u64>,
    /// Enumerated tests with at most N rings
    #[arg(long, value_name = "N", default_value_t = 2, requires = "enumerated",
        value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_RINGS)))]
    pub rings: u8,
    /// Enumerated tests with at most N racing operations
    #[arg(long, value_name = "N", default_value_t = 3, requires = "enumerated",
        value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_OPS)))]
    pub ops: u8,
    /// Draw races instead of sequences: two threads with a few operations each
    #[arg(long, requires = "generate")]
    pub races: bool,
    /// Skip the first N tests of the seed
    #[arg(long, value_name = "N", default_value_t = 0, requires = "generate")]
    pub skip: u64,
    /// Force each outcome that the model allows: an emulated kernel follows the schedule of a run with it
    #[arg(long, conflicts_with_all = ["generate", "enumerated"])]
    pub force: bool,
    /// How to run and compare
    #[command(flatten)]
    pub live: Live,
    /// Folder for differences, each stored as a test file
    #[arg(long, value_name = "DIR", default_value = "differences")]
    pub out: PathBuf,
    /// Shrink at most N differences of each machine, on that machine
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub minimise: usize,
    /// Print one JSON object per test and machine, one per line
    #[arg(long)]
    pub json: bool,
}

impl Args {
    fn kind(&self) -> DrawKind {
        if self.races { DrawKind::Race } else { DrawKind::Sequence }
    }

    fn options(&self) -> RunOptions {
        let once = self.generate.is_some() && !self.races || self.enumerated.is_some();
        let times = if once { 1 } else { TIMES };
        let many = self.generate.is_some() || self.enumerated.is_some();
        let idle_timeout_ms = if many { DRAWN_IDLE_TIMEOUT_MS } else { IDLE_TIMEOUT_MS };
        RunOptions { observed_first: many, ..self.live.options(times, idle_timeout_ms) }
    }

    /// The arguments that select the tests.
    fn test_arguments(&self) -> String {
        let races = if self.races { " --races" } else { "" };
        if let Some(count) = self.enumerated {
            return format!(" --enumerated {count} --rings {} --ops {}", self.rings, self.ops);
        }
        match self.generate {
            Some(count) if self.skip > 0 => {
                format!(" --generate {count}{races} --skip {}", self.skip)
            }
            Some(count) => format!(" --generate {count}{races}"),
            None => self.files.iter().map(|file| format!(" {}", file.display())).collect(),
        }
    }
}

/// Runs the named tests, or the library, on all machines and prints the table; returns the exit code.
#[must_use]
pub fn conform(args: &Args, library: &[Input]) -> u8 {
    #[cfg(target_os = "linux")]
    if args.force {
        return match read_or(&args.files, library) {
            Ok(inputs) => {
                let code = super::force::conform(&inputs.tests, &args.on, &args.live, args.json);
                combined([inputs.code, code])
            }
            Err(code) => code,
        };
    }
    let options = args.options();
    let how = args.live.again(&options);
    let again = |input: &Input, on: &MachineSpec| {
        if let Some(name) = enumerated::name(&input.path) {
            return format!(
                "ifq enumerate --only {name} > {name}.ifq && ifq conform {name}.ifq --on {on} {how}"
            );
        }
        match generated::number(&input.path) {
            Some(number) => {
                let races = if args.races { " --races" } else { "" };
                format!("ifq conform --generate 1{races} --skip {number} --on {on} {how}")
            }
            None => format!("ifq conform {} --on {on} {how}", input.path),
        }
    };
    let campaign = Campaign {
        options,
        oracle: Arc::new(args.live.explorer()),
        out: args.out.clone(),
        minimise: args.minimise,
        json: args.json,
        again: &again,
        progress: Arc::new(Progress::new()),
        unwritten: AtomicBool::new(false),
    };
    let mut machines: Vec<CampaignMachine> =
        args.on.iter().map(|on| CampaignMachine::new(on.clone(), args.live.cpus)).collect();
    let mut names = Vec::new();
    let (mut code, mut interrupted) = (EXIT_OK, false);
    let mut run = |inputs: &[Input]| {
        names.extend(inputs.iter().map(|input| input.test.name.clone()));
        interrupted |= campaign.run(inputs, &mut machines).is_err();
        !interrupted
    };
    match (args.enumerated, args.generate) {
        (Some(count), _) => {
            let sample = enumerated::draw(args.rings, args.ops, count, options.seed);
            _ = sample.chunks(BATCH).all(&mut run);
        }
        (None, Some(count)) => {
            let (kind, end) = (args.kind(), args.skip.saturating_add(count));
            // Tests that all machines can run.
            let queues = args.on.iter().map(|on| on.equipment().queues).min().unwrap_or(0);
            let segment = args.on.iter().filter_map(|on| on.equipment().segment).min();
            let equipment = Equipment { queues, segment, ..Equipment::default() };
            let mut next = args.skip;
            while next < end {
                let batch = (end - next).min(BATCH as u64);
                let numbers = next..next + batch;
                if !run(&generated::draw(kind, options.seed, numbers, equipment)) {
                    break;
                }
                next += batch;
            }
        }
        (None, None) => match read_or(&args.files, library) {
            Ok(inputs) => {
                code = inputs.code;
                run(&inputs.tests);
            }
            Err(code) => return code,
        },
    }
    campaign.progress.clear();
    let columns: Vec<table::Column> = machines.into_iter().map(|machine| machine.column).collect();
    if interrupted {
        let done: Vec<String> = columns.iter().map(table::Column::summary).collect();
        let (done, running) = (done.join("; "), campaign.progress.state().into_iter().collect());
        return Interrupted { done, running, checkpoint: None, can_resume: false }.report();
    }
    if !args.json {
        out!(
            "{}",
            table::table(&names, &columns, args.generate.is_none() && args.enumerated.is_none())
        );
        out!("{}", table::details(&names, &columns));
        let on: String = args.on.iter().map(|on| format!(" --on {on}")).collect();
        outln!("repeat: ifq conform{}{on} {how}", args.test_arguments());
    }
    let cells = columns.iter().flat_map(|column| &column.cells);
    let verdicts = exit_code(cells.map(|cell| cell.result.comparison.verdict));
    let unwritten = campaign.unwritten.load(Ordering::Relaxed);
    combined([code, verdicts, if unwritten { EXIT_USAGE } else { EXIT_OK }])
}
