//! The command `ifq`: each subcommand is a function of the crate that owns it.

use std::process::ExitCode;

use clap::Parser;
use ifq_real::cmd::{self, Cli};

fn main() -> ExitCode {
    cmd::main(Cli::parse())
}
