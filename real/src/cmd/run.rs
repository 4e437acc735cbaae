//! `ifq run`: tests on a kernel, beside what the model allows.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args as ClapArgs;
use ifq_model::test::Test;
use ifq_sim::cmd::input::{self, Input};

use super::EXIT_INTERRUPTED;
use super::live::{Live, exit_code};
use crate::conform::oracle::Oracle;
use crate::conform::progress::Progress;
use crate::conform::result_view::ResultView;
use crate::conform::run::{AllowedCache, IDLE_TIMEOUT_MS, MachineResults, run_tests};
use crate::machine::MachineSpec;

/// Repetitions of each test.
const TIMES: u32 = 100;

/// The arguments of `ifq run`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq run --on uml                                     the whole library\n  \
    ifq run tests/library/owner-leaves-first.ifq --on uml --times 1000 --seed 7\n  \
    ifq run tests/library/ --on host --json              one JSON object for each test\n  \
    ifq run --on qemu:7.3 --cpus 2                       Debian's newest 7.3, in QEMU\n  \
    ifq run --on kernel:arch/x86/boot/bzImage            a kernel that you have built")]
pub struct Args {
    /// Test files, or folders of them; none: the library that comes with ifq
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where to run them: host, uml, qemu:SERIES or kernel:PATH
    #[arg(long, value_name = "MACHINE", value_parser = MachineSpec::argument)]
    pub on: MachineSpec,
    /// How
    #[command(flatten)]
    pub live: Live,
    /// One JSON object a line for each test
    #[arg(long)]
    pub json: bool,
}

/// Runs the tests and prints the comparison; the exit code. `library`: what is run when no files
/// are named.
#[must_use]
pub fn run(args: &Args, library: &[Input]) -> u8 {
    let inputs = match input::read_or(&args.files, library) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    let tests: Arc<Vec<Test>> = Arc::new(inputs.iter().map(|input| input.test.clone()).collect());
    let options = args.live.options(TIMES, IDLE_TIMEOUT_MS);
    let oracle: Arc<dyn Oracle> = Arc::new(args.live.explorer());
    let (cache, progress) = (Arc::new(AllowedCache::default()), Arc::new(Progress::new()));
    let results = match args.on.machine_with(args.live.cpus) {
        Ok(machine) => run_tests(&*machine, &tests, &options, &oracle, &cache, &progress),
        Err(failure) => Ok(MachineResults::none(&tests, &failure.to_string())),
    };
    progress.clear();
    let Ok(results) = results else {
        eprintln!("ifq: interrupted");
        return EXIT_INTERRUPTED;
    };
    for note in &results.how.notes {
        eprintln!("ifq: {note}");
    }
    let (machine, how) = (args.on.to_string(), args.live.again(&options));
    for (input, result) in inputs.iter().zip(&results.result) {
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
    exit_code(results.result.iter().map(|result| result.comparison.verdict))
}
