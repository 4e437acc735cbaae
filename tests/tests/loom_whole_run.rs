//! Goal: a whole run of a test, from its set-up to the check for leaks, is safe under weak memory. Method:
//! explore the smallest test in which an owner exits while another thread closes the exported descriptor.
//! With the two workers of the exiting ring this makes five threads, loom's maximum. The search is
//! bounded to one preemption, because more preemptions take minutes.

use std::rc::Rc;

use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::run;
use ifq_model::test::arg_modifier::ArgModifiers;
use ifq_model::test::{Op, Source, Step, Test, Thread, Var, VarId, VarKind};
use ifq_tests::block_on::block_on;
use ifq_tests::loom_model::{loom_bounded, loom_violation};
use ifq_tests::loom_platform::Loom;

const IFQ: VarId = 0;
const FD: VarId = 1;

fn step(op: Op, bind: Option<VarId>) -> Step {
    Step { op, bind, after: Vec::new() }
}

fn thread(name: &str, op: Op) -> Thread {
    Thread { name: name.to_owned(), steps: vec![step(op, None)] }
}

fn exit_against_close() -> Test {
    let register = Op::Register {
        ring: 0,
        source: Source::Nodev,
        buffers: 1,
        entries: 1,
        modifiers: ArgModifiers::NONE,
    };
    Test {
        name: "exit-against-close".to_owned(),
        about: "The owner exits while its exported descriptor is closed.".to_owned(),
        revisions: vec![Revision::Import73],
        rings: vec!["a".to_owned()],
        vars: vec![
            Var { name: "ifq".to_owned(), kind: VarKind::Ifq },
            Var { name: "fd".to_owned(), kind: VarKind::Fd },
        ],
        setup: vec![
            step(register, Some(IFQ)),
            step(Op::Export { ring: 0, ifq: IFQ, modifiers: ArgModifiers::NONE }, Some(FD)),
        ],
        threads: vec![
            thread("owner", Op::Exit { ring: 0 }),
            thread("closer", Op::Close { fd: FD }),
        ],
        ..Test::default()
    }
}

fn run(defects: Vec<Defect>) {
    let variant = Variant::with(Revision::Import73, &defects);
    block_on(run::run::<Loom>(Rc::new(exit_against_close()), variant));
}

#[test]
fn an_owner_exits_while_its_descriptor_is_closed() {
    let coverage = loom_bounded("whole run: exit against close", 1, || run(Vec::new()));
    assert!(coverage.iterations > 1, "the threads never interleaved");
}

#[test]
fn an_early_put_is_found() {
    let text = loom_violation("whole run: early put", || run(vec![Defect::EarlyPut]));
    assert!(text.starts_with("I1: ") || text.starts_with("I2: "), "{text}");
}
