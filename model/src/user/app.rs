//! What an application does: the steps of a test, and its own checks of what it receives.

use crate::errno::{EBADF, ENODATA};
use crate::invariant::Invariant;
use crate::io_uring::cq::Cqe;
use crate::io_uring::register::{Register, ZcrxCtrl, io_uring_register};
use crate::io_uring::submit::{Sqe, io_uring_enter_submit, io_uring_wait_cqe};
use crate::io_uring::zcrx::area::NIOV_SHIFT;
use crate::io_uring::zcrx::register::ZcrxIfqReg;
use crate::kernel::Task;
use crate::net::sock::{tcp_fin, tcp_rcv};
use crate::platform::{AtomicWord, PlainWord, Platform, RawLock};
use crate::scenario::{Op, RingId, Source, Step, Test, VarId};
use crate::user::refill::refill_push;
use crate::world::World;

/// What an application knows of one `recv` step.
#[derive(Debug)]
pub struct Receive<P: Platform> {
    /// The connection.
    pub socket: usize,
    /// The `register` step whose area the bytes must be in.
    pub region: Option<usize>,
    /// Whether no other request reads from the connection, so that the position is known.
    pub alone: bool,
    /// 1 after the last completion.
    pub done: P::Plain,
}

impl<P: Platform> Receive<P> {
    /// For a `recv` step; `None` for others.
    #[must_use]
    pub fn new(test: &Test, step: &Step) -> Option<Self> {
        let Op::Recv { ifq, socket, .. } = step.op else { return None };
        let reads = |s: &&Step| matches!(s.op, Op::Recv { socket: other, .. } if other == socket);
        let origin = test.origin(ifq);
        Some(Receive {
            socket: usize::from(socket),
            region: test.steps().position(|s| s.bind.is_some() && s.bind == origin),
            alone: test.steps().filter(reads).count() == 1,
            done: P::plain("recv.done", 0),
        })
    }
}

/// One step of a test. `thread`: `None` for set-up and end.
pub async fn run_step<P: Platform>(
    world: &World<P>,
    thread: Option<usize>,
    index: usize,
    step: &Step,
) {
    for var in &step.after {
        world.value(*var, thread).await;
    }
    let result = match do_op(world, thread, index, step).await {
        Ok(value) => value,
        Err(errno) => errno,
    };
    if let Some(var) = step.bind {
        world.bind(var, result).await;
    }
}

async fn do_op<P: Platform>(
    world: &World<P>,
    thread: Option<usize>,
    index: usize,
    step: &Step,
) -> Result<i64, i64> {
    let kernel = &*world.kernel;
    let task = |ring: RingId| match thread {
        Some(thread) => Task(thread as u32),
        None => World::<P>::task(&world.test, ring),
    };
    match step.op {
        Op::Register { ring, source, entries, .. } => {
            let reg = register_arg(world, index, ring, source, entries)?;
            io_uring_register(kernel, task(ring), fd_of(ring), &Register::ZcrxIfq(reg)).await
        }
        Op::Import { ring, fd } => {
            let arg = Register::Import(world.value(fd, thread).await);
            io_uring_register(kernel, task(ring), fd_of(ring), &arg).await
        }
        Op::Export { ring, ifq } => {
            let zcrx_id = world.value(ifq, thread).await;
            let arg = Register::ZcrxCtrl { zcrx_id, op: ZcrxCtrl::Export };
            io_uring_register(kernel, task(ring), fd_of(ring), &arg).await
        }
        Op::Flush { ring, ifq } => {
            let zcrx_id = world.value(ifq, thread).await;
            let arg = Register::ZcrxCtrl { zcrx_id, op: ZcrxCtrl::FlushRq };
            io_uring_register(kernel, task(ring), fd_of(ring), &arg).await
        }
        Op::Exit { ring } => kernel.files.close(fd_of(ring)).await.map(|()| 0),
        Op::Close { fd } => {
            let fd = world.value(fd, thread).await;
            kernel.files.close(fd).await.map(|()| 0)
        }
        Op::Recv { ring, ifq, socket, len } => {
            let sqe = Sqe {
                user_data: index as u64,
                zcrx_ifq_idx: world.value(ifq, thread).await,
                sock: world.socks[usize::from(socket)].clone(),
                len,
            };
            io_uring_enter_submit(kernel, task(ring), fd_of(ring), &sqe).await.map(|()| 0)
        }
        Op::Wait { ring } => {
            let cqe = io_uring_wait_cqe(kernel, task(ring), fd_of(ring)).await?;
            received(world, step, cqe);
            Ok(cqe.res)
        }
        Op::Return { cqe, ifq, locked } => give_back(world, thread, cqe, ifq, locked).await,
        Op::Send { socket, len } => {
            tcp_rcv(kernel, &world.socks[usize::from(socket)], len).await.map(|()| 0)
        }
        Op::Shutdown { socket } => {
            tcp_fin(&world.socks[usize::from(socket)]).await;
            Ok(0)
        }
    }
}

fn fd_of(ring: RingId) -> i64 {
    i64::from(ring)
}

fn register_arg<P: Platform>(
    world: &World<P>,
    index: usize,
    ring: RingId,
    source: Source,
    entries: u32,
) -> Result<ZcrxIfqReg<P>, i64> {
    let region = world.regions[index].as_ref().ok_or(-EBADF)?;
    let same = |s: &&Step| matches!(s.op, Op::Register { ring: other, .. } if other == ring);
    let earlier = world.test.steps().take(index).filter(same).count() as u32;
    Ok(ZcrxIfqReg {
        source,
        rq_entries: entries,
        area: region.area.clone(),
        region: region.rq.clone(),
        number: u32::from(ring) + 32 * earlier,
    })
}

/// Checks a completion against what was asked for and sent, and remembers its buffer.
fn received<P: Platform>(world: &World<P>, step: &Step, cqe: Cqe) {
    let Some(Some(receive)) = world.receives.get(cqe.user_data as usize) else {
        P::violation(Invariant::I10, format_args!("a completion that nobody asked for"));
        return;
    };
    if receive.done.get() != 0 {
        P::violation(Invariant::I10, format_args!("a completion after the request's last one"));
    }
    if !cqe.more {
        receive.done.set(1);
        return;
    }
    let seq = check_bytes(world, receive, cqe);
    if let Some(var) = step.bind {
        let bound = &world.vars[usize::from(var)];
        bound.off.set(cqe.off + 1);
        bound.seq.set(seq);
        bound.request.set(cqe.user_data);
    }
}

/// Returns the position in the stream that stands at the start of the buffer.
fn check_bytes<P: Platform>(world: &World<P>, receive: &Receive<P>, cqe: Cqe) -> u64 {
    let found = buffer_of(world, receive, cqe.off);
    let Some((stream, page_seq)) = found else {
        P::violation(Invariant::I7, format_args!("completion points to no bytes of a stream"));
        return 0;
    };
    if stream as usize != receive.socket {
        P::violation(Invariant::I7, format_args!("bytes of another connection"));
    }
    if receive.alone {
        let seq = page_seq + (cqe.off & ((1 << NIOV_SHIFT) - 1));
        let pos = &world.rx_pos[receive.socket];
        if seq != pos.get() {
            P::violation(
                Invariant::I10,
                format_args!("stream goes on at byte {seq} instead of {}", pos.get()),
            );
        }
        pos.set(seq + cqe.res.cast_unsigned());
    }
    page_seq
}

fn buffer_of<P: Platform>(world: &World<P>, receive: &Receive<P>, off: u64) -> Option<(u32, u64)> {
    let region = world.regions.get(receive.region?)?.as_ref()?;
    region.area.read(u32::try_from(off >> NIOV_SHIFT).ok()?)
}

/// The buffer of a completion goes into the refill ring. What it holds must still be what came.
async fn give_back<P: Platform>(
    world: &World<P>,
    thread: Option<usize>,
    cqe: VarId,
    ifq: VarId,
    locked: bool,
) -> Result<i64, i64> {
    let _func = P::func("refill");
    world.value(cqe, thread).await;
    world.value(ifq, thread).await;
    let bound = &world.vars[usize::from(cqe)];
    let off = bound.off.get().checked_sub(1).ok_or(-ENODATA)?;
    // What was given back before may hold other bytes by now.
    let held = bound.returned.peek() == 0;
    bound.returned.poke(1);
    if let (true, Some(Some(receive))) = (held, world.receives.get(bound.request.get() as usize)) {
        let now = buffer_of(world, receive, off);
        if now != Some((receive.socket as u32, bound.seq.get())) {
            P::violation(Invariant::I7, format_args!("a buffer was overwritten while held"));
        }
    }
    let origin = world.test.origin(ifq).and_then(|var| world.step_of(var));
    let region = origin.and_then(|step| world.regions[step].as_ref()).ok_or(-ENODATA)?;
    let _guard = if locked { Some(region.rq.producer_lock.lock().await) } else { None };
    refill_push(&*region.rq, off & !((1 << NIOV_SHIFT) - 1)).await.map(|()| 0)
}
