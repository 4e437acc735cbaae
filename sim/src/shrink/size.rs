//! The size of a test.

use ifq_model::test::{Op, Source, Test};
use serde::Serialize;

use super::edit::for_each_number;

/// The counts of a test's parts, most important first, compared lexicographically.
///
/// The order is well-founded, so shrinking terminates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Size {
    /// Threads.
    pub threads: usize,
    /// Steps of all sections.
    pub steps: usize,
    /// Steps of threads.
    pub concurrent: usize,
    /// Rings.
    pub rings: usize,
    /// TCP connections.
    pub sockets: usize,
    /// Ifqs and connections on queues of the device.
    pub on_queues: usize,
    /// Fault points.
    pub faults: usize,
    /// Argument modifiers, setup options of rings, and returns without a lock.
    pub modifiers: usize,
    /// Names after `after`.
    pub waits: usize,
    /// Results with a name.
    pub names: usize,
    /// Observed results.
    pub observed: usize,
    /// The sum of all numbers: buffers, entries, bytes, queues, faults per run.
    #[serde(skip)]
    pub numbers: u128,
}

impl Size {
    /// The size of a test.
    #[must_use]
    pub fn of(test: &Test) -> Self {
        let on_queue =
            |op: &Op| matches!(op, Op::Register { source, .. } if *source != Source::Nodev);
        let modifiers = |op: &Op| {
            let careless = match op {
                Op::Return { locked, checked, .. } => usize::from(!locked) + usize::from(!checked),
                Op::Send { layout, .. } => usize::from(!layout.is_pages()),
                _ => 0,
            };
            op.modifiers().iter().count() + careless
        };
        let mut numbers = 0;
        for_each_number(&mut test.clone(), |number| {
            numbers += u128::from(number);
            number
        });
        let queues = test.sockets.iter().filter(|s| s.queue.is_some()).count();
        Size {
            threads: test.threads.len(),
            steps: test.steps().count(),
            concurrent: test.threads.iter().map(|t| t.steps.len()).sum(),
            rings: test.rings.len(),
            sockets: test.sockets.len(),
            on_queues: queues + test.steps().filter(|s| on_queue(&s.op)).count(),
            faults: test.faults.len(),
            modifiers: test.setups.len() + test.steps().map(|s| modifiers(&s.op)).sum::<usize>(),
            waits: test.steps().map(|s| s.after.len()).sum(),
            names: test.vars.len(),
            observed: test.observe.len(),
            numbers,
        }
    }
}
