//! Draws small tests from a seed that a live kernel can run: sequences of operations, and races of
//! two threads.
//!
//! Each test applies to several revisions. It stays within the limits of the model, and its results
//! are specified on each of the revisions.

use ifq_model::revision::Revision;
use ifq_model::test::{Op, RingId, RingSetup, Test};

use super::threads::{Threads, concurrent_from};
use super::{Shape, TestBuilder, Word};
use crate::executor::rng::Rng;

/// Smallest and largest number of words that a sequence is decoded from.
const SEQUENCE: (u64, u64) = (4, 28);
/// Largest number of operations in the setup of a race.
const SETUP: u64 = 8;
/// Largest number of operations of all threads of a race.
const CONCURRENT: u64 = 8;
/// Largest number of operations of one thread of a race.
const THREAD: usize = 3;

/// Limits of drawn tests.
#[derive(Clone, Copy)]
pub struct DrawLimits<'a> {
    /// The revisions that each test applies to, oldest first; not empty.
    pub revisions: &'a [Revision],
    /// Whether the target kernel can run an operation.
    pub can: &'a dyn Fn(&Op) -> bool,
    /// Whether the target kernel supports a setup option of a ring.
    pub can_set_up: &'a dyn Fn(RingSetup) -> bool,
    /// Receive queues of the target's network device; 0: it has none, and no test has one.
    pub queues: u32,
}

impl std::fmt::Debug for DrawLimits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DrawLimits").field("revisions", &self.revisions).finish_non_exhaustive()
    }
}

/// The sequence with this number of a seed. Its operations run in order, in `setup`, and it observes
/// all results.
///
/// The background work of a ring's exit may overlap with the next operations.
#[must_use]
pub fn sequential(seed: u64, number: u64, limits: &DrawLimits<'_>) -> Test {
    let mut rng = stream(seed, number, 0);
    let shape = shape(&mut rng, limits);
    let mut builder = TestBuilder::new(limits.revisions[0], &shape);
    let (newest, idle_waits) = (rng.below(3) == 0, u32::from(rng.below(8) == 0));
    builder.restrict_to(limits, newest, idle_waits);
    let count = SEQUENCE.0 + rng.below(SEQUENCE.1 - SEQUENCE.0 + 1);
    for _ in 0..count {
        if let Some(step) = builder.next(&word(&mut rng)) {
            builder.test.setup.push(step);
        }
    }
    named(builder.finish(), "sequence", seed, number)
}

/// The race with this number of a seed: a setup, then two threads of one to three operations.
#[must_use]
pub fn race(seed: u64, number: u64, limits: &DrawLimits<'_>) -> Test {
    let mut rng = stream(seed, number, 1);
    loop {
        let shape = Shape { setup: None, ..shape(&mut rng, limits) };
        let (setup, steps) = (1 + rng.below(SETUP), 2 + rng.below(CONCURRENT - 1));
        let mut words = |count| (0..count).map(|_| word(&mut rng)).collect();
        let from = Threads { shape, setup: words(setup), steps: words(steps), faults: 0 };
        let mut builder = TestBuilder::new(limits.revisions[0], &from.shape);
        builder.restrict_to(limits, false, 0);
        let test = concurrent_from(builder, &from);
        let steps = || test.threads.iter().flat_map(|thread| &thread.steps);
        let waits = steps().filter(|step| matches!(step.op, Op::Wait { .. })).count();
        let small = test.threads.iter().all(|thread| thread.steps.len() <= THREAD);
        // A wait without a completion costs time in each repetition.
        if test.threads.len() == 2 && small && waits <= 1 {
            return named(test, "race", seed, number);
        }
    }
}

/// The random numbers of one test.
fn stream(seed: u64, number: u64, kind: u64) -> Rng {
    let mix = |n: u64| Rng::new(n).next_u64();
    Rng::new(mix(seed) ^ mix(mix(number) ^ kind))
}

fn shape(rng: &mut Rng, limits: &DrawLimits<'_>) -> Shape {
    let rings = 1 + rng.below(3) as u8;
    let sockets = 1 + rng.below(2) as usize;
    let queues = if limits.queues == 0 { 0 } else { 1 + rng.below(2) as u32 };
    let queues = queues.min(limits.queues);
    // Most sockets of a test with a device receive through it.
    let socket = |rng: &mut Rng| match queues {
        0 => None,
        queues => (rng.below(4) > 0).then(|| rng.below(u64::from(queues)) as u32),
    };
    let sockets = (0..sockets).map(|_| socket(rng)).collect();
    let (ring, setup) = (rng.below(u64::from(rings)) as RingId, rng.below(30) as usize);
    let setup = RingSetup::ALL.get(setup).copied().filter(|setup| (limits.can_set_up)(*setup));
    Shape { rings, sockets, queues, setup: setup.map(|setup| (ring, setup)) }
}

fn word(rng: &mut Rng) -> Word {
    let mut word = Word::default();
    for byte in &mut word {
        *byte = rng.next_u64() as u8;
    }
    word
}

fn named(test: Test, kind: &str, seed: u64, number: u64) -> Test {
    Test { name: format!("{kind}-{seed}-{number}"), ..test }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ifq_model::spec;
    use ifq_model::test::VarKind;

    use super::*;
    use crate::format;

    const REVISIONS: [Revision; 2] = [Revision::Import71, Revision::Import73];

    const FIRST: &str = "\
test sequence-1-0
revision import-7.1 import-7.3
ring R0 with clamp
ring R1 R2
socket s0
setup
    ifq0 = R1: register nodev buffers=12 entries=2
    x1 = R1: recv ifq0 s0 with poll-first
    ifq2 = R2: register nodev buffers=5 entries=16 with kernel-region events
    x3 = R2: recv ifq2 s0 len=6000
    x4 = R1: recv ifq0 s0
    x5 = s0: send 1
    x6 = R1: flush ifq0
    x7 = scribble ifq0 off=15 103
    ifq8 = R0: clone R2 ifq2
    c9 = R2: wait
    x10 = R1: mmap ifq0
    x11 = R2: add-area ifq2 buffers=4 with nr-args area-token
    x12 = return c9 to ifq2 unlocked
    x13 = R1: recv ifq0 s0 with poll-first
expect holds
";

    fn limits() -> DrawLimits<'static> {
        DrawLimits { revisions: &REVISIONS, can: &|_| true, can_set_up: &|_| true, queues: 0 }
    }

    fn texts(kind: fn(u64, u64, &DrawLimits<'_>) -> Test, seed: u64) -> String {
        (0..200).map(|number| format::print(&kind(seed, number, &limits()))).collect()
    }

    #[test]
    fn one_seed_draws_the_same_tests_and_another_seed_draws_others() {
        for kind in [sequential, race] {
            assert_eq!(texts(kind, 7), texts(kind, 7));
            assert_ne!(texts(kind, 7), texts(kind, 8));
        }
        let first = format::print(&sequential(1, 0, &limits()));
        assert_eq!(first, FIRST, "the same on every machine");
    }

    #[test]
    fn every_drawn_test_is_valid_and_parses_to_itself() {
        for number in 0..300 {
            for kind in [sequential, race] {
                let test = kind(3, number, &limits());
                format::validate(&test).unwrap_or_else(|e| panic!("{e}\n{}", format::print(&test)));
                let read = format::parse("drawn", &format::print(&test)).unwrap();
                assert_eq!(read, test);
            }
        }
    }

    #[test]
    fn sequences_are_specified_on_each_revision_and_rarely_empty() {
        let (mut steps, mut none) = (0, 0);
        for number in 0..300 {
            let test = sequential(5, number, &limits());
            for revision in REVISIONS {
                let answer = spec::run(&test, revision).expect("specified");
                assert_eq!(answer.left, Vec::<String>::new());
            }
            steps += test.setup.len();
            none += usize::from(test.setup.len() < 3);
        }
        assert!(steps > 300 * 7, "{steps} steps in 300 tests");
        assert!(none < 30, "{none} tests have fewer than three steps");
    }

    #[test]
    fn tests_for_a_target_with_a_device_use_its_queues() {
        let limits = DrawLimits { queues: 2, ..limits() };
        let (mut verbs, mut packets) = (BTreeSet::new(), 0);
        for number in 0..500 {
            let test = sequential(13, number, &limits);
            format::validate(&test).unwrap_or_else(|e| panic!("{e}\n{}", format::print(&test)));
            assert!((1..=2).contains(&test.queues), "{}", format::print(&test));
            verbs.extend(test.steps().map(|step| step.op.verb()));
            packets += usize::from(test.steps().any(|step| match step.op {
                Op::Send { socket, .. } => test.sockets[usize::from(socket)].queue.is_some(),
                _ => false,
            }));
        }
        for verb in ["unregister-netdev", "netdev-down", "netdev-up", "restart-queue"] {
            assert!(verbs.contains(verb), "{verb} is never drawn");
        }
        assert!(packets > 250, "packets of the device in {packets} of 500 tests");
    }

    #[test]
    fn unsupported_operations_are_not_drawn() {
        let can = |op: &Op| !matches!(op, Op::Mmap { .. } | Op::Scribble { .. });
        let limits = DrawLimits { can: &can, can_set_up: &|_| false, ..limits() };
        for number in 0..200 {
            for kind in [sequential, race] {
                let test = kind(9, number, &limits);
                assert!(test.steps().all(|step| can(&step.op)) && test.setups.is_empty());
            }
        }
    }

    #[test]
    fn every_kind_of_operation_is_drawn_with_results_of_every_kind() {
        let mut verbs = BTreeSet::new();
        let mut kinds = [0; 4];
        for number in 0..500 {
            let test = sequential(11, number, &limits());
            verbs.extend(test.steps().map(|step| step.op.verb()));
            for var in &test.vars {
                kinds[match var.kind {
                    VarKind::Ifq => 0,
                    VarKind::Fd => 1,
                    VarKind::Cqe => 2,
                    VarKind::Status => 3,
                }] += 1;
            }
        }
        let all = [
            "add-area", "arm", "close", "exit", "export", "flush", "import", "mmap", "recv",
            "register", "return", "scribble", "send", "shutdown", "wait",
        ];
        assert!(all.iter().all(|verb| verbs.contains(verb)), "{verbs:?}");
        assert!(kinds.iter().all(|count| *count > 100), "{kinds:?}");
    }
}
