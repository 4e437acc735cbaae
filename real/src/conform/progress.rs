//! A line on the terminal that says how far we are, once it takes long.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Nothing is shown before that.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two lines.
const PAUSE: Duration = Duration::from_millis(100);

/// The line. It has two parts: what the machine does, and what the model does meanwhile.
#[derive(Debug)]
pub struct Progress {
    start: Instant,
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    title: String,
    machine: String,
    model: String,
    shown: Instant,
}

impl Progress {
    /// Begins to count the time.
    #[must_use]
    pub fn new() -> Self {
        let start = Instant::now();
        let (title, machine, model) = Default::default();
        let state = Mutex::new(State { title, machine, model, shown: start });
        Progress { start, terminal: std::io::stderr().is_terminal(), state }
    }

    /// What all that follows is part of.
    pub fn title(&self, title: String) {
        self.change(|state| {
            *state = State { title, machine: String::new(), model: String::new(), ..*state };
        });
    }

    /// What the machine does.
    pub fn machine(&self, text: String) {
        self.change(|state| state.machine = text);
    }

    /// What the model does.
    pub fn model(&self, text: String) {
        self.change(|state| state.model = text);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if !self.terminal || self.start.elapsed() < PATIENCE || state.shown.elapsed() < PAUSE {
            return;
        }
        state.shown = Instant::now();
        let parts = [&state.title, &state.machine, &state.model];
        let parts: Vec<&str> =
            parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        eprint!("\r\x1b[K{}", parts.join("; "));
        // A terminal that takes no more text loses nothing.
        let _ = std::io::stderr().flush();
    }

    /// Takes the line away, before something is printed.
    pub fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new()
    }
}
