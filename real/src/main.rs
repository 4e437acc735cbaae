//! The command `ifq`.

use std::process::ExitCode;

use clap::Parser;
use ifq_real::cmd::{self, Cli};

fn main() -> ExitCode {
    cmd::main(Cli::parse())
}
