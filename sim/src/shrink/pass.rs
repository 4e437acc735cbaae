//! The changes that the shrinker tries.

use ifq_model::test::arg::Arg;
use ifq_model::test::arg_modifier::ArgModifiers;
use ifq_model::test::{Layout, Source, Test};

use super::edit::{
    drop_name, drop_queue, drop_ring, drop_socket, drop_unbound, for_each_number, keep_steps,
    retain_observed, steps_mut,
};

/// One kind of change: returns the test after the change with this number, or `None` if there are
/// fewer changes.
///
/// A change may change nothing, or make the test invalid.
pub(super) type Pass = Box<dyn Fn(&Test, usize) -> Option<Test>>;

/// All kinds of changes, the largest first.
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
        edit(|t| 2 * t.threads.len(), move_thread),
        edit(|t| 2 * t.threads.len(), move_step),
        edit(|t| t.faults.len() + 1, drop_faults),
        edit(|t| t.setups.len(), |t, i| _ = t.setups.remove(i)),
        edit(|t| t.steps().count() + 1, default_argument),
        edit(modifiers, drop_modifier),
        edit(|t| t.sockets.len() + t.steps().count(), without_queue),
        edit(|t| t.queues as usize, |t, i| drop_queue(t, i as u32)),
        edit(waits, drop_wait),
        edit(|_| 1, |t, _| retain_observed(t, |_| false)),
        edit(|t| t.steps().count(), drop_name),
        edit(
            |t| t.observe.len(),
            |t, i| {
                let dropped = t.observe[i];
                retain_observed(t, |var| var != dropped);
            },
        ),
        edit(|t| smaller_values(t).len(), smaller_number),
    ]);
    passes
}

/// A pass with `count` changes.
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

/// Moves all steps of a thread to the end of `setup` or to the start of `finally`.
fn move_thread(test: &mut Test, i: usize) {
    let steps = test.threads.remove(i / 2).steps;
    if i.is_multiple_of(2) {
        test.setup.extend(steps);
    } else {
        test.finally.splice(0..0, steps);
    }
    drop_unbound(test);
}

/// Moves the first step of a thread to the end of `setup`, or its last step to the start of `finally`.
fn move_step(test: &mut Test, i: usize) {
    let steps = &mut test.threads[i / 2].steps;
    if i.is_multiple_of(2) && !steps.is_empty() {
        test.setup.push(steps.remove(0));
    } else if let Some(step) = steps.pop() {
        test.finally.insert(0, step);
    }
    drop_unbound(test);
}

/// Drops all fault points, or one.
fn drop_faults(test: &mut Test, i: usize) {
    match i.checked_sub(1) {
        None => test.faults.clear(),
        Some(i) => _ = test.faults.remove(i),
    }
    if test.faults.is_empty() {
        test.max_faults = 0;
    }
}

/// Resets the arguments of all steps, or of one, to the default.
fn default_argument(test: &mut Test, i: usize) {
    for (index, step) in steps_mut(test).enumerate() {
        if i == 0 || i - 1 == index {
            step.op.for_each_arg(|arg| match arg {
                Arg::Modifiers(modifiers) => *modifiers = ArgModifiers::NONE,
                Arg::Layout(layout) => *layout = Layout::Pages,
                Arg::Locked(kept) | Arg::Checked(kept) => *kept = true,
                _ => {}
            });
        }
    }
}

fn modifiers(test: &Test) -> usize {
    test.steps().map(|step| step.op.modifiers().iter().count()).sum()
}

fn drop_modifier(test: &mut Test, mut i: usize) {
    for step in steps_mut(test) {
        let Some(modifiers) = step.op.modifiers_mut() else { continue };
        if let Some(dropped) = modifiers.iter().nth(i) {
            *modifiers = modifiers.iter().filter(|modifier| *modifier != dropped).collect();
            return;
        }
        i -= modifiers.iter().count();
    }
}

/// Moves a connection to loopback, or registers an ifq without a device.
fn without_queue(test: &mut Test, i: usize) {
    match i.checked_sub(test.sockets.len()) {
        None => test.sockets[i].queue = None,
        Some(i) => {
            if let Some(step) = steps_mut(test).nth(i) {
                step.op.for_each_arg(|arg| {
                    if let Arg::Source(source) = arg {
                        *source = Source::Nodev;
                    }
                });
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

/// The smaller values to try for each number, by its index: zero, one, and the number minus each
/// power of two. Any smaller value is reached in a logarithmic number of changes.
fn smaller_values(test: &Test) -> Vec<(usize, u64)> {
    let (mut all, mut at) = (Vec::new(), 0);
    for_each_number(&mut test.clone(), |number| {
        let less = (0..u64::BITS).rev().map(|bit| 1 << bit).filter(|bit| *bit < number);
        let candidates = [0, 1].into_iter().chain(less.map(|bit| number - bit));
        all.extend(candidates.filter(|less| *less < number).map(|less| (at, less)));
        at += 1;
        number
    });
    all
}

fn smaller_number(test: &mut Test, i: usize) {
    let (number, less) = smaller_values(test)[i];
    let mut at = 0;
    for_each_number(test, |old| {
        let new = if at == number { less } else { old };
        at += 1;
        new
    });
}
