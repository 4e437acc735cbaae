//! Goal: importing an ifq while its owner exits is safe and leaks nothing. Method: run the model's
//! registration, export, import and teardown on two or three of loom's threads, under weak memory; an
//! import that takes no reference must give a violation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ifq_model::errno::EBADF;
use ifq_model::io_uring::ctx::IoRingCtx;
use ifq_model::io_uring::zcrx::export::{import_zcrx, zcrx_export};
use ifq_model::platform::{Ptr, RawLock};
use ifq_tests::block_on::block_on;
use ifq_tests::engine::Engine;
use ifq_tests::fixture::{IfqFixture, exit_ring, import_of};
use ifq_tests::loom_model::{loom_bounded, loom_model, loom_violation};
use ifq_tests::loom_platform::Loom;

type Ring = Ptr<Loom, IoRingCtx<Loom>>;

/// A fixture with an exported ifq, and its descriptor.
fn exported() -> (IfqFixture<Loom>, i64) {
    block_on(async {
        let fixture = IfqFixture::<Loom>::sound(1, 1).await;
        let fd = zcrx_export(&fixture.ifq, None, 0).await.expect("no fault point fails");
        (fixture, fd as i64)
    })
}

/// The number of imports that succeeded and that came too late, over all executions of a test.
#[derive(Debug, Default)]
struct ImportCounts {
    imported: AtomicU32,
    too_late: AtomicU32,
}

/// Imports the ifq and exits. The import may only fail because the descriptor is closed.
async fn import_and_exit(ctx: &Ring, fd: i64, seen: &ImportCounts) {
    let imported = {
        let _guard = ctx.uring_lock.lock().await;
        import_zcrx(ctx, &import_of(fd)).await
    };
    match imported {
        Ok(_) => {
            seen.imported.fetch_add(1, Ordering::Relaxed);
            exit_ring(ctx).await;
        }
        Err(errno) => {
            seen.too_late.fetch_add(1, Ordering::Relaxed);
            assert_eq!(errno, -EBADF, "import: {errno}");
        }
    }
}

async fn close_and_exit(fixture: &IfqFixture<Loom>, fd: i64) {
    assert_eq!(fixture.kernel.files.close(fd).await, Ok(()));
    exit_ring(&fixture.owner).await;
}

/// `importers` rings import while the owner closes the descriptor and exits.
fn import_during_owner_exit(importers: u32, seen: &Arc<ImportCounts>) {
    let (fixture, fd) = exported();
    let threads: Vec<_> = (1..=importers)
        .map(|number| {
            let (ctx, seen) = (fixture.ring(number), Arc::clone(seen));
            Loom::spawn(move || block_on(import_and_exit(&ctx, fd, &seen)))
        })
        .collect();
    block_on(close_and_exit(&fixture, fd));
    threads.into_iter().for_each(Loom::join);
    fixture.assert_nothing_left();
}

fn assert_both_outcomes_occurred(seen: &ImportCounts) {
    println!("{seen:?}");
    assert_ne!(seen.imported.load(Ordering::Relaxed), 0, "no import ever succeeded");
    assert_ne!(seen.too_late.load(Ordering::Relaxed), 0, "no import ever came too late");
}

#[test]
fn an_import_during_the_owners_exit_is_safe() {
    let seen = Arc::new(ImportCounts::default());
    let body = Arc::clone(&seen);
    loom_bounded("import against the owner's exit", 5, move || import_during_owner_exit(1, &body));
    assert_both_outcomes_occurred(&seen);
}

#[test]
fn two_imports_during_the_owners_exit_are_safe() {
    let seen = Arc::new(ImportCounts::default());
    let body = Arc::clone(&seen);
    loom_bounded("two imports against the owner's exit", 3, move || {
        import_during_owner_exit(2, &body);
    });
    assert_both_outcomes_occurred(&seen);
}

#[test]
fn importer_and_owner_may_exit_at_once() {
    let coverage = loom_model("importer and owner exit at once", || {
        let (fixture, fd) = exported();
        let ctx = fixture.ring(1);
        block_on(async {
            let _guard = ctx.uring_lock.lock().await;
            import_zcrx(&ctx, &import_of(fd)).await.expect("the descriptor is open");
        });
        let importer = Loom::spawn(move || block_on(exit_ring(&ctx)));
        block_on(close_and_exit(&fixture, fd));
        Loom::join(importer);
        fixture.assert_nothing_left();
    });
    assert!(coverage.iterations > 1, "the threads never interleaved");
}

#[test]
fn an_import_after_the_owners_exit_works_while_the_descriptor_is_open() {
    loom_model("import after the owner's exit", || {
        let (fixture, fd) = exported();
        block_on(exit_ring(&fixture.owner));
        let ctx = fixture.ring(1);
        block_on(async {
            let _guard = ctx.uring_lock.lock().await;
            import_zcrx(&ctx, &import_of(fd)).await.expect("the descriptor holds the ifq");
        });
        block_on(async {
            assert_eq!(fixture.kernel.files.close(fd).await, Ok(()));
            exit_ring(&ctx).await;
        });
        fixture.assert_nothing_left();
    });
}

#[test]
fn an_import_without_a_reference_is_found() {
    let text = loom_violation("import without a reference", || {
        let (fixture, fd) = exported();
        let (ctx, ifq) = (fixture.ring(1), fixture.ifq.clone());
        let importer = Loom::spawn(move || {
            block_on(async {
                let id = ctx.zcrx_ctxs.alloc().await.expect("an id is free");
                ctx.zcrx_ctxs.store(id, &ifq).await.expect("no fault point fails");
                // A receive takes this lock.
                drop(ifq.alloc_lock.lock().await);
            });
        });
        block_on(close_and_exit(&fixture, fd));
        Loom::join(importer);
    });
    assert!(text.contains("I1: ifq0"), "{text}");
}
