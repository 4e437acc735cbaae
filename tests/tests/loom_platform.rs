//! Goal: the loom platform finds the violations that it claims to find, and no others. Method: explore
//! all executions of each litmus test; the broken ones must give a violation with the invariant's name.

use ifq_model::platform::Order;
use ifq_tests::litmus;
use ifq_tests::loom_model::{loom_model, loom_violation};
use ifq_tests::loom_platform::Loom;

/// Explores a body that must hold. More than one execution shows that the threads interleaved.
fn holds(name: &str, body: impl Fn() + Send + Sync + 'static) {
    let coverage = loom_model(name, body);
    assert!(coverage.iterations > 1, "{name}: the threads never interleaved");
}

/// Explores a body that must break and compares the text of the violation.
fn breaks(name: &str, expected: &str, body: impl Fn() + Send + Sync + 'static) {
    let text = loom_violation(name, body);
    assert!(text.contains(expected), "{name}: expected {expected:?}, got {text:?}");
}

#[test]
fn release_and_acquire_pass_a_message() {
    holds("MP+release+acquire", || {
        litmus::message_passing::<Loom>(Order::Release, Order::Acquire);
    });
}

#[test]
fn a_relaxed_store_loses_a_message() {
    breaks("MP+relaxed+acquire", "the message is missing", || {
        litmus::message_passing::<Loom>(Order::Relaxed, Order::Acquire);
    });
}

#[test]
fn a_relaxed_load_loses_a_message() {
    breaks("MP+release+relaxed", "the message is missing", || {
        litmus::message_passing::<Loom>(Order::Release, Order::Relaxed);
    });
}

#[test]
fn full_exchanges_forbid_store_buffering() {
    holds("SB+full", || litmus::store_buffering::<Loom>(Order::Full));
}

#[test]
fn release_exchanges_allow_store_buffering() {
    breaks("SB+release", "still in their buffers", || {
        litmus::store_buffering::<Loom>(Order::Release);
    });
}

#[test]
fn a_load_does_not_hide_the_store_after_it() {
    breaks("load, store | load", "the store is seen", litmus::load_before_store::<Loom>);
}

#[test]
fn an_unordered_use_and_free_are_i1() {
    breaks("use after free", "I1: ", litmus::use_after_free::<Loom>);
}

#[test]
fn the_last_put_may_free_the_object() {
    holds("free after last use", litmus::free_after_last_use::<Loom>);
}

#[test]
fn freeing_an_object_twice_is_i2() {
    breaks("double free", "I2: ifq0 freed twice", litmus::double_free::<Loom>);
}

#[test]
fn freeing_under_a_waiter_is_i1() {
    breaks("freed under a waiter", "I1: ", litmus::freed_under_a_waiter::<Loom>);
}

#[test]
fn a_lock_excludes_other_threads() {
    holds("counter+lock", || litmus::plain_counter::<Loom>(true));
}

#[test]
fn a_race_on_plain_memory_is_i8() {
    breaks("counter", "I8: ", || litmus::plain_counter::<Loom>(false));
}

#[test]
fn a_lock_that_is_not_held_is_i4() {
    breaks("not held", "I4: uring_lock is not held", litmus::lock_not_held::<Loom>);
}

#[test]
fn a_lock_taken_twice_is_i4() {
    breaks("taken twice", "I4: uring_lock taken twice", litmus::lock_taken_twice::<Loom>);
}

#[test]
fn a_wait_queue_wakes_its_waiter_and_passes_on_earlier_writes() {
    holds("wait queue", litmus::wait_queue_wakes::<Loom>);
}

#[test]
fn add_unless_is_atomic() {
    holds("add unless zero", litmus::add_unless_zero::<Loom>);
}

#[test]
fn pointers_survive_words() {
    loom_model("pointers", litmus::pointers_survive_words::<Loom>);
}

#[test]
fn loom_runs_its_threads_on_one_os_thread() {
    // The thread-local store of objects depends on this.
    use ifq_tests::engine::Engine;
    loom_model("one OS thread", || {
        let main = std::thread::current().id();
        let other = Loom::spawn(move || assert_eq!(std::thread::current().id(), main));
        Loom::join(other);
    });
}
