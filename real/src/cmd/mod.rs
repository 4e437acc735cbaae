//! The command line of `ifq`: one module per subcommand, and the arguments that they share.

#[cfg(target_os = "linux")]
pub mod campaign;
mod catalogue;
pub mod check;
mod check_outcomes;
pub mod conform;
pub mod defects;
pub mod diff;
pub mod enumerate;
pub mod exit;
#[cfg(target_os = "linux")]
mod force;
mod guest;
mod interrupt;
mod keep;
#[cfg(target_os = "linux")]
pub mod kernel;
#[cfg(target_os = "linux")]
pub mod kernel_faults;
pub mod live;
pub mod outcomes;
mod outcomes_record;
mod outcomes_witness;
mod pool;
pub mod probe;
pub mod replay;
pub mod report;
pub mod rig;
#[cfg(target_os = "linux")]
mod rig_file;
pub mod run;
pub mod search;
pub mod selection;
pub mod show;
pub mod shrink;
pub mod sim;
mod sim_worlds;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ifq_sim::format::Input;

/// Model checker and conformance tester for io_uring zero-copy receive (zcrx): what can happen when
/// several rings share one interface queue?
#[derive(Debug, Parser)]
#[command(name = "ifq", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 as expected, 1 a violation or a difference, 2 usage error (also a \
    file or output that cannot be\nread or written), 3 bounded (a limit ended a search, so there is no \
    verdict), 77 not run (the reason is printed),\n130 interrupted. If several apply: 130 before 2, then 1, \
    3, 77, 0. If the reader of a pipe closes it, ifq ends as\nby SIGPIPE.\n\n\
    A file named `-` is standard input, as text or JSON.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Search every interleaving of tests and compare the verdicts with the expected ones
    Check(check::Args),
    /// Replay the schedule of a counterexample and print it as a table
    Replay(replay::Args),
    /// Make a test that violates an invariant smaller, and its run shorter
    Shrink(shrink::Args),
    /// Print every outcome that user space can observe at the end of a test
    Outcomes(outcomes::Args),
    /// Run worlds that seeds draw, or tests many times with random schedules from one seed
    Sim(sim::Args),
    /// Print the catalogue of known defects
    Defects(defects::Args),
    /// Print test files in canonical form, or as JSON
    Show(show::Args),
    /// Enumerate every test up to a size: print, count, search, compare with recorded outcomes
    Enumerate(enumerate::Args),
    /// Print the smallest tests whose outcomes differ from one revision to another
    Diff(diff::Args),
    /// Run tests on a kernel and compare its outcomes with those that the model allows
    Run(run::Args),
    /// Run many tests on several kernels and print where they agree with the model
    Conform(conform::Args),
    /// Run a plan of many runs, store every result at once, resume, merge shards, report
    #[cfg(target_os = "linux")]
    #[command(subcommand)]
    Campaign(campaign::Command),
    /// Print which features a kernel supports
    Probe(probe::Args),
    /// Build kernels from source, with sanitizers and patches
    #[cfg(target_os = "linux")]
    Kernel(kernel::Args),
    /// Measure what documents record, and print it
    Report(report::Args),
    /// Manage the machines that tests run on: list, fetch, boot, shell
    Rig(rig::Args),
    /// The part of `run` and `probe` that runs inside a guest
    #[command(hide = true)]
    Guest {
        /// The job, JSON.
        job: PathBuf,
        /// File for the answer, JSON lines.
        answer: PathBuf,
        /// Arguments that the kernel appends to those of its init.
        ignored: Vec<String>,
    },
    /// The part of `rig shell` that runs inside a guest
    #[command(hide = true)]
    GuestShell {
        /// The terminal, or the file for the output of a command.
        line: PathBuf,
        /// Arguments that the kernel appends to those of its init.
        ignored: Vec<String>,
    },
    /// The part of `rig selftest` that runs inside a guest
    #[command(hide = true, name = rig::GUEST_SELFTEST)]
    GuestSelftest,
    /// The part of `--on rig:FILE` and of `rig` that runs on a hardware rig
    #[command(hide = true)]
    RigAgent,
}

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if std::env::args().next_back().as_deref() == Some(crate::abi::syscall::exec::DO_NOTHING) {
        return ExitCode::SUCCESS;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => error.exit(),
        // Help, or the version.
        Err(text) => {
            crate::output::written(text.print());
            crate::output::finish();
            return ExitCode::SUCCESS;
        }
    };
    let code = run_command(cli.command);
    crate::output::finish();
    ExitCode::from(code)
}

/// Runs a command; returns the exit code.
fn run_command(command: Command) -> u8 {
    match command {
        Command::Check(args) => with_library(|library| check::check(&args, library)),
        Command::Replay(args) => replay::replay(&args),
        Command::Shrink(args) => shrink::shrink(&args),
        Command::Outcomes(args) => outcomes::outcomes(&args),
        Command::Sim(args) if args.files.is_empty() => sim_worlds::sim_worlds(&args),
        Command::Sim(args) => sim::sim(&args),
        Command::Defects(args) => defects::defects(&args),
        #[cfg(target_os = "linux")]
        Command::Kernel(args) => with_library(|library| kernel::kernel(&args, library)),
        Command::Diff(args) => diff::diff(&args),
        Command::Enumerate(args) => enumerate::enumerate(&args),
        Command::Show(args) => show::show(&args),
        Command::Run(args) => with_library(|library| run::run(&args, library)),
        Command::Conform(args) => with_library(|library| conform::conform(&args, library)),
        #[cfg(target_os = "linux")]
        Command::Campaign(command) => with_library(|library| campaign::campaign(&command, library)),
        Command::Probe(args) => probe::probe(&args),
        Command::Report(args) => with_library(|library| report::report(&args, library)),
        Command::Rig(args) => rig::rig(&args),
        Command::Guest { job, answer, .. } => guest::run(&job, &answer),
        Command::GuestShell { line, .. } => guest::shell(&line),
        Command::RigAgent => guest::rig_agent(),
        Command::GuestSelftest => guest::nic_selftest(),
    }
}

fn with_library(command: impl FnOnce(&[Input]) -> u8) -> u8 {
    match crate::library::tests() {
        Ok(library) => command(&library),
        Err(error) => selection::usage_error(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_guest_ignores_what_its_kernel_appends() {
        let cli = Cli::try_parse_from(["ifq", "guest", "/job", "/answer", "console=tty0"]).unwrap();
        assert!(matches!(cli.command, Command::Guest { ignored, .. } if ignored.len() == 1));
    }
}
