//! Progress of a command that goes through a plan.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use ifq_sim::enumerate::TestId;
use indicatif::{ProgressBar, ProgressStyle};

use crate::machine::interrupted;

/// A progress bar that counts tests, and the last finished test.
pub(in crate::cmd) struct Progress {
    bar: ProgressBar,
    started: Instant,
    /// Number of finished tests.
    pub(in crate::cmd) tests: u64,
    /// The last finished test.
    pub(in crate::cmd) last: Option<TestId>,
}

impl Progress {
    /// A bar for this many tests. It is hidden unless standard error is a terminal.
    pub(in crate::cmd) fn new(tests: u64) -> Self {
        // The first question installs the handler of the interrupt.
        let _ = interrupted();
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(tests)
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template(
            "{elapsed} {pos}/{len} tests, {per_sec}, {eta} left  {msg}",
        ) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_secs(2));
        Progress { bar, started: Instant::now(), tests: 0, last: None }
    }

    /// A test is finished.
    pub(in crate::cmd) fn done(&mut self, id: TestId, message: impl FnOnce() -> String) {
        self.tests += 1;
        self.last = Some(id);
        self.bar.inc(1);
        if self.tests.is_multiple_of(64) {
            self.bar.set_message(message());
        }
    }

    /// Prints a line above the bar.
    pub(in crate::cmd) fn print(&self, line: &str) {
        self.bar.suspend(|| outln!("{line}"));
    }

    /// Removes the bar; returns the seconds since the start.
    pub(in crate::cmd) fn finish(&self) -> f64 {
        self.bar.finish_and_clear();
        self.started.elapsed().as_secs_f64()
    }

    /// Says where to continue after an interrupt.
    pub(in crate::cmd) fn say_interrupted(&self, all: u64) {
        let next = match self.last {
            Some(id) => format!("; continue with --from {} (the last finished test)", id.name()),
            None => String::new(),
        };
        errln!("ifq: interrupted after {} of {all} tests{next}", self.tests);
    }
}
