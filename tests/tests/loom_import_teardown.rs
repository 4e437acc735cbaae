//! Goal: importing an ifq while its owner goes away is safe, and leaves nothing behind. Method: the
//! kernel-shaped functions of registration, export, import and teardown on two or three of loom's
//! threads; an import without a reference must be found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ifq_model::errno::EBADF;
use ifq_model::io_uring::ctx::IoRingCtx;
use ifq_model::io_uring::zcrx::export::{import_zcrx, zcrx_export};
use ifq_model::platform::{Ptr, RawLock};
use ifq_tests::block_on::block_on;
use ifq_tests::engine::Engine;
use ifq_tests::loom_model::{loom_bounded, loom_model, loom_violation};
use ifq_tests::loom_platform::Loom;
use ifq_tests::rig::{Rig, exit_ring, import_of};

type Ring = Ptr<Loom, IoRingCtx<Loom>>;

/// A rig whose ifq is exported, and the descriptor.
fn exported() -> (Rig<Loom>, i64) {
    block_on(async {
        let rig = Rig::<Loom>::sound(1, 1).await;
        let fd = zcrx_export(&rig.ifq, None, 0).await.expect("nothing fails here");
        (rig, fd as i64)
    })
}

/// Imports that succeeded and imports that came too late, over all executions of a test.
#[derive(Debug, Default)]
struct Seen {
    imported: AtomicU32,
    too_late: AtomicU32,
}

/// Imports, and goes away again. The descriptor may be closed already, nothing else may happen.
async fn import_and_exit(ctx: &Ring, fd: i64, seen: &Seen) {
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

async fn close_and_exit(rig: &Rig<Loom>, fd: i64) {
    assert_eq!(rig.kernel.files.close(fd).await, Ok(()));
    exit_ring(&rig.owner).await;
}

/// `importers` rings import while the owner closes the descriptor and exits.
fn importers_against_owner(importers: u32, seen: &Arc<Seen>) {
    let (rig, fd) = exported();
    let threads: Vec<_> = (1..=importers)
        .map(|number| {
            let (ctx, seen) = (rig.ring(number), Arc::clone(seen));
            Loom::spawn(move || block_on(import_and_exit(&ctx, fd, &seen)))
        })
        .collect();
    block_on(close_and_exit(&rig, fd));
    threads.into_iter().for_each(Loom::join);
    rig.assert_nothing_left();
}

fn both_outcomes_seen(seen: &Seen) {
    println!("{seen:?}");
    assert_ne!(seen.imported.load(Ordering::Relaxed), 0, "no import ever succeeded");
    assert_ne!(seen.too_late.load(Ordering::Relaxed), 0, "no import ever came too late");
}

#[test]
fn an_import_against_the_owner_leaving_is_safe() {
    let seen = Arc::new(Seen::default());
    let body = Arc::clone(&seen);
    loom_bounded("import against the owner leaving", 5, move || importers_against_owner(1, &body));
    both_outcomes_seen(&seen);
}

#[test]
fn two_imports_against_the_owner_leaving_are_safe() {
    let seen = Arc::new(Seen::default());
    let body = Arc::clone(&seen);
    loom_bounded("two imports against the owner leaving", 3, move || {
        importers_against_owner(2, &body);
    });
    both_outcomes_seen(&seen);
}

#[test]
fn an_importer_outlives_the_owner() {
    let coverage = loom_model("importer and owner leave at once", || {
        let (rig, fd) = exported();
        let ctx = rig.ring(1);
        block_on(async {
            let _guard = ctx.uring_lock.lock().await;
            import_zcrx(&ctx, &import_of(fd)).await.expect("the descriptor is open");
        });
        let importer = Loom::spawn(move || block_on(exit_ring(&ctx)));
        block_on(close_and_exit(&rig, fd));
        Loom::join(importer);
        rig.assert_nothing_left();
    });
    assert!(coverage.iterations > 1, "the threads never met");
}

#[test]
fn an_import_after_the_owner_left_works_while_the_descriptor_is_open() {
    loom_model("import after the owner left", || {
        let (rig, fd) = exported();
        block_on(exit_ring(&rig.owner));
        let ctx = rig.ring(1);
        block_on(async {
            let _guard = ctx.uring_lock.lock().await;
            import_zcrx(&ctx, &import_of(fd)).await.expect("the descriptor holds the ifq");
        });
        block_on(async {
            assert_eq!(rig.kernel.files.close(fd).await, Ok(()));
            exit_ring(&ctx).await;
        });
        rig.assert_nothing_left();
    });
}

#[test]
fn an_import_without_a_reference_is_found() {
    let text = loom_violation("import without a reference", || {
        let (rig, fd) = exported();
        let (ctx, ifq) = (rig.ring(1), rig.ifq.clone());
        let importer = Loom::spawn(move || {
            block_on(async {
                let id = ctx.zcrx_ctxs.alloc().await.expect("an id is free");
                ctx.zcrx_ctxs.store(id, &ifq).await.expect("nothing fails here");
                // As a receive does.
                drop(ifq.alloc_lock.lock().await);
            });
        });
        block_on(close_and_exit(&rig, fd));
        Loom::join(importer);
    });
    assert!(text.contains("I1: ifq0"), "{text}");
}
