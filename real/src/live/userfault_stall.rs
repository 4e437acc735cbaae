//! A call whose argument the kernel cannot write before user space supplies the page, which it does
//! when nothing else goes on; and whom that holds up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::{Op, Step, Test};
use ifq_sim::format::verb;

use super::idle::TICKS;
use super::rng::Rng;
use super::run::{LiveRun, ThreadStep};
use super::tasks::Tasks;
use crate::abi::syscall::userfault::WriteProtectedPage;
use crate::abi::syscall::{self, KernelArg, PAGE, SharedMem};
use crate::job::Stalls;
use crate::kernels::supported::delays_page_faults;

/// BlockedSamples in a row at which a thread is blocked that stands still: half of those of a quiet time. It
/// may have come to where it waits after the first ones.
const STILL: u32 = TICKS / 2;
/// Once the page is there, whoever was held up has so long to go on.
const GOES_ON: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_micros(200);

/// How long threads wait at most for another one to come to its late page.
const HEAD_START: Duration = Duration::from_millis(100);

/// The step of a repetition whose page comes late: each that writes to its caller in turn, and in
/// one repetition of each turn none.
pub(super) fn choose(test: &Test, seed: u64, repetition: u32) -> Option<&Step> {
    if !delays_page_faults(test) {
        return None;
    }
    let steps = test.threads.iter().flat_map(|thread| &thread.steps);
    let mut able: Vec<Option<&Step>> = steps.filter(|step| writes(&step.op)).map(Some).collect();
    able.push(None);
    let first = Rng::new(seed, u64::MAX).below(able.len() as u64) as usize;
    able[(first + repetition as usize) % able.len()]
}

/// Whether the kernel writes to the caller's memory, if the operation succeeds.
fn writes(op: &Op) -> bool {
    let readable = |modifiers: ArgModifiers| {
        !modifiers.has(ArgModifier::ArgFault) && !modifiers.has(ArgModifier::AreaFault)
    };
    match op {
        Op::Register { modifiers, .. }
        | Op::Import { modifiers, .. }
        | Op::Export { modifiers, .. }
        | Op::AddArea { modifiers, .. } => readable(*modifiers),
        _ => false,
    }
}

/// How often in a row each thread was found blocked while a page is not there.
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

    /// Whether a thread stands still: what the kernel does on its own takes less long.
    fn stands_still(&self, thread: usize) -> bool {
        self.0[thread] >= STILL
    }
}

impl LiveRun<'_> {
    /// Lets the late call go first, if this is a thread that does not make it: to prepare the page
    /// takes so long that the others' calls would be over.
    pub(super) fn after_late(&self, steps: &[Step], rng: &mut Rng) {
        let is_mine = steps.iter().any(|step| self.is_late(step));
        if self.late.is_none() || is_mine || rng.below(4) == 0 {
            return;
        }
        let start = Instant::now();
        while !self.late_is_there.load(Ordering::Acquire) && start.elapsed() < HEAD_START {
            std::thread::sleep(LOOK);
        }
    }

    fn is_late(&self, step: &Step) -> bool {
        self.late.is_some_and(|late| std::ptr::eq(late, step))
    }

    /// Makes a call with this argument, in a page that comes late if it is this step's turn. `None`:
    /// the machine cannot go on.
    pub(super) fn with_argument<T: KernelArg + Copy, R>(
        &self,
        at: ThreadStep<'_>,
        argument: &mut T,
        call: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        if !self.is_late(at.1) {
            return Some(call(argument));
        }
        let mut page = SharedMem::new(PAGE)
            .map_err(|error| self.values.fail(format!("a page for an argument: {error}")))
            .ok()?;
        let placed = page.place(*argument);
        let address = syscall::address(placed);
        let result = self.with_late_page(at, address, || call(placed))?;
        *argument = *placed;
        Some(result)
    }

    /// Makes a call while the page of this address is late if it is this step's turn. `None`: the
    /// machine cannot go on.
    pub(super) fn with_late_page<R>(
        &self,
        (thread, step): ThreadStep<'_>,
        address: u64,
        call: impl FnOnce() -> R,
    ) -> Option<R> {
        if !self.is_late(step) {
            return Some(call());
        }
        let fail = |error| self.values.fail(format!("userfaultfd: {error}"));
        let page = WriteProtectedPage::new(address).map_err(fail).ok()?;
        let over = AtomicBool::new(false);
        let result = std::thread::scope(|scope| {
            scope.spawn(|| self.supply(thread, step, page, &over));
            let result = call();
            over.store(true, Ordering::Release);
            self.late_is_there.store(true, Ordering::Release);
            result
        });
        Some(result)
    }

    /// Supplies the page that a thread waits for once nothing else goes on, as the model does.
    fn supply(&self, thread: usize, step: &Step, page: WriteProtectedPage, over: &AtomicBool) {
        let tick = self.quiet.tick();
        while !page.has_blocked_writer(tick).unwrap_or(true) {
            if over.load(Ordering::Acquire) {
                return;
            }
        }
        self.late_is_there.store(true, Ordering::Release);
        let start = Instant::now();
        let (mut patience, mut looks) =
            (self.quiet.begin(thread), BlockedSamples::none(self.tasks.len()));
        loop {
            std::thread::sleep(tick);
            if !patience.is_undisturbed(&self.quiet) {
                looks = BlockedSamples::none(self.tasks.len());
            }
            looks.add(&self.tasks);
            let busy = self.quiet.busy(thread);
            if self.quiet.gives_up(thread, &mut patience) {
                let held: Vec<usize> =
                    busy.into_iter().filter(|&other| looks.stands_still(other)).collect();
                let waits =
                    format!("{}, whose thread was in: {}", verb(&step.op), self.stack(thread));
                let stacks: Vec<String> = held.iter().map(|&by| self.stack(by)).collect();
                let waited = start.elapsed();
                // Dropping the page supplies it, whatever becomes of this.
                let _ = page.unprotect();
                drop(page);
                self.note_stalls(&waits, waited, &held, &stacks);
                return;
            }
        }
    }

    fn stack(&self, thread: usize) -> String {
        match self.tasks.stack(thread) {
            stack if stack.is_empty() => "(the kernel does not tell)".to_owned(),
            stack => stack,
        }
    }

    fn note_stalls(&self, waits: &str, waited: Duration, held: &[usize], stacks: &[String]) {
        let start = Instant::now();
        let blocked = || held.iter().any(|&thread| self.tasks.is_blocked(thread));
        while blocked() && start.elapsed() < GOES_ON {
            std::thread::sleep(LOOK);
        }
        let went_on = start.elapsed();
        let name = |thread: usize| self.test.threads.get(thread).map_or("main", |t| &t.name);
        let stalls = held.iter().zip(stacks).map(|(&thread, stack)| {
            format!(
                "thread {} stood still in a system call for {} ms and went on within {} ms after a \
                 page was there; it was in: {stack}; the page was missing for {waits}",
                name(thread),
                waited.as_millis(),
                went_on.as_millis().max(1),
            )
        });
        let stalls: Vec<String> = stalls.collect();
        let stalled = u64::from(!stalls.is_empty());
        self.stalls(Stalls { late: 1, stalled, example: stalls.into_iter().next() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(fault: &str) -> Test {
        let text = format!(
            "test t\nrevision import-7.3\nring A B\nsetup\n ifq = A: register nodev buffers=1 \
             entries=1\n box = A: export ifq\nthread a\n x = A: add-area ifq buffers=1\n \
             y = A: flush ifq\n z = A: export ifq with arg-fault\nthread b\n imp = B: import box\n\
             {fault}\nexpect holds"
        );
        ifq_sim::format::parse("t.ifq", &text).expect("a test")
    }

    #[test]
    fn each_call_that_writes_to_its_caller_is_late_in_turn_and_once_none_is() {
        let late = test("fault page-fault-waits");
        for seed in 0..5 {
            let verbs = |from: u32| {
                let drawn = (from..from + 3).map(|repetition| choose(&late, seed, repetition));
                let mut verbs: Vec<_> = drawn.map(|step| step.map(|s| verb(&s.op))).collect();
                verbs.sort_unstable();
                verbs
            };
            assert_eq!(verbs(0), [None, Some("add-area"), Some("import")]);
            assert_eq!(verbs(0), verbs(7));
        }
        assert_eq!(choose(&test(""), 1, 0), None);
        assert_eq!(choose(&test("fault copy-to-user"), 1, 0), None);
    }

    #[test]
    fn a_thread_stands_still_that_was_blocked_for_half_the_quiet_time() {
        let looks = BlockedSamples(vec![STILL, STILL - 1, 0]);
        assert!(looks.stands_still(0) && !looks.stands_still(1) && !looks.stands_still(2));
        let mut looks = BlockedSamples(vec![STILL]);
        looks.add(&Tasks::new(1));
        assert!(!looks.stands_still(0), "it went on meanwhile");
    }
}
