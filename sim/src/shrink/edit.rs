//! Taking parts out of a test. What depends on a part that goes, goes with it.

use std::collections::BTreeSet;

use ifq_model::test::arg_modifier::ArgModifiers;
use ifq_model::test::{Op, RingId, RqWord, SocketId, Source, Step, Test, VarId};

use crate::format::renumber;

/// The steps in the order of [`Test::steps`].
pub(super) fn steps_mut(test: &mut Test) -> impl Iterator<Item = &mut Step> {
    let threads = test.threads.iter_mut().flat_map(|t| &mut t.steps);
    test.setup.iter_mut().chain(threads).chain(&mut test.finally)
}

/// Keeps the steps of which `keep` says so, by their index and themselves, unless they use the
/// result of one that goes.
pub(super) fn keep_steps(test: &mut Test, mut keep: impl FnMut(usize, &Step) -> bool) {
    let kept: Vec<bool> = test.steps().enumerate().map(|(i, step)| keep(i, step)).collect();
    let mut kept: Vec<(Step, bool)> = test.steps().cloned().zip(kept).collect();
    let mut gone: BTreeSet<VarId> = BTreeSet::new();
    loop {
        let before = gone.len();
        gone.extend(kept.iter().filter(|(_, kept)| !kept).filter_map(|(step, _)| step.bind));
        if gone.len() == before {
            break;
        }
        for (step, kept) in &mut kept {
            *kept &= !step.op.uses().any(|var| gone.contains(&var));
        }
    }
    let mut kept = kept.into_iter().map(|(_, kept)| kept);
    // Each list in turn: the iterator goes on from one to the next.
    test.setup.retain(|_| kept.next().unwrap_or(true));
    for thread in &mut test.threads {
        thread.steps.retain(|_| kept.next().unwrap_or(true));
    }
    test.finally.retain(|_| kept.next().unwrap_or(true));
    steps_mut(test).for_each(|step| step.after.retain(|var| !gone.contains(var)));
    forget_unbound(test);
}

/// Numbers the results again, without those that no step binds.
pub(super) fn forget_unbound(test: &mut Test) {
    renumber(test);
    let bound = test.steps().filter(|step| step.bind.is_some()).count();
    test.vars.truncate(bound);
    test.observe.retain(|var| usize::from(*var) < bound);
}

/// Takes the name from the result of the step with this index, if nothing needs it.
pub(super) fn forget_name(test: &mut Test, index: usize) {
    let Some(var) = test.steps().nth(index).and_then(|step| step.bind) else { return };
    let needs = |step: &Step| step.after.contains(&var) || step.op.uses().any(|used| used == var);
    if test.steps().any(needs) {
        return;
    }
    test.observe.retain(|observed| *observed != var);
    steps_mut(test).filter(|step| step.bind == Some(var)).for_each(|step| step.bind = None);
    forget_unbound(test);
}

/// Takes a ring out, with all steps that drive it or clone from it.
pub(super) fn drop_ring(test: &mut Test, ring: RingId) {
    let from = |op: &Op| matches!(*op, Op::Clone { from, .. } if from == ring);
    keep_steps(test, |_, step| step.op.ring() != Some(ring) && !from(&step.op));
    test.rings.remove(usize::from(ring));
    test.setups.retain(|(of, _)| *of != ring);
    let down = |id: &mut RingId| *id -= RingId::from(*id > ring);
    test.setups.iter_mut().for_each(|(of, _)| down(of));
    steps_mut(test).for_each(|step| step.op.for_each_ring(down));
}

/// Takes a connection out, with all steps that use it.
pub(super) fn drop_socket(test: &mut Test, socket: SocketId) {
    keep_steps(test, |_, step| step.op.clone().socket_mut() != Some(&mut { socket }));
    test.sockets.remove(usize::from(socket));
    for id in steps_mut(test).filter_map(|step| step.op.socket_mut()) {
        *id -= SocketId::from(*id > socket);
    }
}

/// Sets what is unusual about an argument, where something can be.
pub(super) fn set_modifiers(op: &mut Op, new: ArgModifiers) {
    match op {
        Op::Register { modifiers, .. }
        | Op::Clone { modifiers, .. }
        | Op::Export { modifiers, .. }
        | Op::Import { modifiers, .. }
        | Op::Flush { modifiers, .. }
        | Op::AddArea { modifiers, .. }
        | Op::Arm { modifiers, .. }
        | Op::Recv { modifiers, .. } => *modifiers = new,
        _ => {}
    }
}

/// The device queues that ifqs and connections are on.
fn queues_mut(test: &mut Test) -> impl Iterator<Item = &mut u32> {
    let Test { setup, threads, finally, sockets, .. } = test;
    let threads = threads.iter_mut().flat_map(|t| &mut t.steps);
    let steps = setup.iter_mut().chain(threads).chain(finally);
    let registered = steps.filter_map(|step| match &mut step.op {
        Op::Register { source: Source::Queue(queue), .. } => Some(queue),
        _ => None,
    });
    sockets.iter_mut().filter_map(|s| s.queue.as_mut()).chain(registered)
}

/// Takes a device queue out that nothing is on.
pub(super) fn drop_queue(test: &mut Test, queue: u32) {
    if queues_mut(test).all(|used| *used != queue) {
        test.queues -= 1;
        queues_mut(test).for_each(|used| *used -= u32::from(*used > queue));
    }
}

/// Replaces every number of a test by what `f` makes of it.
pub(super) fn for_each_number(test: &mut Test, mut f: impl FnMut(u64) -> u64) {
    // What `f` makes too big for its place is as big as the place allows.
    let mut small = |n: &mut u32| *n = u32::try_from(f(u64::from(*n))).unwrap_or(u32::MAX);
    small(&mut test.queues);
    small(&mut test.max_faults);
    test.sockets.iter_mut().filter_map(|s| s.queue.as_mut()).for_each(&mut small);
    for step in steps_mut(test) {
        match &mut step.op {
            Op::Register { source, buffers, entries, .. } => {
                if let Source::Queue(queue) = source {
                    small(queue);
                }
                small(buffers);
                small(entries);
            }
            Op::AddArea { buffers, .. } => small(buffers),
            Op::Recv { len, .. } | Op::Send { len, .. } => small(len),
            Op::Scribble { word: RqWord::Off(index) | RqWord::Pad(index), .. } => small(index),
            _ => {}
        }
    }
    for step in steps_mut(test) {
        if let Op::Scribble { value, .. } = &mut step.op {
            *value = f(*value);
        }
    }
}
