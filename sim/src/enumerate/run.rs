//! Goes through a plan with several threads.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use super::code::Code;
use super::plan::{Plan, TestId};

/// Tests that a worker takes at once.
const BLOCK: u64 = 8;
/// Finished blocks that wait for the results before them, for each worker.
const WAITING: usize = 64;

/// Calls `work` with each test of a plan on several threads, and `sink` with the results in the order of the
/// plan, on this thread. Neither the tests nor their codes are stored.
///
/// `stop` is asked before each test. If it says yes, tests that are not finished have no result, nor have the
/// tests after them.
pub fn run<R: Send>(
    plan: &Plan,
    workers: usize,
    stop: &(dyn Fn() -> bool + Sync),
    work: &(dyn Fn(TestId, &Code) -> R + Sync),
    sink: &mut dyn FnMut(TestId, R),
) {
    let claimed = AtomicU64::new(0);
    let workers = workers.max(1);
    let (sender, results) = mpsc::sync_channel(WAITING * workers);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (sender, claimed) = (sender.clone(), &claimed);
            scope.spawn(move || {
                // The results of a stopped worker are not needed: an error is ignored.
                let _ = run_blocks(plan, claimed, stop, work, &sender);
            });
        }
        drop(sender);
        let (mut next, mut early) = (0, BTreeMap::new());
        for (block, done) in results {
            early.insert(block, done);
            while let Some(done) = early.remove(&next) {
                next += 1;
                done.into_iter().for_each(|(id, result)| sink(id, result));
            }
        }
    });
}

/// The number of a block, and its results.
type Done<R> = (u64, Vec<(TestId, R)>);

/// One worker: streams the plan, and works on the blocks that it claims.
fn run_blocks<R: Send>(
    plan: &Plan,
    claimed: &AtomicU64,
    stop: &(dyn Fn() -> bool + Sync),
    work: &(dyn Fn(TestId, &Code) -> R + Sync),
    sender: &mpsc::SyncSender<Done<R>>,
) -> ControlFlow<()> {
    let claim = || claimed.fetch_add(1, Ordering::Relaxed);
    let (mut position, mut block, mut done) = (0_u64, claim(), Vec::new());
    plan.for_each(&mut |id, code| {
        if position / BLOCK > block {
            let results = std::mem::take(&mut done);
            if sender.send((block, results)).is_err() {
                return ControlFlow::Break(());
            }
            block = claim();
        }
        if position / BLOCK == block {
            if stop() {
                return ControlFlow::Break(());
            }
            done.push((id, work(id, code)));
        }
        position += 1;
        ControlFlow::Continue(())
    })?;
    if !done.is_empty() && sender.send((block, done)).is_err() {
        return ControlFlow::Break(());
    }
    ControlFlow::Continue(())
}
