//! A progress line on the terminal, for runs that take long.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No line is shown before this time.
const FIRST_SHOWN: Duration = Duration::from_secs(2);
/// Minimum time between two updates.
const UPDATE_INTERVAL: Duration = Duration::from_millis(100);

/// The progress line. It has two parts: the state of the machine and the state of the model search.
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
    /// Starts the time.
    #[must_use]
    pub fn new() -> Self {
        let start = Instant::now();
        let (title, machine, model) = Default::default();
        let state = Mutex::new(State { title, machine, model, shown: start });
        Progress { start, terminal: std::io::stderr().is_terminal(), state }
    }

    /// A progress line that is never shown.
    #[must_use]
    pub fn hidden() -> Self {
        Progress { terminal: false, ..Progress::new() }
    }

    /// Sets the title and clears both parts.
    pub fn title(&self, title: String) {
        self.change(|state| {
            *state = State { title, machine: String::new(), model: String::new(), ..*state };
        });
    }

    /// Sets the state of the machine.
    pub fn machine(&self, text: String) {
        self.change(|state| state.machine = text);
    }

    /// Sets the state of the model search.
    pub fn model(&self, text: String) {
        self.change(|state| state.model = text);
    }

    /// What is running now, in words. `None`: nothing was started yet.
    #[must_use]
    pub fn state(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let text = state.text();
        (!text.is_empty()).then_some(text)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if !self.terminal
            || self.start.elapsed() < FIRST_SHOWN
            || state.shown.elapsed() < UPDATE_INTERVAL
        {
            return;
        }
        state.shown = Instant::now();
        err!("\r\x1b[K{}", state.text());
        // The line is only information: an error is ignored.
        let _ = std::io::stderr().flush();
    }

    /// Erases the line; called before something else is printed.
    pub fn clear(&self) {
        if self.terminal {
            err!("\r\x1b[K");
        }
    }
}

impl State {
    fn text(&self) -> String {
        let parts = [&self.title, &self.machine, &self.model];
        let parts: Vec<&str> =
            parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        parts.join("; ")
    }
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new()
    }
}
