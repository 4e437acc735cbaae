//! Runs a body under loom until every execution is seen, and says how many there were.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::panic_text;
use crate::loom_platform;
use crate::say;

/// Scheduling points in one execution. A loop that does not end meets this limit.
const MAX_BRANCHES: usize = 20_000;

/// What a finished exploration covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Executions.
    pub iterations: u64,
    /// `None`: every execution that loom knows. Otherwise those with at most so many preemptions.
    pub preemption_bound: Option<usize>,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} iterations, ", self.iterations)?;
        match self.preemption_bound {
            None => f.write_str("exhaustive"),
            Some(bound) => write!(f, "bounded ({bound} preemptions)"),
        }
    }
}

/// Explores every execution of `body` and prints `NAME: N iterations, exhaustive`.
///
/// # Panics
/// With the invariant's name where one is broken.
pub fn loom_model(name: &str, body: impl Fn() + Send + Sync + 'static) -> Coverage {
    explore(name, None, body)
}

/// As [`loom_model`], with at most `preemptions` preemptions in one execution; prints `bounded`.
///
/// # Panics
/// As [`loom_model`].
pub fn loom_bounded(
    name: &str,
    preemptions: usize,
    body: impl Fn() + Send + Sync + 'static,
) -> Coverage {
    explore(name, Some(preemptions), body)
}

/// The text of the violation that exploring `body` meets.
///
/// # Panics
/// If every execution is fine.
pub fn loom_violation(name: &str, body: impl Fn() + Send + Sync + 'static) -> String {
    let count = Arc::new(AtomicU64::new(0));
    match catch_unwind(AssertUnwindSafe(|| check(None, &count, body))) {
        Ok(()) => panic!("{name}: loom found no violation in {} iterations", load(&count)),
        Err(payload) => {
            let text = panic_text(&*payload);
            say(format_args!("{name}: violation in iteration {}: {text}", load(&count)));
            text
        }
    }
}

fn explore(name: &str, bound: Option<usize>, body: impl Fn() + Send + Sync + 'static) -> Coverage {
    let count = Arc::new(AtomicU64::new(0));
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| check(bound, &count, body))) {
        say(format_args!("{name}: violation in iteration {}", load(&count)));
        resume_unwind(payload);
    }
    let coverage = Coverage { iterations: load(&count), preemption_bound: bound };
    say(format_args!("{name}: {coverage}"));
    coverage
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn check(bound: Option<usize>, count: &Arc<AtomicU64>, body: impl Fn() + Send + Sync + 'static) {
    let count = Arc::clone(count);
    let mut builder = loom::model::Builder::new();
    builder.max_threads = loom::MAX_THREADS;
    builder.max_branches = MAX_BRANCHES;
    builder.preemption_bound = bound;
    // Both end the search with success: coverage would be less than what is printed.
    builder.max_duration = None;
    builder.max_permutations = None;
    builder.checkpoint_file = None;
    builder.location = false;
    builder.log = false;
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        loom_platform::reset();
        body();
        loom_platform::join_workers();
        loom_platform::reset();
    });
}
