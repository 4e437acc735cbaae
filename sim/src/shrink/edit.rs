//! Removes parts of a test, together with everything that depends on them.

use std::collections::BTreeSet;

use ifq_model::test::arg::Arg;
use ifq_model::test::{Expect, Op, RingId, RqWord, SocketId, Source, Step, Test, VarId};

use crate::format::renumber;

/// The steps in the order of [`Test::steps`].
pub(super) fn steps_mut(test: &mut Test) -> impl Iterator<Item = &mut Step> {
    let threads = test.threads.iter_mut().flat_map(|t| &mut t.steps);
    test.setup.iter_mut().chain(threads).chain(&mut test.finally)
}

/// Keeps the steps for which `keep` is true, given index and step, unless they use the result of a
/// removed step.
pub(super) fn keep_steps(test: &mut Test, mut keep: impl FnMut(usize, &Step) -> bool) {
    let kept: Vec<bool> = test.steps().enumerate().map(|(i, step)| keep(i, step)).collect();
    let mut kept: Vec<(Step, bool)> = test.steps().cloned().zip(kept).collect();
    let mut removed: BTreeSet<VarId> = BTreeSet::new();
    loop {
        let before = removed.len();
        removed.extend(kept.iter().filter(|(_, kept)| !kept).filter_map(|(step, _)| step.bind));
        if removed.len() == before {
            break;
        }
        for (step, kept) in &mut kept {
            *kept &= !step.op.uses().any(|var| removed.contains(&var));
        }
    }
    let mut kept = kept.into_iter().map(|(_, kept)| kept);
    // One iterator over all sections, in the order of `Test::steps`.
    test.setup.retain(|_| kept.next().unwrap_or(true));
    for thread in &mut test.threads {
        thread.steps.retain(|_| kept.next().unwrap_or(true));
    }
    test.finally.retain(|_| kept.next().unwrap_or(true));
    steps_mut(test).for_each(|step| step.after.retain(|var| !removed.contains(var)));
    drop_unbound(test);
}

/// Renumbers the results and drops those that no step binds.
pub(super) fn drop_unbound(test: &mut Test) {
    renumber(test);
    let bound = test.steps().filter(|step| step.bind.is_some()).count();
    test.vars.truncate(bound);
    retain_observed(test, |var| usize::from(var) < bound);
}

/// Keeps the observed results for which `keep` is true, and the conditions that name no other result. A
/// test without any condition left is expected to hold.
pub(super) fn retain_observed(test: &mut Test, keep: impl Fn(VarId) -> bool) {
    test.observe.retain(|var| keep(*var));
    let observed = &test.observe;
    test.conditions.retain(|condition| condition.formula.names_only(observed));
    if test.conditions.is_empty() && test.expect.is_empty() {
        test.expect.push(Expect::default());
    }
}

/// Drops the name of the result of a step, unless another step needs it.
pub(super) fn drop_name(test: &mut Test, index: usize) {
    let Some(var) = test.steps().nth(index).and_then(|step| step.bind) else { return };
    let needs = |step: &Step| step.after.contains(&var) || step.op.uses().any(|used| used == var);
    if test.steps().any(needs) {
        return;
    }
    retain_observed(test, |observed| observed != var);
    steps_mut(test).filter(|step| step.bind == Some(var)).for_each(|step| step.bind = None);
    drop_unbound(test);
}

/// Drops a ring and all steps that name it.
pub(super) fn drop_ring(test: &mut Test, ring: RingId) {
    keep_steps(test, |_, step| {
        let (mut names, mut op) = (false, step.op);
        op.for_each_ring(|named| names |= *named == ring);
        !names
    });
    test.rings.remove(usize::from(ring));
    test.setups.retain(|(of, _)| *of != ring);
    let down = |id: &mut RingId| *id -= RingId::from(*id > ring);
    test.setups.iter_mut().for_each(|(of, _)| down(of));
    steps_mut(test).for_each(|step| step.op.for_each_ring(down));
}

/// Drops a connection and all steps that use it.
pub(super) fn drop_socket(test: &mut Test, socket: SocketId) {
    keep_steps(test, |_, step| step.op.clone().socket_mut() != Some(&mut { socket }));
    test.sockets.remove(usize::from(socket));
    for id in steps_mut(test).filter_map(|step| step.op.socket_mut()) {
        *id -= SocketId::from(*id > socket);
    }
}

/// The device queues of ifqs and connections.
fn for_each_queue(test: &mut Test, mut f: impl FnMut(&mut u32)) {
    test.sockets.iter_mut().filter_map(|s| s.queue.as_mut()).for_each(&mut f);
    for step in steps_mut(test) {
        if let Op::RestartQueue { queue } = &mut step.op {
            f(queue);
        }
        step.op.for_each_arg(|arg| {
            if let Arg::Source(Source::Queue(queue)) = arg {
                f(queue);
            }
        });
    }
}

/// Drops a device queue that nothing uses.
pub(super) fn drop_queue(test: &mut Test, queue: u32) {
    let mut in_use = false;
    for_each_queue(test, |used| in_use |= *used == queue);
    if !in_use {
        test.queues -= 1;
        for_each_queue(test, |used| *used -= u32::from(*used > queue));
    }
}

/// Replaces every number of a test by `f` of it.
pub(super) fn for_each_number(test: &mut Test, mut f: impl FnMut(u64) -> u64) {
    // A result that does not fit becomes the largest number.
    let mut small = |n: &mut u32| *n = u32::try_from(f(u64::from(*n))).unwrap_or(u32::MAX);
    small(&mut test.queues);
    small(&mut test.max_faults);
    test.sockets.iter_mut().filter_map(|s| s.queue.as_mut()).for_each(&mut small);
    for step in steps_mut(test) {
        step.op.for_each_arg(|arg| match arg {
            Arg::Source(Source::Queue(number))
            | Arg::Number(number, _)
            | Arg::RqWord(RqWord::Off(number) | RqWord::Pad(number)) => small(number),
            _ => {}
        });
    }
    for step in steps_mut(test) {
        step.op.for_each_arg(|arg| {
            if let Arg::Value(value) = arg {
                *value = f(*value);
            }
        });
    }
}
