//! Goal: whole runs of tests with many threads break no invariant under the schedules of another engine
//! than `ifq-sim`. Method: run tests with three to five threads under shuttle's random and PCT schedules
//! with fixed seeds, with and without faults; a planted defect must give a violation.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use ifq_model::fault::FaultPoint;
use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::run;
use ifq_model::test::arg_modifier::ArgModifiers;
use ifq_model::test::{Layout, Op, Socket, Source, Step, Test, Thread, Var, VarId};
use ifq_tests::block_on::block_on;
use ifq_tests::shuttle_model::{Campaign, Strategy};
use ifq_tests::shuttle_platform::Shuttle;

const SEED: u64 = 20_251_023;
const ITERATIONS: usize = 500;

/// Builds a [`Test`] and names its variables.
struct TestBuilder(Test);

impl TestBuilder {
    fn new(name: &str, rings: &[&str], sockets: &[Option<u32>], queues: u32) -> Self {
        let socket =
            |(i, queue): (usize, &Option<u32>)| Socket { name: format!("s{i}"), queue: *queue };
        TestBuilder(Test {
            name: name.to_owned(),
            revisions: vec![Revision::Import73],
            rings: rings.iter().map(|ring| (*ring).to_owned()).collect(),
            sockets: sockets.iter().enumerate().map(socket).collect(),
            queues,
            ..Test::default()
        })
    }

    fn step(&mut self, op: Op) -> Step {
        let var = self.0.vars.len() as VarId;
        self.0.vars.push(Var { name: format!("v{var}"), kind: op.yields() });
        self.0.observe.push(var);
        Step { op, bind: Some(var), after: Vec::new() }
    }

    fn setup(&mut self, op: Op) -> VarId {
        let step = self.step(op);
        let var = step.bind.expect("each step has a result");
        self.0.setup.push(step);
        var
    }

    /// Adds a thread. An operation may use the results of the operations before it.
    fn thread(&mut self, name: &str, ops: impl FnOnce(&mut dyn FnMut(Op) -> VarId)) {
        let mut steps = Vec::new();
        ops(&mut |op| {
            let step = self.step(op);
            let var = step.bind.expect("each step has a result");
            steps.push(step);
            var
        });
        self.0.threads.push(Thread { name: name.to_owned(), steps });
    }
}

fn register(source: Source, buffers: u32) -> Op {
    Op::Register { ring: 0, source, buffers, entries: buffers, modifiers: ArgModifiers::NONE }
}

/// Two rings receive through one ifq, each from its own connection, and return the buffers.
fn shared_traffic(source: Source, queues: u32) -> Test {
    let queue = (queues > 0).then_some(0);
    let mut script = TestBuilder::new("shared-traffic", &["a", "b"], &[queue, queue], queues);
    let owned = script.setup(register(source, 4));
    let fd = script.setup(Op::Export { ring: 0, ifq: owned, modifiers: ArgModifiers::NONE });
    script.thread("owner", |run| {
        run(Op::Recv { ring: 0, ifq: owned, socket: 0, len: 0, modifiers: ArgModifiers::NONE });
        let cqe = run(Op::Wait { ring: 0 });
        run(Op::Return { cqe, ifq: owned, locked: true, checked: true });
        run(Op::Flush { ring: 0, ifq: owned, modifiers: ArgModifiers::NONE });
    });
    script.thread("importer", |run| {
        let ifq = run(Op::Import { ring: 1, fd, modifiers: ArgModifiers::NONE });
        run(Op::Recv { ring: 1, ifq, socket: 1, len: 0, modifiers: ArgModifiers::NONE });
        let cqe = run(Op::Wait { ring: 1 });
        run(Op::Return { cqe, ifq, locked: true, checked: true });
        let cqe = run(Op::Wait { ring: 1 });
        run(Op::Return { cqe, ifq, locked: true, checked: true });
        run(Op::Exit { ring: 1 });
    });
    script.thread("peer-of-owner", |run| {
        run(Op::Send { socket: 0, len: 3000, layout: Layout::Pages });
        run(Op::Shutdown { socket: 0 });
    });
    script.thread("peer-of-importer", |run| {
        run(Op::Send { socket: 1, len: 2000, layout: Layout::Pages });
        run(Op::Send { socket: 1, len: 1000, layout: Layout::Pages });
    });
    script.thread("closer", |run| {
        run(Op::Close { fd });
    });
    script.0
}

/// The owner exits while other rings import, receive and exit.
fn owner_exits(source: Source, queues: u32) -> Test {
    let queue = (queues > 0).then_some(0);
    let mut script = TestBuilder::new("owner-exits", &["a", "b", "c"], &[queue, queue], queues);
    let owned = script.setup(register(source, 4));
    let fd = script.setup(Op::Export { ring: 0, ifq: owned, modifiers: ArgModifiers::NONE });
    script.setup(Op::Recv {
        ring: 0,
        ifq: owned,
        socket: 0,
        len: 0,
        modifiers: ArgModifiers::NONE,
    });
    script.thread("owner", |run| {
        run(Op::Exit { ring: 0 });
    });
    for ring in [1, 2] {
        script.thread(["", "first", "second"][usize::from(ring)], |run| {
            let ifq = run(Op::Import { ring, fd, modifiers: ArgModifiers::NONE });
            run(Op::Recv { ring, ifq, socket: 1, len: 0, modifiers: ArgModifiers::NONE });
            let cqe = run(Op::Wait { ring });
            run(Op::Return { cqe, ifq, locked: true, checked: true });
            run(Op::Exit { ring });
        });
    }
    script.thread("peer", |run| {
        run(Op::Send { socket: 0, len: 1000, layout: Layout::Pages });
        run(Op::Send { socket: 1, len: 2000, layout: Layout::Pages });
    });
    script.thread("closer", |run| {
        run(Op::Close { fd });
    });
    script.0
}

/// Rings export, import, export again and close at the same time.
fn concurrent_sharing() -> Test {
    let mut script = TestBuilder::new("concurrent-sharing", &["a", "b", "c"], &[], 0);
    let owned = script.setup(register(Source::Nodev, 2));
    let fd = script.setup(Op::Export { ring: 0, ifq: owned, modifiers: ArgModifiers::NONE });
    script.thread("owner", |run| {
        run(Op::Export { ring: 0, ifq: owned, modifiers: ArgModifiers::NONE });
        run(Op::Exit { ring: 0 });
    });
    script.thread("chain", |run| {
        let ifq = run(Op::Import { ring: 1, fd, modifiers: ArgModifiers::NONE });
        let again = run(Op::Export { ring: 1, ifq, modifiers: ArgModifiers::NONE });
        run(Op::Import { ring: 1, fd: again, modifiers: ArgModifiers::NONE });
        run(Op::Close { fd: again });
        run(Op::Exit { ring: 1 });
    });
    script.thread("third", |run| {
        run(Op::Import { ring: 2, fd, modifiers: ArgModifiers::NONE });
        run(Op::Import { ring: 2, fd, modifiers: ArgModifiers::NONE });
        run(Op::Exit { ring: 2 });
    });
    script.thread("closer", |run| {
        run(Op::Close { fd });
    });
    script.0
}

/// The body of a campaign, and the outcomes that it collects.
fn body(test: Test, defects: Vec<Defect>) -> (impl Fn() + Send + Sync + 'static, Outcomes) {
    let outcomes = Outcomes::default();
    let seen = Arc::clone(&outcomes);
    let variant = Variant::with(Revision::Import73, &defects);
    let run = move || {
        let outcome = block_on(run::run::<Shuttle>(Rc::new(test.clone()), variant.clone()));
        seen.lock().expect("no thread panics while it holds the lock").insert(outcome);
    };
    (run, outcomes)
}

type Outcomes = Arc<Mutex<BTreeSet<Outcome>>>;

/// Asserts that random and PCT schedules give no violation, and more than one outcome, which shows that
/// the threads raced.
fn holds(test: &Test, faults: &[FaultPoint], max_faults: u32, iterations: usize) {
    for strategy in [Strategy::Random, Strategy::Pct { depth: 3 }] {
        let (run, outcomes) = body(test.clone(), Vec::new());
        let faults = faults.to_vec();
        Campaign { strategy, seed: SEED, iterations, faults, max_faults }.run(&test.name, run);
        let count = outcomes.lock().expect("no thread panics while it holds the lock").len();
        println!("{}: {count} outcomes", test.name);
        assert!(count > 1, "{}: the threads never raced", test.name);
    }
}

#[test]
fn two_rings_share_an_ifq_without_a_device() {
    holds(&shared_traffic(Source::Nodev, 0), &[], 0, ITERATIONS);
}

#[test]
fn two_rings_share_a_device_queue() {
    holds(&shared_traffic(Source::Queue(0), 1), &[], 0, ITERATIONS);
}

#[test]
fn the_owner_may_exit_first() {
    holds(&owner_exits(Source::Nodev, 0), &[], 0, ITERATIONS);
    holds(&owner_exits(Source::Queue(0), 1), &[], 0, ITERATIONS);
}

#[test]
fn exports_and_imports_in_any_order_leak_nothing() {
    holds(&concurrent_sharing(), &[], 0, ITERATIONS);
}

#[test]
fn faults_in_any_order_leak_nothing() {
    // A delayed page fault needs an engine that detects when no other thread can run. A failed restart keeps
    // the ifq until the device is down, and only a test that names the fault takes it down.
    let left_out = [FaultPoint::PageFaultWaits, FaultPoint::RxqRestart];
    let points: Vec<FaultPoint> =
        FaultPoint::ALL.iter().copied().filter(|p| !left_out.contains(p)).collect();
    holds(&concurrent_sharing(), &points, 2, ITERATIONS);
    holds(&owner_exits(Source::Queue(0), 1), &points, 2, ITERATIONS);
}

#[test]
fn an_early_put_is_found() {
    for strategy in [Strategy::Random, Strategy::Pct { depth: 3 }] {
        let (run, _) = body(owner_exits(Source::Nodev, 0), vec![Defect::EarlyPut]);
        let text = Campaign::new(strategy, SEED, ITERATIONS).violation("early-put", run);
        let text = text.expect("the defect is found");
        assert!(text.starts_with("I1: ") || text.starts_with("I2: "), "{text}");
    }
}
