//! Goal: no reduction loses a state that matters of a program with counts, waits, locks and spawned threads.
//!
//! Method: random programs of two or three threads. Each is searched without reductions, and with each reduction.
//! Verdict and outcomes must agree, and with sleep sets alone the number of states, too. The programs do what the
//! kernel's code does with reference counts: the last one that drops a reference touches what others have used.

use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::outcome::{Outcome, Value};
use ifq_model::platform::{AtomicWord, Order, Platform, RawLock, Rmw, WaitWord};
use ifq_sim::executor::Det;
use ifq_sim::search::explore::{Exploration, Limits};
use ifq_sim::search::program::{explore, spawn};
use ifq_sim::symmetry::Symmetries;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Number of data words, of counts, and of wait queues.
const WORDS: usize = 2;

/// What a thread does next.
#[derive(Clone, Copy, Debug)]
enum Action {
    Load(usize),
    Store(usize),
    /// Takes from a count; the last reference reads and writes a word.
    DropReference(usize, usize),
    /// Takes two references at once; the last reference writes a word.
    DropTwo(usize, usize),
    TakeReference(usize),
    /// Writes a word if a count is zero.
    StoreIfZero(usize, usize),
    /// Sets a count.
    SetCount(usize),
    /// Reads a word and raises or lowers a wait queue in the same step; lowers only if the word is zero.
    Raise(usize, usize),
    Lower(usize, usize),
    Wait(usize),
    /// Adds to a word under the lock.
    Locked(usize),
    /// Starts a thread that writes a word at once and then drops a reference.
    Spawn(usize, usize),
}

/// The shared memory of a program.
struct Shared {
    words: Vec<<Det as Platform>::Atomic>,
    counts: Vec<<Det as Platform>::Atomic>,
    queues: Vec<<Det as Platform>::WaitQueue>,
    lock: <Det as Platform>::Lock,
    /// By slot: what the thread has seen.
    seen: Vec<<Det as Platform>::Atomic>,
    done: <Det as Platform>::WaitQueue,
}

impl Shared {
    fn see(&self, slot: u32, value: u64) {
        let seen = &self.seen[slot as usize];
        seen.store_in_step(seen.load_in_step().wrapping_mul(5).wrapping_add(value + 1));
    }

    async fn drop_reference(&self, slot: u32, by: u64, count: usize, word: usize) {
        let old = self.counts[count].rmw_capped(Rmw::Sub(by), Order::Full, by + 1).await;
        if old < by {
            Det::violation(Invariant::I2, format_args!("a count passes below zero"));
        } else if old == by {
            let found = self.words[word].load(Order::Relaxed).await;
            self.see(slot, found);
            self.words[word].store(9, Order::Relaxed).await;
        }
    }

    async fn act(self: &Rc<Self>, slot: u32, action: Action, spawned: &mut bool) {
        match action {
            Action::Load(word) => {
                let found = self.words[word].load(Order::Relaxed).await;
                self.see(slot, found);
            }
            Action::Store(word) => self.words[word].store(u64::from(slot), Order::Relaxed).await,
            Action::DropReference(count, word) => self.drop_reference(slot, 1, count, word).await,
            Action::DropTwo(count, word) => self.drop_reference(slot, 2, count, word).await,
            Action::TakeReference(count) => {
                self.counts[count].rmw_capped(Rmw::Add(1), Order::Relaxed, 1).await;
            }
            Action::StoreIfZero(count, word) => {
                if self.counts[count].load(Order::Relaxed).await == 0 {
                    self.words[word].store(8, Order::Relaxed).await;
                }
            }
            Action::SetCount(count) => self.counts[count].store(1, Order::Relaxed).await,
            Action::Raise(word, queue) => {
                self.words[word].load(Order::Relaxed).await;
                self.queues[queue].add_in_step(Rmw::Add(1));
            }
            Action::Lower(word, queue) => {
                if self.words[word].load(Order::Relaxed).await == 0 {
                    self.queues[queue].add_in_step(Rmw::Sub(1));
                }
            }
            Action::Wait(queue) => {
                let found = self.queues[queue].wait_event(100).await;
                self.see(slot, found);
            }
            Action::Locked(word) => {
                let _guard = self.lock.lock().await;
                let found = self.words[word].load(Order::Relaxed).await;
                self.words[word].store(found + 1, Order::Relaxed).await;
            }
            Action::Spawn(word, count) if !*spawned => {
                *spawned = true;
                self.words[word].load(Order::Relaxed).await;
                let shared = self.clone();
                spawn(slot + 4, "child", async move {
                    shared.words[word].store_in_step(6);
                    shared.drop_reference(slot + 4, 1, count, word).await;
                    shared.done.rmw_in_step(Rmw::Add(1));
                });
            }
            Action::Spawn(..) => {}
        }
    }
}

/// Runs a program. `references`: the counts at the start.
async fn run(threads: Vec<Vec<Action>>, references: u64) -> Outcome {
    let atomics = |label: &'static str, n: usize, value: u64| -> Vec<_> {
        (0..n).map(|_| Det::atomic(label, value)).collect()
    };
    let shared = Rc::new(Shared {
        words: atomics("word", WORDS, 0),
        counts: atomics("count", WORDS, references),
        queues: (0..WORDS).map(|_| Det::wait_queue("queue", 100)).collect(),
        lock: Det::lock("lock"),
        seen: atomics("seen", 8, 0),
        done: Det::wait_queue("done", 0),
    });
    let spawns =
        threads.iter().filter(|t| t.iter().any(|a| matches!(a, Action::Spawn(..)))).count();
    let all = threads.len() + spawns;
    for (slot, actions) in (1..).zip(threads) {
        let shared = shared.clone();
        spawn(slot, "thread", async move {
            let mut spawned = false;
            for action in actions {
                shared.act(slot, action, &mut spawned).await;
            }
            shared.done.rmw(Rmw::Add(1)).await;
        });
    }
    shared.done.wait_event(all as u64).await;
    let values = shared.seen.iter().chain(&shared.words).chain(&shared.counts);
    Outcome(values.map(|word| Value::Number(word.load_in_step().cast_signed())).collect())
}

fn action() -> impl Strategy<Value = Action> {
    let index = || 0..WORDS;
    let pair = || (index(), index());
    prop_oneof![
        1 => index().prop_map(Action::Load),
        1 => index().prop_map(Action::Store),
        4 => pair().prop_map(|(count, word)| Action::DropReference(count, word)),
        1 => pair().prop_map(|(count, word)| Action::DropTwo(count, word)),
        1 => index().prop_map(Action::TakeReference),
        2 => pair().prop_map(|(count, word)| Action::StoreIfZero(count, word)),
        1 => index().prop_map(Action::SetCount),
        1 => pair().prop_map(|(word, queue)| Action::Raise(word, queue)),
        2 => pair().prop_map(|(word, queue)| Action::Lower(word, queue)),
        2 => index().prop_map(Action::Wait),
        1 => index().prop_map(Action::Locked),
        1 => pair().prop_map(|(word, count)| Action::Spawn(word, count)),
    ]
}

fn threads() -> impl Strategy<Value = Vec<Vec<Action>>> {
    prop_oneof![
        proptest::collection::vec(proptest::collection::vec(action(), 1..5), 2),
        proptest::collection::vec(proptest::collection::vec(action(), 1..4), 3),
    ]
}

const UNREDUCED: Limits = Limits {
    persistent_sets: false,
    sleep_sets: false,
    symmetry: Symmetries::NONE,
    ..Limits::DEFAULT
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn reductions_keep_verdict_and_outcomes_of_random_programs(
        threads in threads(),
        references in 1_u64..7,
    ) {
        let explore = |limits: Limits| {
            let threads = threads.clone();
            explore(move || run(threads.clone(), references), &limits)
        };
        // Of several violations each search may find another one first.
        let violated = |found: &Exploration| found.counterexample.is_some();
        let all = explore(UNREDUCED);
        for (persistent_sets, sleep_sets) in [(true, false), (false, true), (true, true)] {
            let found = explore(Limits { persistent_sets, sleep_sets, ..UNREDUCED });
            prop_assert_eq!(violated(&found), violated(&all), "persistent sets {}, sleep sets {}", persistent_sets, sleep_sets);
            if !violated(&all) {
                prop_assert!(all.exhaustive && found.exhaustive);
                prop_assert_eq!(&found.outcomes, &all.outcomes, "persistent sets {}, sleep sets {}", persistent_sets, sleep_sets);
                if !persistent_sets {
                    prop_assert_eq!(found.states, all.states);
                }
            }
        }
    }
}
