//! Goal: the checks that no defect of the catalogue triggers can fail. Method: bring the kernel code into a state
//! that a mistake in it would cause, under loom, and compare the violation.

use std::rc::Rc;

use ifq_model::bug::{Warning, warn_on_once};
use ifq_model::check::{self, Checks, Completion};
use ifq_model::io_uring::cq::Cqe;
use ifq_model::io_uring::uapi::IoUringZcrxAreaReg;
use ifq_model::io_uring::zcrx::area::zcrx_ctrl_add_area;
use ifq_model::io_uring::zcrx::niov::{io_zcrx_get_niov_uref, zcrx_get_free_niov};
use ifq_model::io_uring::zcrx::refill::zcrx_flush_rq;
use ifq_model::mm::{AreaMem, Records};
use ifq_model::net::page_pool::{PagePool, page_pool_create};
use ifq_model::platform::{Ptr, RawLock};
use ifq_model::prim::percpu_ref::PercpuRef;
use ifq_model::revision::{Revision, Variant};
use ifq_model::run_state::ModelRun;
use ifq_model::run_state::buffer::FoundBytes;
use ifq_model::test::arg_modifier::ArgModifiers;
use ifq_model::test::{Op, Socket, Source, Step, Test, Var, VarKind};
use ifq_model::trace::{Tracepoint, Tracer};
use ifq_model::uaccess::UserPtr;
use ifq_tests::block_on::block_on;
use ifq_tests::fixture::IfqFixture;
use ifq_tests::loom_model::{loom_model, loom_violation};
use ifq_tests::loom_platform::Loom;

/// Explores a body that must break and compares the text of the violation.
fn breaks(name: &str, expected: &str, body: impl Fn() + Send + Sync + 'static) {
    let text = loom_violation(name, body);
    assert!(text.contains(expected), "{name}: expected {expected:?}, got {text:?}");
}

#[test]
fn every_warning_of_the_kernel_is_a_violation() {
    let (ifq, id, area, niov) = (0, 0, 0, 0);
    let warnings = [
        ("I2: ", Warning::TerminatedTwice { id }),
        ("I2: ", Warning::PpRefCountNegative { area, niov }),
        ("I3: ", Warning::IfqFreedWithRing { ifq }),
        ("I3: ", Warning::NotTerminated { id }),
        ("I5: ", Warning::IfqFreedWithQueue { ifq }),
        ("I5: ", Warning::ForeignProvider),
        ("I6: ", Warning::FreelistFull { area, niov }),
        ("I6: ", Warning::AllocCacheNotEmpty),
    ];
    for (invariant, warning) in warnings {
        breaks("a warning", &format!("{invariant}{warning}"), move || {
            let fixture = block_on(IfqFixture::<Loom>::sound(1, 1));
            warn_on_once(&fixture.kernel, true, warning);
        });
    }
    loom_model("no warning", || {
        let fixture = block_on(IfqFixture::<Loom>::sound(1, 1));
        warn_on_once(&fixture.kernel, false, Warning::ForeignProvider);
    });
}

#[test]
fn a_percpu_ref_that_is_killed_twice_is_i2() {
    breaks("two kills", "I2: percpu_ref_kill", || {
        let refs = PercpuRef::<Loom>::new("refs");
        block_on(refs.kill());
        block_on(refs.kill());
    });
    breaks("a kill after the switch", "I2: percpu_ref_kill", || {
        let refs = PercpuRef::<Loom>::with_refs("refs", 1);
        block_on(refs.kill());
        assert!(!block_on(refs.switch_to_atomic_rcu()));
        block_on(refs.kill());
    });
}

#[test]
fn a_percpu_ref_without_references_cannot_be_used() {
    breaks("two switches", "I2: percpu ref <= 0", || {
        let refs = PercpuRef::<Loom>::with_refs("refs", 1);
        block_on(refs.kill());
        assert!(!block_on(refs.switch_to_atomic_rcu()));
        block_on(refs.switch_to_atomic_rcu());
    });
    breaks("a get of a released ref", "I2: percpu_ref_get", || {
        let refs = PercpuRef::<Loom>::new("refs");
        block_on(refs.kill());
        assert!(block_on(refs.switch_to_atomic_rcu()));
        block_on(refs.get());
    });
    breaks("one put too many", "I2: percpu_ref_put", || {
        let refs = PercpuRef::<Loom>::new("refs");
        block_on(refs.kill());
        assert!(block_on(refs.switch_to_atomic_rcu()));
        block_on(refs.put());
    });
}

/// A run with one ring, whose only step is `op`. The step does not run.
fn run_of(op: Op) -> (Ptr<Loom, ModelRun<Loom>>, Checks<Loom>) {
    let step = Step { op, bind: None, after: Vec::new() };
    let receives = matches!(step.op, Op::Recv { .. });
    let sockets = receives.then(|| Socket { name: "s".to_owned(), queue: None });
    let test = Test {
        rings: vec!["A".to_owned()],
        sockets: sockets.into_iter().collect(),
        vars: vec![Var { name: "ifq".to_owned(), kind: VarKind::Ifq }],
        setup: vec![step],
        ..Test::default()
    };
    let variant = Variant::of(Revision::Import73);
    (ModelRun::new(&Rc::new(test), &variant, Rc::new(Checks::new())), Checks::new())
}

fn register() -> Op {
    let (source, modifiers) = (Source::Nodev, ArgModifiers::NONE);
    Op::Register { ring: 0, source, buffers: 2, entries: 1, modifiers }
}

#[test]
fn a_buffer_that_is_in_no_place_when_its_area_is_freed_is_i6() {
    let free_with = |lost: usize| {
        let fixture = block_on(IfqFixture::<Loom>::sound(2, 1));
        let area = block_on(async {
            let _pp_guard = fixture.ifq.pp_lock.lock().await;
            fixture.ifq.area().expect("it is registered")
        });
        block_on(async {
            let _guard = fixture.ifq.alloc_lock.lock().await;
            for _ in 0..lost {
                zcrx_get_free_niov(&area);
            }
        });
        let (run, checks) = run_of(register());
        checks.event(&Tracepoint::AreaFree(&area));
        checks.after_close(&run);
    };
    breaks("a lost buffer", "I6: area freed with 1 of 2 buffers free and 0 held", move || {
        free_with(1);
    });
    breaks("two lost buffers", "I6: area freed with 0 of 2 buffers free and 0 held", move || {
        free_with(2);
    });
    // The fixture is still there, which is the next thing that the checks report.
    breaks("no lost buffer", "I3: ", move || free_with(0));
}

/// The owner's ring as `io_ring_exit_work` sees it when it waits for ever: its references are gone, and a page pool
/// is left, which holds the ifq.
fn stuck_ring() -> (IfqFixture<Loom>, Ptr<Loom, PagePool<Loom>>) {
    let fixture = block_on(IfqFixture::<Loom>::sound(1, 1));
    let pool = block_on(page_pool_create(&fixture.ifq));
    block_on(fixture.owner.refs.kill());
    block_on(fixture.owner.refs.switch_to_atomic_rcu());
    (fixture, pool)
}

#[test]
fn a_reference_on_an_ifq_that_no_page_pool_holds_is_i3_when_the_ring_waits_for_it() {
    let wait_with = |more: u64| {
        let (fixture, _pool) = stuck_ring();
        for _ in 0..more {
            block_on(fixture.ifq.refs.inc());
        }
        Checks::new().event(&Tracepoint::ExitStuck(&fixture.owner));
    };
    breaks("a reference", "I3: ring 0 never ends: references are left", move || wait_with(1));
    loom_model("the page pool's reference", move || wait_with(0));
}

#[test]
fn a_held_buffer_of_any_area_is_i6_when_the_ring_waits_for_it() {
    let wait_with = |held: Option<usize>| {
        let (fixture, _pool) = stuck_ring();
        let mem = AreaMem::alloc(1, 1);
        let reg = UserPtr::To(IoUringZcrxAreaReg::of(&mem));
        block_on(zcrx_ctrl_add_area(&fixture.ifq, &reg, 0)).expect("no fault point fails");
        block_on(async {
            let _pp_guard = fixture.ifq.pp_lock.lock().await;
            let _guard = fixture.ifq.alloc_lock.lock().await;
            if let Some(area) = held.and_then(|at| fixture.ifq.areas().nth(at)) {
                let niov = zcrx_get_free_niov(&area).expect("all buffers are free");
                io_zcrx_get_niov_uref(&niov).await;
            }
        });
        Checks::new().event(&Tracepoint::ExitStuck(&fixture.owner));
    };
    for area in [0, 1] {
        let text = "I6: ring 0: the kernel never takes back what user space holds";
        breaks("a held buffer", text, move || wait_with(Some(area)));
    }
    loom_model("no held buffer", move || wait_with(None));
}

#[test]
fn a_returned_buffer_that_counts_as_held_after_a_flush_is_i6() {
    breaks("a returned buffer", "I6: user space has returned niov0", || {
        let records = Records { unreturned: true, ..Records::default() };
        let newest = Variant::of(Revision::Import73);
        let fixture = block_on(IfqFixture::<Loom>::recording(newest, 1, 1, records));
        // A mistake of the kernel: it counts a reference for a buffer that it did not hand out.
        block_on(fixture.deliver_niov()).expect("all buffers are free");
        block_on(zcrx_flush_rq(&fixture.ifq, 0)).expect("the reserved fields are zero");
    });
}

#[test]
fn memory_that_stays_pinned_is_i3() {
    breaks("pinned memory", "I3: memory is still pinned", || {
        let (run, checks) = run_of(register());
        run.regions[0].as_ref().expect("a registration has memory").area.pins.pin();
        block_on(async {
            run.kernel.files.close(0).await.expect("the ring is open");
            run.kernel.work.flush().await;
        });
        checks.after_close(&run);
    });
}

#[test]
fn a_descriptor_that_stays_reserved_is_i3() {
    breaks("a reserved descriptor", "I3: reserved descriptors that lead to no file: 1", || {
        // Only a test that exports has room for another descriptor.
        let export = Op::Export { ring: 0, ifq: 0, modifiers: ArgModifiers::NONE };
        let (run, checks) = run_of(export);
        block_on(async {
            run.kernel.files.get_unused_fd().await.expect("there is room");
            run.kernel.files.close(0).await.expect("the ring is open");
            run.kernel.work.flush().await;
        });
        checks.after_close(&run);
    });
}

#[test]
fn a_completion_without_bytes_of_its_connection_is_i7() {
    let take = |found: Option<FoundBytes>| {
        let modifiers = ArgModifiers::NONE;
        let (run, _) = run_of(Op::Recv { ring: 0, ifq: 0, socket: 0, len: 0, modifiers });
        let cqe = Cqe { user_data: 0, res: 1, more: true, off: 0 };
        check::completion(&run, &Completion { step: &run.test.setup[0], cqe, found });
    };
    breaks("no bytes", "I7: completion points to no bytes", move || take(None));
    breaks("bytes of another connection", "I7: bytes of another connection", move || {
        take(Some(FoundBytes { area: 0, stream: 1, seq: 0 }));
    });
    breaks("bytes that come later", "I10: stream goes on at byte 5", move || {
        take(Some(FoundBytes { area: 0, stream: 0, seq: 5 }));
    });
    loom_model("the next bytes", move || take(Some(FoundBytes { area: 0, stream: 0, seq: 0 })));
}
