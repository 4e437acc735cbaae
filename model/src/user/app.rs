//! What an application does: the steps of a test.

use crate::errno::{EBADF, EOPNOTSUPP};
use crate::invariant::Invariant;
use crate::io_uring::register::{Register, ZcrxCtrl, io_uring_register};
use crate::io_uring::submit::{Sqe, io_uring_enter_submit, io_uring_wait_cqe};
use crate::io_uring::zcrx::area::AreaReg;
use crate::io_uring::zcrx::clone::CloneReg;
use crate::io_uring::zcrx::mmap::io_uring_mmap;
use crate::io_uring::zcrx::register::ZcrxIfqReg;
use crate::kernel::Task;
use crate::net::netdev::unregister_netdevice;
use crate::net::sock::{tcp_fin, tcp_rcv};
use crate::platform::{AtomicWord, Platform};
use crate::run::{ModelRun, ifq_number};
use crate::test::arg_modifier::{ArgModifier, ArgModifiers};
use crate::test::{Op, RingId, Source, Step};
use crate::user::completion::{arming, give_back, received};

/// The values of the variables that a step uses, in their order.
type Used = [i64; 2];

/// One step of a test. `thread`: `None` for set-up and end.
pub async fn run_step<P: Platform>(
    run: &ModelRun<P>,
    thread: Option<usize>,
    index: usize,
    step: &Step,
) {
    for var in &step.after {
        run.value(*var, thread).await;
    }
    let mut used: Used = [0; 2];
    for (value, var) in used.iter_mut().zip(step.op.uses()) {
        *value = run.value(var, thread).await;
    }
    let counted = run.counts_syscalls && is_syscall(&step.op);
    if counted {
        run.kernel.begin_syscall();
    }
    let result = do_op(run, thread, index, step, used).await.unwrap_or_else(|errno| errno);
    if counted {
        run.kernel.end_syscall();
    }
    if let Some(var) = step.bind {
        run.bind(var, result).await;
    }
}

/// Whether a step is a system call that ends without anyone's help. The wait for a completion is
/// none: that may take as long as others like.
fn is_syscall(op: &Op) -> bool {
    !matches!(op, Op::Wait { .. } | Op::Return { .. } | Op::Scribble { .. })
}

async fn do_op<P: Platform>(
    run: &ModelRun<P>,
    thread: Option<usize>,
    index: usize,
    step: &Step,
    used: Used,
) -> Result<i64, i64> {
    let kernel = &*run.kernel;
    let task = |ring| task_of(run, thread, ring);
    match step.op {
        Op::Exit { ring } => kernel.files.close(fd_of(ring)).await.map(|()| 0),
        Op::Close { .. } => kernel.files.close(used[0]).await.map(|()| 0),
        Op::Mmap { ring, .. } => io_uring_mmap(kernel, fd_of(ring), used[0]).await.map(|()| 0),
        Op::Recv { ring, socket, len, modifiers, .. } => {
            let sqe = Sqe {
                user_data: index as u64,
                zcrx_ifq_idx: used[0],
                sock: run.socks[usize::from(socket)].clone(),
                len,
                modifiers,
            };
            io_uring_enter_submit(kernel, task(ring), fd_of(ring), &sqe).await.map(|()| 0)
        }
        Op::Wait { ring } => {
            let cqe = io_uring_wait_cqe(kernel, task(ring), fd_of(ring)).await?;
            received(run, step, cqe);
            Ok(cqe.res)
        }
        Op::Return { cqe, ifq, locked } => give_back(run, cqe, ifq, locked).await,
        Op::Send { socket, len } => {
            tcp_rcv(kernel, &run.socks[usize::from(socket)], len).await.map(|()| 0)
        }
        Op::Shutdown { socket } => {
            tcp_fin(kernel, &run.socks[usize::from(socket)]).await.map(|()| 0)
        }
        Op::UnregisterNetdev => {
            if let Some(netdev) = &kernel.netdev {
                unregister_netdevice(netdev).await;
            }
            Ok(0)
        }
        Op::Scribble { ifq, word, value } => {
            if let Some(ring) = run.rq_of(ifq) {
                ring.scribble(word, value).await;
            }
            Ok(0)
        }
        Op::Register { ring, .. }
        | Op::Clone { ring, .. }
        | Op::Import { ring, .. }
        | Op::Export { ring, .. }
        | Op::Flush { ring, .. }
        | Op::AddArea { ring, .. }
        | Op::Arm { ring, .. } => {
            let arg = register_arg(run, index, step, used[0])?;
            let ret = io_uring_register(kernel, task(ring), fd_of(ring), &arg).await;
            check_export(run, index, &ret);
            ret
        }
    }
}

fn fd_of(ring: RingId) -> i64 {
    i64::from(ring)
}

fn task_of<P: Platform>(run: &ModelRun<P>, thread: Option<usize>, ring: RingId) -> Task {
    match thread {
        Some(thread) => Task(thread as u32),
        None => ModelRun::<P>::task(&run.test, ring),
    }
}

/// The argument of `io_uring_register(2)`. `used`: the value of the variable that the step uses.
///
/// # Errors
/// -EOPNOTSUPP for a step that has none, -EBADF if its memory was not prepared.
fn register_arg<'w, P: Platform>(
    run: &'w ModelRun<P>,
    index: usize,
    step: &Step,
    used: i64,
) -> Result<Register<'w, P>, i64> {
    let ctrl = |op, modifiers| Register::ZcrxCtrl { zcrx_id: used, op, modifiers };
    Ok(match step.op {
        Op::Register { ring, source, entries, modifiers, .. } => {
            Register::ZcrxIfq(ifq_reg(run, index, ring, source, entries, modifiers)?)
        }
        Op::Clone { from, modifiers, .. } => {
            Register::SharedIfq(CloneReg { if_idx: fd_of(from), if_rxq: used, modifiers })
        }
        Op::Import { modifiers, .. } => {
            let if_rxq = i64::from(modifiers.has(ArgModifier::Rxq));
            Register::SharedIfq(CloneReg { if_idx: used, if_rxq, modifiers })
        }
        Op::Export { modifiers, .. } => {
            let zcrx_fd = run.zcrx_fds[index].as_ref().ok_or(-EBADF)?;
            ctrl(ZcrxCtrl::Export(zcrx_fd), modifiers)
        }
        Op::AddArea { modifiers, .. } => {
            let mem = run.regions[index].as_ref().ok_or(-EBADF)?.area.clone();
            ctrl(ZcrxCtrl::AddArea(AreaReg { mem, modifiers }), modifiers)
        }
        Op::Arm { ifq, event, modifiers, .. } => {
            arming(run, ifq, event);
            ctrl(ZcrxCtrl::ArmEvent(event), modifiers)
        }
        Op::Flush { modifiers, .. } => ctrl(ZcrxCtrl::FlushRq, modifiers),
        _ => return Err(-EOPNOTSUPP),
    })
}

fn ifq_reg<P: Platform>(
    run: &ModelRun<P>,
    index: usize,
    ring: RingId,
    source: Source,
    entries: u32,
    modifiers: ArgModifiers,
) -> Result<ZcrxIfqReg<P>, i64> {
    let region = run.regions[index].as_ref().ok_or(-EBADF)?;
    let rq = region.rq.as_ref().ok_or(-EBADF)?;
    if modifiers.has(ArgModifier::StaleRing) && !modifiers.has(ArgModifier::KernelRegion) {
        rq.make_stale();
    }
    Ok(ZcrxIfqReg {
        source,
        rq_entries: entries,
        area: region.area.clone(),
        region: rq.clone(),
        number: ifq_number(&run.test, index, ring),
        modifiers,
    })
}

/// I9: an export that failed has told nobody a number.
fn check_export<P: Platform>(run: &ModelRun<P>, index: usize, ret: &Result<i64, i64>) {
    if let (Some(zcrx_fd), Err(_)) = (&run.zcrx_fds[index], ret)
        && zcrx_fd.load_in_step() != 0
    {
        P::violation(Invariant::I9, format_args!("a failed export has published a descriptor"));
    }
}
