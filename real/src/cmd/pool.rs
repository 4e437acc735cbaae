//! Runs searches in parallel, with a progress bar.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use ifq_sim::search::explore::Progress;

use crate::machine::interrupted;

/// A progress bar that counts finished searches and shows the progress of a running one.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// A bar for this many jobs. It is hidden unless standard error is a terminal.
    fn new(jobs: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            return Bar(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(jobs as u64);
        if let Ok(style) = ProgressStyle::with_template("{elapsed} {pos}/{len} tests  {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_secs(2));
        Bar(bar)
    }

    /// A bar that is never shown.
    pub(super) fn hidden() -> Self {
        Bar(ProgressBar::hidden())
    }

    /// Shows the progress of the search of a test.
    pub(super) fn show(&self, test: &str, at: Progress) {
        let rate = at.states as f64 / at.elapsed.as_secs_f64().max(1e-3);
        let Progress { states, depth, bytes, pass, share, .. } = at;
        let (mib, percent) = (bytes >> 20, share * 100.0);
        self.0.set_message(format!(
            "{test}: pass {pass}, about {percent:.1} %, {states} states, {rate:.0}/s, depth {depth}, \
             {mib} MiB"
        ));
    }
}

/// Runs all jobs on several threads; the results are in the order of the jobs. After an interrupt no job
/// is started; `None`: the job was not started.
pub(super) fn run_all<J: Sync, R: Send>(
    jobs: &[J],
    processors: usize,
    run: impl Fn(&J, &Bar) -> R + Sync,
) -> Vec<Option<R>> {
    let threads = processors.min(jobs.len()).max(1);
    let bar = Bar::new(jobs.len());
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<R>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !interrupted() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { break };
                    let result = run(job, &bar);
                    bar.0.inc(1);
                    if let Ok(mut slot) = results[index].lock() {
                        *slot = Some(result);
                    }
                }
            });
        }
    });
    bar.0.finish_and_clear();
    results.into_iter().map(|slot| slot.into_inner().ok().flatten()).collect()
}
