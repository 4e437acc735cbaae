//! The subcommands of `ifq`.

pub mod conform;
pub mod live;
pub mod probe;
pub mod rig;
pub mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ifq_sim::cmd::input::Input;
use ifq_sim::cmd::{check, defects, outcomes, replay, show, shrink, simulate};

/// Everything is as it should be.
pub const EXIT_OK: u8 = 0;
/// A violation or a difference.
pub const EXIT_DIFFERENCE: u8 = 1;
/// Wrong use: a file that cannot be read, an option that makes no sense.
pub const EXIT_USAGE: u8 = 2;
/// Not run, for a reason that was printed.
pub const EXIT_NOT_RUN: u8 = 77;
/// Interrupted by the user, as shells count it.
pub const EXIT_INTERRUPTED: u8 = 130;

/// When several io_uring rings share one zcrx interface queue, what can happen?
#[derive(Debug, Parser)]
#[command(name = "ifq", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 as it should be, 1 a violation or a difference, \
                          2 wrong use, 77 not run (the reason is printed)";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Search every interleaving of tests, and compare with what they expect
    Check(check::Args),
    /// Repeat the run of a counterexample, as a table
    Replay(replay::Args),
    /// Make a test smaller on which an invariant breaks, and its run shorter
    Shrink(shrink::Args),
    /// Everything that user space can see at the end of a test
    Outcomes(outcomes::Args),
    /// Run tests many times with random schedules, from one seed
    Sim(simulate::Args),
    /// The catalogue: every known defect, and what only looks like one
    Defects(defects::Args),
    /// Show a test file in its canonical form, or as JSON
    Show(show::Args),
    /// Run tests on a kernel and compare what it does with what the model allows
    Run(run::Args),
    /// Run many tests on many kernels: a table of where they agree with the model
    Conform(conform::Args),
    /// Say what a kernel can do
    Probe(probe::Args),
    /// The machines that tests run on: list, fetch, boot, shell
    Rig(rig::Args),
    /// The side of `run` and `probe` inside a machine
    #[command(hide = true)]
    Guest {
        /// The job, JSON.
        job: PathBuf,
        /// Where the answer goes, JSON lines.
        answer: PathBuf,
        /// What a kernel adds to the arguments of its init.
        ignored: Vec<String>,
    },
    /// The side of `rig shell` inside a machine
    #[command(hide = true)]
    GuestShell {
        /// The terminal, or where a command's output goes.
        line: PathBuf,
        /// What a kernel adds to the arguments of its init.
        ignored: Vec<String>,
    },
}

/// Runs the command that was parsed.
#[must_use]
pub fn main(cli: Cli) -> ExitCode {
    let code = match cli.command {
        Command::Check(args) => with_library(|library| check::check(&args, library)),
        Command::Replay(args) => replay::replay(&args),
        Command::Shrink(args) => shrink::shrink(&args),
        Command::Outcomes(args) => outcomes::outcomes(&args),
        Command::Sim(args) => with_library(|library| simulate::simulate(&args, library)),
        Command::Defects(args) => defects::defects(&args),
        Command::Show(args) => show::show(&args),
        Command::Run(args) => with_library(|library| run::run(&args, library)),
        Command::Conform(args) => with_library(|library| conform::conform(&args, library)),
        Command::Probe(args) => probe::probe(&args),
        Command::Rig(args) => rig::rig(&args),
        Command::Guest { job, answer, .. } => guest(&job, &answer),
        Command::GuestShell { line, .. } => guest_shell(&line),
    };
    ExitCode::from(code)
}

fn with_library(command: impl FnOnce(&[Input]) -> u8) -> u8 {
    match crate::library::tests() {
        Ok(library) => command(&library),
        Err(error) => {
            eprintln!("ifq: {error}");
            EXIT_USAGE
        }
    }
}

#[cfg(target_os = "linux")]
fn guest(job: &std::path::Path, answer: &std::path::Path) -> u8 {
    match crate::guest::run(job, answer) {
        Ok(()) => EXIT_OK,
        Err(error) => {
            eprintln!("ifq: {error}");
            EXIT_DIFFERENCE
        }
    }
}

#[cfg(target_os = "linux")]
fn guest_shell(line: &std::path::Path) -> u8 {
    match crate::guest::shell::run(line) {
        Ok(()) => EXIT_OK,
        Err(error) => {
            eprintln!("ifq: {error}");
            EXIT_USAGE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn guest_shell(_: &std::path::Path) -> u8 {
    EXIT_NOT_RUN
}

#[cfg(not(target_os = "linux"))]
fn guest(_: &std::path::Path, _: &std::path::Path) -> u8 {
    EXIT_NOT_RUN
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
