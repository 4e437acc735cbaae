//! Goal: the shuttle platform finds the violations that it claims to find, and no others. Method: run
//! each litmus test under random schedules with a fixed seed; the broken ones must give a violation with
//! the invariant's name.

use ifq_model::fault::FaultPoint;
use ifq_model::platform::{AtomicWord, Order, Platform, Rmw, WaitWord};
use ifq_tests::block_on::block_on;
use ifq_tests::engine::Engine;
use ifq_tests::litmus;
use ifq_tests::shuttle_model::{Campaign, Strategy};
use ifq_tests::shuttle_platform::Shuttle;

/// Two threads of a few steps have few schedules, so this many draws cover all of them.
const ITERATIONS: usize = 200;
const SEED: u64 = 0x1f9;

fn campaign() -> Campaign {
    Campaign::new(Strategy::Random, SEED, ITERATIONS)
}

/// Runs a body that must break and compares the text of the violation.
fn breaks(name: &str, expected: &str, body: impl Fn() + Send + Sync + 'static) {
    let text = campaign().violation(name, body).unwrap_or_else(|| panic!("{name}: not found"));
    assert!(text.contains(expected), "{name}: expected {expected:?}, got {text:?}");
}

#[test]
fn a_message_is_passed_with_any_ordering() {
    // shuttle is sequentially consistent. The relaxed version is broken, and only loom finds that.
    campaign().run("MP+relaxed+relaxed", || {
        litmus::message_passing::<Shuttle>(Order::Relaxed, Order::Relaxed);
    });
}

#[test]
fn stores_are_never_buffered() {
    campaign().run("SB+full", || litmus::store_buffering::<Shuttle>(Order::Full));
}

#[test]
fn an_unordered_use_and_free_are_i1() {
    breaks("use after free", "I1: ", litmus::use_after_free::<Shuttle>);
}

#[test]
fn the_last_put_may_free_the_object() {
    campaign().run("free after last use", litmus::free_after_last_use::<Shuttle>);
}

#[test]
fn freeing_an_object_twice_is_i2() {
    breaks("double free", "I2: ifq0 freed twice", litmus::double_free::<Shuttle>);
}

#[test]
fn freeing_under_a_waiter_is_i1() {
    breaks("freed under a waiter", "I1: ", litmus::freed_under_a_waiter::<Shuttle>);
}

#[test]
fn a_lock_excludes_other_threads() {
    campaign().run("counter+lock", || litmus::plain_counter::<Shuttle>(true));
}

#[test]
fn a_race_on_plain_memory_is_i8() {
    breaks("counter", "I8: ", || litmus::plain_counter::<Shuttle>(false));
}

#[test]
fn a_lock_that_is_not_held_is_i4() {
    breaks("not held", "I4: uring_lock is not held", litmus::lock_not_held::<Shuttle>);
}

#[test]
fn a_lock_taken_twice_is_i4() {
    breaks("taken twice", "I4: uring_lock taken twice", litmus::lock_taken_twice::<Shuttle>);
}

#[test]
fn a_wait_queue_wakes_its_waiter_and_passes_on_earlier_writes() {
    campaign().run("wait queue", litmus::wait_queue_wakes::<Shuttle>);
}

#[test]
fn add_unless_is_atomic() {
    campaign().run("add unless zero", litmus::add_unless_zero::<Shuttle>);
}

#[test]
fn pointers_survive_words() {
    campaign().run("pointers", litmus::pointers_survive_words::<Shuttle>);
}

#[test]
fn a_wait_that_never_ends_is_i4() {
    breaks("deadlock", "I4: deadlock: threads wait for [\"ref_comp\"]", || {
        block_on(Shuttle::wait_queue("ref_comp", 0).wait_event(1));
    });
}

#[test]
fn a_timeout_fires_only_when_no_other_thread_can_run() {
    campaign().run("timeout", || {
        let queue = std::rc::Rc::new(Shuttle::wait_queue("events", 0));
        let other = std::rc::Rc::clone(&queue);
        let completer = Shuttle::spawn(move || {
            block_on(other.rmw(Rmw::Add(1)));
        });
        assert_eq!(
            block_on(queue.wait_event_timeout(1)),
            Some(1),
            "the other thread had not completed yet"
        );
        assert_eq!(block_on(queue.wait_event_timeout(2)), None, "no thread can complete it");
        Shuttle::join(completer);
    });
}

#[test]
fn timeouts_fire_in_the_order_of_threads() {
    campaign().run("timeouts", || {
        let queues =
            std::rc::Rc::new((Shuttle::wait_queue("first", 0), Shuttle::wait_queue("second", 0)));
        let theirs = std::rc::Rc::clone(&queues);
        // The earlier thread times out first and then completes the wait of the later one.
        let later = Shuttle::spawn(move || {
            assert_eq!(block_on(theirs.1.wait_event_timeout(1)), Some(1));
        });
        assert_eq!(block_on(queues.0.wait_event_timeout(1)), None);
        block_on(queues.1.rmw(Rmw::Add(1)));
        Shuttle::join(later);
    });
}

#[test]
fn only_named_faults_fail_and_no_more_than_allowed() {
    let faulty = Campaign { faults: vec![FaultPoint::XaStore], max_faults: 1, ..campaign() };
    faulty.run("faults allowed", || {
        let failed = (0..50).filter(|_| Shuttle::fault(FaultPoint::XaStore)).count();
        assert!(failed <= 1);
        assert!(!Shuttle::fault(FaultPoint::CopyToUser), "this point is not named");
    });
    let found = faulty.violation("a fault happens", || {
        assert!(!Shuttle::fault(FaultPoint::XaStore), "it failed");
    });
    assert_eq!(found.as_deref(), Some("it failed"));
}

#[test]
fn the_same_seed_draws_the_same_schedules() {
    let text = |seed| {
        let campaign = Campaign::new(Strategy::Pct { depth: 2 }, seed, ITERATIONS);
        let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&runs);
        let found = campaign.violation("repeat", move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            litmus::store_buffering_interleaves::<Shuttle>();
        });
        assert!(found.is_some(), "the interleaving was never drawn");
        runs.load(std::sync::atomic::Ordering::Relaxed)
    };
    assert_eq!(text(SEED), text(SEED));
}

/// Claims that a thread with one step never runs after all sixty steps of another thread.
fn the_last_of_sixty_steps_comes_first() {
    let words = std::rc::Rc::new((Shuttle::atomic("steps", 0), Shuttle::atomic("seen", 0)));
    let (long, short) = (std::rc::Rc::clone(&words), std::rc::Rc::clone(&words));
    let first = Shuttle::spawn(move || {
        for _ in 0..60 {
            block_on(long.0.rmw(Rmw::Add(1), Order::Relaxed));
        }
    });
    let second = Shuttle::spawn(move || {
        assert_ne!(block_on(short.0.load(Order::Relaxed)), 60, "sixty steps came first");
    });
    Shuttle::join(first);
    Shuttle::join(second);
}

#[test]
fn pct_finds_a_schedule_that_random_misses() {
    // Random: the short thread must lose each of 60 draws, with probability 2^-60. PCT of depth 1: the
    // long thread needs the higher of two priorities, so all 200 executions miss it with 2^-200.
    let random = campaign().violation("sixty steps", the_last_of_sixty_steps_comes_first);
    assert_eq!(random, None);
    let pct = Campaign::new(Strategy::Pct { depth: 1 }, SEED, ITERATIONS);
    let text = pct.violation("sixty steps", the_last_of_sixty_steps_comes_first);
    assert!(text.expect("PCT finds it").contains("sixty steps came first"));
}
