//! Delays a page fault of one call and detects threads that are blocked meanwhile.
//!
//! The kernel cannot write the argument of the call, or pin its memory, until the page is
//! unprotected. That happens once no other thread makes progress. A thread that is then blocked in the kernel is a stall.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ifq_model::test::Step;

use super::idle::TICKS;
use super::injection::How;
use super::late_page::LatePage;
use super::rng::Rng;
use super::run::{LiveRun, ThreadStep};
use super::tasks::Tasks;
use crate::abi::syscall::read_only::ReadOnlyPage;
use crate::abi::syscall::userfault::WriteProtectedPage;
use crate::abi::syscall::{self, KernelArg, PAGE, SharedMem};
use crate::job::Stalls;

/// Number of consecutive samples after which a blocked thread counts as stalled: half of the ticks of
/// the idle timeout, because it may have blocked after the first ticks.
const STALL_SAMPLES: u32 = TICKS / 2;
/// Time that a stalled thread has to continue after the page is unprotected.
const RESUME_TIME: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_micros(200);

/// Longest time that threads wait for the delayed call to reach its page fault.
const FAULT_WAIT: Duration = Duration::from_millis(100);

/// For each thread the number of consecutive samples in which it was blocked.
struct BlockedSamples(Vec<u32>);

impl BlockedSamples {
    fn none(threads: usize) -> Self {
        BlockedSamples(vec![0; threads])
    }

    fn add(&mut self, tasks: &Tasks) {
        for (thread, in_a_row) in self.0.iter_mut().enumerate() {
            *in_a_row = if tasks.is_blocked(thread) { *in_a_row + 1 } else { 0 };
        }
    }

    /// Whether a thread is stalled. Background work of the kernel blocks it for a shorter time.
    fn is_stalled(&self, thread: usize) -> bool {
        self.0[thread] >= STALL_SAMPLES
    }
}

impl LiveRun<'_> {
    /// Waits until the delayed call has reached its page fault, if another thread makes that call. Without
    /// this the calls of the other threads would end before the page is protected.
    pub(super) fn wait_for_fault(&self, steps: &[Step], rng: &mut Rng) {
        let is_own = steps.iter().any(|step| self.delayed_page(step).is_some());
        if self.delayed_fault.is_none() || is_own || rng.below(4) == 0 {
            return;
        }
        let start = Instant::now();
        while !self.fault_reached.load(Ordering::Acquire) && start.elapsed() < FAULT_WAIT {
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// The page of a step that is late.
    fn delayed_page(&self, step: &Step) -> Option<LatePage> {
        let fault = self.delayed_fault?;
        fault.page_of(step)
    }

    /// Makes a call that pins this memory, with this argument; the page that is late is protected. `None`:
    /// the run failed.
    pub(super) fn with_pinned<T: KernelArg + Copy, R>(
        &self,
        at: ThreadStep<'_>,
        pinned: &[(LatePage, u64)],
        argument: &mut T,
        call: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let late = self.delayed_page(at.1);
        match pinned.iter().find(|(page, _)| Some(*page) == late) {
            Some(&(page, address)) => {
                self.with_protected_page(at, page, address, || call(argument))
            }
            None => self.with_argument(at, argument, call),
        }
    }

    /// Makes a call with this argument; its page is protected if it is late. `None`: the run failed.
    pub(super) fn with_argument<T: KernelArg + Copy, R>(
        &self,
        at: ThreadStep<'_>,
        argument: &mut T,
        call: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let read_only = self.fault_of(at.1) == Some(How::ReadOnlyArgument);
        if !read_only && self.delayed_page(at.1) != Some(LatePage::Argument) {
            return Some(call(argument));
        }
        let mut page = SharedMem::new(PAGE)
            .map_err(|error| self.values.fail(format!("a page for an argument: {error}")))
            .ok()?;
        let placed = page.place(*argument);
        let address = syscall::address(placed);
        let page = LatePage::Argument;
        let result = self.with_protected_page(at, page, address, || call(placed))?;
        *argument = *placed;
        Some(result)
    }

    /// Makes a call while the page of this address is protected, if it is the late page. `None`: the run
    /// failed.
    pub(super) fn with_protected_page<R>(
        &self,
        (thread, step): ThreadStep<'_>,
        page: LatePage,
        address: u64,
        call: impl FnOnce() -> R,
    ) -> Option<R> {
        if page == LatePage::Argument && self.fault_of(step) == Some(How::ReadOnlyArgument) {
            let fail = |error| self.values.fail(format!("a page that is read-only: {error}"));
            let _page = ReadOnlyPage::new(address).map_err(fail).ok()?;
            return Some(call());
        }
        if self.delayed_page(step) != Some(page) {
            return Some(call());
        }
        let fail = |error| self.values.fail(format!("userfaultfd: {error}"));
        let page = WriteProtectedPage::new(address).map_err(fail).ok()?;
        let over = AtomicBool::new(false);
        let result = std::thread::scope(|scope| {
            scope.spawn(|| self.resolve_fault(thread, step, page, &over));
            let result = call();
            over.store(true, Ordering::Release);
            self.fault_reached.store(true, Ordering::Release);
            result
        });
        Some(result)
    }

    /// Unprotects the page once no other thread makes progress, as the model does.
    fn resolve_fault(
        &self,
        thread: usize,
        step: &Step,
        page: WriteProtectedPage,
        over: &AtomicBool,
    ) {
        let tick = self.idle.tick();
        while !page.has_blocked_writer(tick).unwrap_or(true) {
            if over.load(Ordering::Acquire) {
                return;
            }
        }
        self.fault_reached.store(true, Ordering::Release);
        let start = Instant::now();
        let (mut wait, mut samples) =
            (self.idle.begin(thread), BlockedSamples::none(self.tasks.len()));
        loop {
            std::thread::sleep(tick);
            if !wait.saw_no_progress(&self.idle) {
                samples = BlockedSamples::none(self.tasks.len());
            }
            samples.add(&self.tasks);
            let busy = self.idle.busy(thread);
            if self.idle.timed_out(thread, &mut wait) {
                let stalled: Vec<usize> =
                    busy.into_iter().filter(|&other| samples.is_stalled(other)).collect();
                let kind = self.delayed_page(step).unwrap_or(LatePage::Argument);
                let kind = format!("{} of {}", kind.name(), step.op.verb());
                let waits = format!("{kind}, whose thread was in: {}", self.stack(thread));
                let stacks: Vec<String> = stalled.iter().map(|&by| self.stack(by)).collect();
                let waited = start.elapsed();
                // If this fails, dropping the page removes the protection.
                let _ = page.unprotect();
                drop(page);
                self.record_stalls(kind, &waits, waited, &stalled, &stacks);
                return;
            }
        }
    }

    fn stack(&self, thread: usize) -> String {
        match self.tasks.stack(thread) {
            stack if stack.is_empty() => "(not available)".to_owned(),
            stack => stack,
        }
    }

    fn record_stalls(
        &self,
        page: String,
        waits: &str,
        waited: Duration,
        threads: &[usize],
        stacks: &[String],
    ) {
        let start = Instant::now();
        let blocked = || threads.iter().any(|&thread| self.tasks.is_blocked(thread));
        while blocked() && start.elapsed() < RESUME_TIME {
            std::thread::sleep(POLL_INTERVAL);
        }
        let resumed = start.elapsed();
        let name = |thread: usize| self.test.threads.get(thread).map_or("main", |t| &t.name);
        let stalls = threads.iter().zip(stacks).map(|(&thread, stack)| {
            format!(
                "thread {} was blocked in a system call for {} ms and continued within {} ms after the \
                 page fault was resolved; it was in: {stack}; the page fault was in {waits}",
                name(thread),
                waited.as_millis(),
                resumed.as_millis().max(1),
            )
        });
        let stalls: Vec<String> = stalls.collect();
        let stalled = u64::from(!stalls.is_empty());
        let examples = stalls.into_iter().next().map(|example| (page, example));
        self.stalls(Stalls { late: 1, stalled, examples: examples.into_iter().collect() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_blocked_for_half_of_the_idle_timeout_is_stalled() {
        let samples = BlockedSamples(vec![STALL_SAMPLES, STALL_SAMPLES - 1, 0]);
        assert!(samples.is_stalled(0) && !samples.is_stalled(1) && !samples.is_stalled(2));
        let mut samples = BlockedSamples(vec![STALL_SAMPLES]);
        samples.add(&Tasks::new(1));
        assert!(!samples.is_stalled(0), "it continued meanwhile");
    }
}
