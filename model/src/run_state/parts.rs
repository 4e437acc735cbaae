//! The operations of a run's first thread.
//!
//! The deterministic engines name an object by the number of the operation in which a thread makes it.
//! So parts of a test that symmetry reduction may exchange are made in operations that differ only in
//! their number.

use crate::platform::Platform;
use crate::test::{Op, Step, Test};

/// What the first thread makes in one of its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The kernel.
    Kernel,
    /// The descriptor of a ring or of an export.
    Fd(usize),
    /// A ring and its file.
    Ring(usize),
    /// A connection.
    Socket(usize),
    /// Memory for a `register` or `add-area` step, by its position in [`Test::steps`].
    Region(usize),
    /// [`super::ModelRun`].
    Run,
    /// The argument of an `export` step.
    ZcrxFd(usize),
    /// The binding of a name.
    Var(usize),
    /// [`super::Receive`] of a `recv` step.
    Receive(usize),
    /// The position in the stream of a connection.
    Position(usize),
    /// A step of the set-up.
    Setup(usize),
    /// The test's threads run.
    Threads,
}

/// The operations of a run's first thread, in order, up to the one in which the test's threads run.
#[must_use]
pub fn parts(test: &Test) -> Vec<Part> {
    let steps = |wanted: fn(&Op) -> bool| {
        let steps = test.steps().enumerate().filter(move |(_, step)| wanted(&step.op));
        steps.map(|(position, _)| position)
    };
    let mut parts = vec![Part::Kernel];
    parts.extend((0..test.rings.len() + steps(exports).count()).map(Part::Fd));
    parts.extend((0..test.rings.len()).map(Part::Ring));
    parts.extend((0..test.sockets.len()).map(Part::Socket));
    parts.extend(steps(has_region).map(Part::Region));
    parts.push(Part::Run);
    parts.extend(steps(exports).map(Part::ZcrxFd));
    parts.extend((0..test.vars.len()).map(Part::Var));
    parts.extend(steps(receives).map(Part::Receive));
    parts.extend((0..test.sockets.len()).map(Part::Position));
    parts.extend((0..test.setup.len()).map(Part::Setup));
    parts.push(Part::Threads);
    parts
}

pub(super) fn exports(op: &Op) -> bool {
    matches!(op, Op::Export { .. })
}

pub(super) fn has_region(op: &Op) -> bool {
    matches!(op, Op::Register { .. } | Op::AddArea { .. })
}

pub(super) fn receives(op: &Op) -> bool {
    matches!(op, Op::Recv { .. })
}

/// Makes one of [`parts`].
pub(super) fn part<P: Platform, T>(make: impl FnOnce() -> T) -> T {
    P::op_boundary();
    make()
}

/// Makes one of [`parts`] for a step that has it; `None` for others.
pub(super) fn part_of<P: Platform, T>(
    step: &Step,
    wanted: fn(&Op) -> bool,
    make: impl FnOnce() -> Option<T>,
) -> Option<T> {
    if wanted(&step.op) { part::<P, _>(make) } else { None }
}
