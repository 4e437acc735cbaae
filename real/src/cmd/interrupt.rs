//! What a command reports when the user interrupts it.

use std::path::Path;

use super::exit::EXIT_INTERRUPTED;

/// What was done before the interrupt.
pub(super) struct Interrupted<'a> {
    /// The finished things, in words: `12 of 790 verdicts`.
    pub(super) done: String,
    /// What was running, in words.
    pub(super) running: Vec<String>,
    /// The checkpoint, if the command writes one.
    pub(super) checkpoint: Option<&'a Path>,
    /// The command can write checkpoints.
    pub(super) can_resume: bool,
}

impl Interrupted<'_> {
    /// Prints the report to standard error; returns the exit code.
    pub(super) fn report(&self) -> u8 {
        errln!("ifq: interrupted: {}", self.done);
        for running in &self.running {
            errln!("ifq: not finished: {running}");
        }
        match self.checkpoint {
            Some(path) => errln!("ifq: the same command continues from {}", path.display()),
            None if self.can_resume => {
                errln!("ifq: the progress is lost; --checkpoint FOLDER stores it");
            }
            None => {}
        }
        EXIT_INTERRUPTED
    }
}
