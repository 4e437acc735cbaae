//! The changes that are tried on a test.

use ifq_model::test::arg_modifier::ArgModifiers;
use ifq_model::test::{Op, Source, Test};

use super::edit::{
    drop_queue, drop_ring, drop_socket, for_each_number, forget_name, forget_unbound, keep_steps,
    set_modifiers, steps_mut,
};

/// One kind of change: the test after the change with this number; `None` if there are fewer.
///
/// A change may also change nothing, or lead to a test that is not valid.
pub(super) type Pass = Box<dyn Fn(&Test, usize) -> Option<Test>>;

/// All changes, the boldest first.
pub(super) fn passes(test: &Test) -> Vec<Pass> {
    let mut passes: Vec<Pass> = vec![
        edit(|t| t.threads.len(), drop_thread),
        edit(|t| t.rings.len(), |t, i| drop_ring(t, i as u8)),
        edit(|t| t.sockets.len(), |t, i| drop_socket(t, i as u8)),
    ];
    let mut run = test.steps().count() / 2;
    while run > 0 {
        let runs = move |t: &Test| t.steps().count().div_ceil(run);
        passes.push(edit(runs, move |t, i| keep_steps(t, |step, _| step / run != i)));
        run /= 2;
    }
    passes.extend([
        edit(|t| 2 * t.threads.len(), thread_alone),
        edit(|t| 2 * t.threads.len(), step_alone),
        edit(|t| t.faults.len() + 1, drop_faults),
        edit(|t| t.setups.len(), |t, i| _ = t.setups.remove(i)),
        edit(|t| t.steps().count() + 1, plain_argument),
        edit(modifiers, drop_modifier),
        edit(|t| t.sockets.len() + t.steps().count(), off_the_queue),
        edit(|t| t.queues as usize, |t, i| drop_queue(t, i as u32)),
        edit(waits, drop_wait),
        edit(|_| 1, |t, _| t.observe.clear()),
        edit(|t| t.steps().count(), forget_name),
        edit(|t| t.observe.len(), |t, i| _ = t.observe.remove(i)),
        edit(|t| smaller(t).len(), smaller_number),
    ]);
    passes
}

/// A pass of so many changes.
fn edit(
    count: impl Fn(&Test) -> usize + 'static,
    change: impl Fn(&mut Test, usize) + 'static,
) -> Pass {
    Box::new(move |test, i| {
        (i < count(test)).then(|| {
            let mut test = test.clone();
            change(&mut test, i);
            test
        })
    })
}

fn drop_thread(test: &mut Test, thread: usize) {
    let before: usize = test.threads[..thread].iter().map(|t| t.steps.len()).sum();
    let first = test.setup.len() + before;
    let range = first..first + test.threads[thread].steps.len();
    keep_steps(test, |i, _| !range.contains(&i));
    test.threads.remove(thread);
}

/// The steps of a thread as the last ones of set-up or the first ones of the end.
fn thread_alone(test: &mut Test, i: usize) {
    let steps = test.threads.remove(i / 2).steps;
    if i.is_multiple_of(2) {
        test.setup.extend(steps);
    } else {
        test.finally.splice(0..0, steps);
    }
    forget_unbound(test);
}

/// The first step of a thread as the last one of set-up, or its last one as the first of the end.
fn step_alone(test: &mut Test, i: usize) {
    let steps = &mut test.threads[i / 2].steps;
    if i.is_multiple_of(2) && !steps.is_empty() {
        test.setup.push(steps.remove(0));
    } else if let Some(step) = steps.pop() {
        test.finally.insert(0, step);
    }
    forget_unbound(test);
}

/// All of them, then one.
fn drop_faults(test: &mut Test, i: usize) {
    match i.checked_sub(1) {
        None => test.faults.clear(),
        Some(i) => _ = test.faults.remove(i),
    }
    if test.faults.is_empty() {
        test.max_faults = 0;
    }
}

/// Every argument, then the one of one step.
fn plain_argument(test: &mut Test, i: usize) {
    for (index, step) in steps_mut(test).enumerate() {
        if i == 0 || i - 1 == index {
            set_modifiers(&mut step.op, ArgModifiers::NONE);
            if let Op::Return { locked, .. } = &mut step.op {
                *locked = true;
            }
        }
    }
}

fn modifiers(test: &Test) -> usize {
    test.steps().map(|step| step.op.modifiers().iter().count()).sum()
}

fn drop_modifier(test: &mut Test, mut i: usize) {
    for step in steps_mut(test) {
        let modifiers = step.op.modifiers();
        if let Some(gone) = modifiers.iter().nth(i) {
            set_modifiers(
                &mut step.op,
                modifiers.iter().filter(|modifier| *modifier != gone).collect(),
            );
            return;
        }
        i -= modifiers.iter().count();
    }
}

/// A connection over loopback, or an ifq without a device.
fn off_the_queue(test: &mut Test, i: usize) {
    match i.checked_sub(test.sockets.len()) {
        None => test.sockets[i].queue = None,
        Some(i) => {
            let op = steps_mut(test).nth(i).map(|step| &mut step.op);
            if let Some(Op::Register { source, .. }) = op {
                *source = Source::Nodev;
            }
        }
    }
}

fn waits(test: &Test) -> usize {
    test.steps().map(|step| step.after.len()).sum()
}

fn drop_wait(test: &mut Test, mut i: usize) {
    for step in steps_mut(test) {
        if i < step.after.len() {
            step.after.remove(i);
            return;
        }
        i -= step.after.len();
    }
}

/// What each number can become, by its index: nothing, one, less by a power of two. Down to the
/// last of them in as many steps as it has digits.
fn smaller(test: &Test) -> Vec<(usize, u64)> {
    let (mut all, mut at) = (Vec::new(), 0);
    for_each_number(&mut test.clone(), |number| {
        let less = (0..u64::BITS).rev().map(|bit| 1 << bit).filter(|bit| *bit < number);
        let all_less = [0, 1].into_iter().chain(less.map(|bit| number - bit));
        all.extend(all_less.filter(|less| *less < number).map(|less| (at, less)));
        at += 1;
        number
    });
    all
}

fn smaller_number(test: &mut Test, i: usize) {
    let (number, less) = smaller(test)[i];
    let mut at = 0;
    for_each_number(test, |old| {
        let new = if at == number { less } else { old };
        at += 1;
        new
    });
}
