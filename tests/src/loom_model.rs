//! Explores all executions of a body with loom and reports their number.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::panic_text;
use crate::loom_platform;
use crate::print_coverage;

/// Limit on the scheduling points of one execution. An endless loop reaches it.
const MAX_BRANCHES: usize = 20_000;

/// The coverage of a finished exploration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Number of executions.
    pub iterations: u64,
    /// `None`: all executions of loom's memory model. Otherwise those with at most this many preemptions.
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
/// With the invariant's name if an execution breaks one.
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

/// Explores `body` and returns the text of the first violation.
///
/// # Panics
/// If no execution violates an invariant.
pub fn loom_violation(name: &str, body: impl Fn() + Send + Sync + 'static) -> String {
    let count = Arc::new(AtomicU64::new(0));
    match catch_unwind(AssertUnwindSafe(|| check(None, &count, body))) {
        Ok(()) => panic!("{name}: loom found no violation in {} iterations", load(&count)),
        Err(payload) => {
            let text = panic_text(&*payload);
            print_coverage(format_args!("{name}: violation in iteration {}: {text}", load(&count)));
            text
        }
    }
}

fn explore(name: &str, bound: Option<usize>, body: impl Fn() + Send + Sync + 'static) -> Coverage {
    let count = Arc::new(AtomicU64::new(0));
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| check(bound, &count, body))) {
        print_coverage(format_args!("{name}: violation in iteration {}", load(&count)));
        resume_unwind(payload);
    }
    let coverage = Coverage { iterations: load(&count), preemption_bound: bound };
    print_coverage(format_args!("{name}: {coverage}"));
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
    // With either limit loom ends the search early and reports success.
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
