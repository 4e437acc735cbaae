//! `ifq show`: prints test files in canonical form, or as JSON.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use ifq_sim::format;

use super::selection::read_or;

/// Arguments of `ifq show`.
#[derive(Clone, Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  ifq show --json tests/library/teardown/exits-race.ifq > exits-race.json"
)]
pub struct Args {
    /// Test files, text or JSON, or folders of them; `-` is standard input
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints the files; returns the exit code.
#[must_use]
pub fn show(args: &Args) -> u8 {
    let inputs = match read_or(&args.files, &[]) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    for input in inputs.tests.iter() {
        if args.json {
            outln!("{}", format::to_json(&input.test));
        } else {
            out!("{}", format::print(&input.test));
        }
    }
    inputs.code
}
