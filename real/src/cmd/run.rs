//! `ifq run`: runs tests on a kernel and compares the outcomes with those that the model allows.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args as ClapArgs;
use ifq_model::test::Test;
use ifq_sim::format::Input;

use super::exit::combined;
use super::interrupt::Interrupted;
use super::live::{Live, exit_code};
use super::selection::{read_or, usage_error};
use crate::conform::oracle::Oracle;
use crate::conform::progress::Progress;
use crate::conform::result_view::ResultView;
use crate::conform::run::{AllowedCache, IDLE_TIMEOUT_MS, MachineResults, run_tests};
use crate::kernels::series::note;
use crate::machine::MachineSpec;

/// Repetitions of each test.
const TIMES: u32 = 100;

/// The arguments of `ifq run`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq run --on uml                                     the whole library\n  \
    ifq run tests/library/teardown/owner-exits-first.ifq --on uml --times 1000 --seed 7\n  \
    ifq run tests/library/ --on host --json              one JSON object per test\n  \
    ifq run --on qemu:7.3 --cpus 2                       Debian's newest 7.3, in QEMU\n  \
    ifq run --on kernel:arch/x86/boot/bzImage            a kernel that you built")]
pub struct Args {
    /// Test files, or folders of them; `-` is standard input [default: the built-in library]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Machine to run on: host, uml, qemu:SERIES, qemu:SERIES+nic, kernel:PATH or rig:FILE
    #[arg(long, value_name = "MACHINE", value_parser = MachineSpec::argument)]
    pub on: MachineSpec,
    /// Make an emulated kernel follow the schedule of the file
    #[arg(long)]
    pub force: bool,
    /// How to run and compare
    #[command(flatten)]
    pub live: Live,
    /// Print one JSON object per test, one per line
    #[arg(long)]
    pub json: bool,
}

/// Runs the named tests, or the library, and prints the comparison; returns the exit code.
#[must_use]
pub fn run(args: &Args, library: &[Input]) -> u8 {
    #[cfg(target_os = "linux")]
    if args.force {
        return match args.files.as_slice() {
            [file] => super::force::follow(file, &args.on, args.json),
            _ => usage_error("`--force` takes one file, which has a schedule"),
        };
    }
    let inputs = match read_or(&args.files, library) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    let tests: Arc<Vec<Test>> =
        Arc::new(inputs.tests.iter().map(|input| input.test.clone()).collect());
    let options = args.live.options(TIMES, IDLE_TIMEOUT_MS);
    let oracle: Arc<dyn Oracle> = Arc::new(args.live.explorer());
    let (cache, progress) = (Arc::new(AllowedCache::default()), Arc::new(Progress::new()));
    let results = match args.on.machine_with(args.live.cpus) {
        Ok(machine) => run_tests(&*machine, &tests, &options, &oracle, &cache, &progress),
        Err(failure) => Ok(MachineResults::none(&tests, &failure.to_string())),
    };
    progress.clear();
    let Ok(results) = results else {
        let done = format!("no result of {} tests is complete", tests.len());
        let running = progress.state().into_iter().collect();
        return Interrupted { done, running, checkpoint: None, can_resume: false }.report();
    };
    for note in results.how.notes.iter().chain(&results.kernel.as_deref().and_then(note)) {
        errln!("ifq: {note}");
    }
    let (machine, how) = (args.on.to_string(), args.live.again(&options));
    for (input, result) in inputs.tests.iter().zip(&results.result) {
        let again = format!("ifq run {} --on {machine} {how}", input.path);
        let shown = ResultView {
            test: &input.test.name,
            machine: &machine,
            kernel: results.kernel.as_deref(),
            how: &results.how,
            result,
            options,
            stored: None,
            again: &again,
        };
        if args.json {
            shown.print_json();
        } else {
            shown.print();
        }
    }
    let verdicts = results.result.iter().map(|result| result.comparison.verdict);
    combined([inputs.code, exit_code(verdicts)])
}
