//! What an application does with a completion: remembers its buffer, and returns it.

use crate::check::{self, Completion};
use crate::errno::ENODATA;
use crate::io_uring::cq::Cqe;
use crate::platform::{AtomicWord, PlainWord, Platform, RawLock};
use crate::revision::Defect;
use crate::run_state::ModelRun;
use crate::run_state::buffer::buffer_start;
use crate::run_state::requests::increment;
use crate::test::{Step, VarId};
use crate::user::refill::{refill_push, refill_push_unchecked};

/// Takes a completion: remembers its buffer under the name that the step binds.
pub fn take_completion<P: Platform>(run: &ModelRun<P>, step: &Step, cqe: Cqe) {
    let receive = run.receives.get(cqe.user_data as usize).and_then(Option::as_ref);
    let data = receive.filter(|_| cqe.more);
    let found = data.and_then(|receive| run.find_bytes(receive, &cqe));
    check::completion(run, &Completion { step, cqe, found });
    if let (Some(receive), false) = (receive, cqe.more) {
        receive.done.set(1);
    }
    if let (Some(found), Some(var)) = (found, step.bind) {
        let buffer = &run.vars[usize::from(var)].buffer;
        buffer.off.set(cqe.off + 1);
        buffer.area.set(found.area as u64 + 1);
        buffer.seq.set(found.seq);
        buffer.request.set(cqe.user_data + 1);
    }
}

/// Returns the buffer of a completion through the refill ring. With S2 user space returns it twice; with
/// S1 it takes no lock.
///
/// # Errors
/// -ENODATA if the completion carried no buffer, -EAGAIN if the ring is full and `checked`.
pub async fn return_buffer<P: Platform>(
    run: &ModelRun<P>,
    cqe: VarId,
    ifq: VarId,
    (locked, checked): (bool, bool),
) -> Result<i64, i64> {
    let _func = P::func("refill");
    let kernel = &run.kernel;
    let buffer = &run.vars[usize::from(cqe)].buffer;
    let off = buffer.off.get().checked_sub(1).ok_or(-ENODATA)?;
    // A buffer that was returned before may hold other bytes by now.
    let first = buffer.returned.load_in_step() == 0;
    buffer.returned.store_in_step(1);
    if first {
        let now = buffer.area_step().and_then(|area| run.read_buffer(area, off));
        check::returning(run, cqe, now);
    }
    let ring = run.rq_of(ifq).ok_or(-ENODATA)?;
    let locked = locked && kernel.fixed(Defect::S1);
    let _guard = if locked { Some(ring.producer_lock.lock().await) } else { None };
    let times = if kernel.fixed(Defect::S2) { 1 } else { 2 };
    for time in 0..times {
        if checked {
            refill_push(&**ring, buffer_start(off)).await?;
        } else {
            refill_push_unchecked(&**ring, buffer_start(off)).await;
        }
        increment::<P>(&ring.returned);
        if first && time == 0 {
            check::returned(run, cqe, ifq);
        }
    }
    Ok(0)
}
