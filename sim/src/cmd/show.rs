//! `ifq show`: a test file in its canonical form, or as JSON.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{EXIT_OK, EXIT_USAGE, input};
use crate::format;

/// Arguments of `ifq show`.
#[derive(Clone, Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  ifq show --json tests/library/teardown/exits-race.ifq > exits-race.json"
)]
pub struct Args {
    /// Test files, text or JSON
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
#[must_use]
pub fn show(args: &Args) -> u8 {
    let inputs = match input::read(&args.files) {
        Ok(inputs) => inputs,
        Err(errors) => {
            input::complain(&errors);
            return EXIT_USAGE;
        }
    };
    for input in inputs {
        if args.json {
            say!("{}", format::to_json(&input.test));
        } else {
            tell!("{}", format::print(&input.test));
        }
    }
    EXIT_OK
}
