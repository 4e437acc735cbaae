//! `ifq rig check`, `hold`, `restore` and `state`: what concerns one hardware rig.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::exit::{EXIT_DIFFERENCE, EXIT_OK, EXIT_USAGE, exit_code};
use crate::machine::{Failure, ask_rig};
use crate::rig::RigFile;
use crate::rig::agent::{Action, Answer, Item, Status};

/// What to do with the rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Say what is there and what is missing.
    Check,
    /// Set it up until the user interrupts.
    Hold,
    /// Undo what a run that was killed has changed.
    Restore,
    /// Print the state of its interfaces.
    State,
}

/// Does it; the exit code.
pub(super) fn rig_file(path: &Path, wish: Wish, json: bool) -> u8 {
    if let Err(error) = RigFile::load(path) {
        errln!("ifq: {error}");
        return EXIT_USAGE;
    }
    let action = match wish {
        Wish::Check => Action::Check,
        Wish::Hold => Action::Hold,
        Wish::Restore => Action::Restore,
        Wish::State => Action::State,
    };
    let mut code = EXIT_OK;
    let result = own_path().and_then(|ifq| {
        ask_rig(&ifq, path, action, &mut |answer| {
            code = code.max(print(&answer, json));
        })
    });
    match result {
        Ok(()) => code,
        failed => exit_code(failed, json),
    }
}

fn own_path() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::NotRun(format!("cannot find the path of ifq: {error}")))
}

/// Prints an answer; the exit code that it asks for.
fn print(answer: &Answer, json: bool) -> u8 {
    let missing = matches!(answer, Answer::Item(Item { status: Status::Missing, .. }));
    if json {
        outln!("{}", json!(answer));
    } else {
        match answer {
            Answer::Item(item) => print_item(item),
            Answer::State { state } => match serde_json::to_string_pretty(state) {
                Ok(text) => outln!("{text}"),
                Err(error) => errln!("ifq: {error}"),
            },
            Answer::Ready => outln!("the rig is set up; Ctrl-C restores it"),
            Answer::Restored { changes: 0 } => outln!("the rig is as it was"),
            Answer::Restored { changes } => outln!("restored: {changes} changes were undone"),
            Answer::Note { text } => outln!("{text}"),
            Answer::Refused { .. } | Answer::Failed { .. } => {}
        }
    }
    if missing { EXIT_DIFFERENCE } else { EXIT_OK }
}

fn print_item(item: &Item) {
    let word = match item.status {
        Status::There => "ok",
        Status::Optional => "not needed",
        Status::Missing => "MISSING",
        Status::Unknown => "unknown",
    };
    outln!("{word:<11}{:<22} {}", item.what, item.found);
    if let Some(help) = &item.help {
        outln!("{:<11}{:<22} try: {help}", "", "");
    }
}
