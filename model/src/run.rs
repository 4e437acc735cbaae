//! One run of a test on the model: set-up, threads, end, and the checks at the end.

use std::rc::Rc;

use crate::check::Checks;
use crate::fault::FaultPoint;
use crate::net::netdev::dev_close;
use crate::net::tcp::{sock_end, sock_free_closed};
use crate::outcome::Outcome;
use crate::platform::{NewThread, Platform, Ptr};
use crate::revision::Variant;
use crate::run_state::ModelRun;
use crate::test::Test;
use crate::user::app::run_step;

pub use crate::run_state::parts::{Part, parts};

/// Runs the steps of one thread of the test.
async fn run_thread<P: Platform>(run: &ModelRun<P>, index: usize) {
    let before: usize = run.test.threads[..index].iter().map(|t| t.steps.len()).sum();
    let first = run.test.setup.len() + before;
    for (i, step) in run.test.threads[index].steps.iter().enumerate() {
        run_step(run, Some(index), first + i, step).await;
        P::op_boundary();
    }
}

/// Starts one thread of the test.
fn start_thread<P: Platform>(run: &Ptr<P, ModelRun<P>>, index: usize) {
    run.threads.begin();
    let (object, test, run) = (run.to_word(), run.test.clone(), run.clone());
    P::start_thread(NewThread {
        slot: 1 + index as u32,
        object,
        name: Box::new(move || test.threads[index].name.clone()),
        body: Box::pin(async move {
            run_thread(&run, index).await;
            run.threads.done();
        }),
    });
}

/// Closes what the test left open, one object at a time, the last opened first.
async fn close_all<P: Platform>(run: &ModelRun<P>) {
    let files = &run.kernel.files;
    for fd in files.open().into_iter().rev() {
        let _ = files.close(fd as i64).await;
        run.kernel.work.wait_quiescent().await;
    }
    for sock in &run.socks {
        sock_end(sock).await;
    }
    // A queue whose restart failed keeps its page pool until the device is down.
    if let Some(netdev) = &run.kernel.netdev
        && run.test.faults.contains(&FaultPoint::RxqRestart)
        && netdev.has_stray_page_pool().await
    {
        dev_close(netdev).await;
    }
    run.kernel.work.flush().await;
    run.kernel.page_pools.flush().await;
    run.socks.iter().for_each(sock_free_closed);
}

/// A whole run. The engine calls it once, in the first thread. All other threads start from here,
/// through [`Platform::start_thread`].
pub async fn run<P: Platform>(test: Rc<Test>, variant: Variant) -> Outcome {
    let checks = Rc::new(Checks::<P>::new());
    let run = ModelRun::<P>::new(&test, &variant, checks.clone());
    for (i, step) in test.setup.iter().enumerate() {
        run_step(&*run, None, i, step).await;
        P::op_boundary();
    }
    run.kernel.work.wait_quiescent().await;
    for index in 0..test.threads.len() {
        start_thread(&run, index);
    }
    run.threads.flush().await;
    run.kernel.work.wait_quiescent().await;
    P::op_boundary();
    let first = test.steps().count() - test.finally.len();
    for (i, step) in test.finally.iter().enumerate() {
        run_step(&*run, None, first + i, step).await;
        run.kernel.work.wait_quiescent().await;
        P::op_boundary();
    }
    checks.before_close(&run);
    P::op_boundary();
    close_all(&run).await;
    checks.after_close(&run);
    run.outcome()
}
