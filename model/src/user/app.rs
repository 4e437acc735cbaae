//! What an application does: the steps of a test.

use crate::check;
use crate::errno::ENODEV;
use crate::io_uring::cancel::begin_new_exec;
use crate::io_uring::register::io_uring_register;
use crate::io_uring::submit::{io_uring_enter_submit, io_uring_wait_cqe};
use crate::io_uring::zcrx::mmap::io_uring_mmap;
use crate::kernel::{Current, Task};
use crate::mm::RqMem;
use crate::net::netdev::{netdev_rx_queue_restart, netif_close, netif_open, unregister_netdevice};
use crate::net::tcp::{sock_close_fd, tcp_fin, tcp_rcv_established, tcp_reset};
use crate::platform::{AtomicWord, Order, Platform};
use crate::run_state::ModelRun;
use crate::test::literal::Literal;
use crate::test::{Op, RingId, RqWord, Step};
use crate::user::arguments::{count_arming, fd_of, is_capable, recv_sqe, register_arg};
use crate::user::completion::{return_buffer, take_completion};

/// The values of the variables that a step uses, in their order.
type UsedValues = [i64; 2];

/// Runs one step of a test. `thread`: `None` for set-up and end. `index`: its position in
/// [`crate::test::Test::steps`].
pub async fn run_step<P: Platform>(
    run: &ModelRun<P>,
    thread: Option<usize>,
    index: usize,
    step: &Step,
) {
    for var in &step.after {
        run.value(*var, thread).await;
    }
    let mut used: UsedValues = [0; 2];
    for (value, var) in used.iter_mut().zip(step.op.results()) {
        *value = match Literal::of(var) {
            Some(literal) => literal.value(),
            None => run.value(var, thread).await,
        };
    }
    let counted = run.counts_syscalls && is_syscall(&step.op) && !is_foreign(run, thread, &step.op);
    if counted {
        run.kernel.begin_syscall();
    }
    let result = run_op(run, thread, index, step, used).await.unwrap_or_else(|errno| errno);
    if counted {
        run.kernel.end_syscall();
    }
    if let Some(var) = step.bind {
        run.vars[usize::from(var)].bind(result).await;
    }
}

/// Whether a step is a system call that must return without help of user space. The wait for a completion
/// need not.
fn is_syscall(op: &Op) -> bool {
    !matches!(op, Op::Wait { .. } | Op::Return { .. } | Op::Scribble { .. })
}

/// Whether a task uses the ring of another task. It waits for that task by its own choice.
fn is_foreign<P: Platform>(run: &ModelRun<P>, thread: Option<usize>, op: &Op) -> bool {
    let foreign = |ring| task_of(run, thread, ring) != run.task(ring);
    !matches!(op, Op::Exit { .. }) && op.ring().is_some_and(foreign)
}

async fn run_op<P: Platform>(
    run: &ModelRun<P>,
    thread: Option<usize>,
    index: usize,
    step: &Step,
    used: UsedValues,
) -> Result<i64, i64> {
    let kernel = &*run.kernel;
    let task = |ring| task_of(run, thread, ring);
    match step.op {
        Op::Exit { ring } => kernel.files.close(fd_of(ring)).await.map(|()| 0),
        Op::Close { .. } => kernel.files.close(used[0]).await.map(|()| 0),
        Op::CloseSocket { socket } => {
            sock_close_fd(&run.socks[usize::from(socket)]).await.map(|()| 0)
        }
        Op::Mmap { ring, .. } => {
            io_uring_mmap(kernel, fd_of(ring), used[0] as u32).await.map(|()| 0)
        }
        Op::Recv { ring, .. } => match recv_sqe(run, index, &step.op, used[0]) {
            Some(sqe) => {
                io_uring_enter_submit(kernel, task(ring), fd_of(ring), &sqe).await.map(|()| 0)
            }
            None => Ok(0),
        },
        Op::Wait { ring } => {
            let cqe = io_uring_wait_cqe(kernel, task(ring), fd_of(ring)).await?;
            take_completion(run, step, cqe);
            Ok(cqe.res)
        }
        Op::Return { cqe, ifq, locked, checked } => {
            return_buffer(run, cqe, ifq, (locked, checked)).await
        }
        Op::Send { socket, len, layout } => {
            let sock = &run.socks[usize::from(socket)];
            tcp_rcv_established(kernel, sock, len, layout).await.map(|()| 0)
        }
        Op::Shutdown { socket } => {
            tcp_fin(kernel, &run.socks[usize::from(socket)]).await.map(|()| 0)
        }
        Op::Reset { socket } => {
            tcp_reset(kernel, &run.socks[usize::from(socket)]).await.map(|()| 0)
        }
        Op::UnregisterNetdev => {
            if let Some(netdev) = &kernel.netdev {
                unregister_netdevice(netdev).await;
            }
            Ok(0)
        }
        Op::NetdevDown | Op::NetdevUp | Op::RestartQueue { .. } => {
            let Some(netdev) = &kernel.netdev else { return Err(-ENODEV) };
            match step.op {
                Op::NetdevDown => netif_close(netdev).await,
                Op::RestartQueue { queue } => netdev_rx_queue_restart(netdev, queue).await,
                _ => netif_open(netdev).await,
            }
            .map(|()| 0)
        }
        Op::Scribble { ifq, word, value } => {
            if let Some(ring) = run.rq_of(ifq) {
                write_word(ring, word, value).await;
            }
            Ok(0)
        }
        Op::Exec => {
            if let Some(thread) = thread {
                begin_new_exec(kernel, Task(thread as u32)).await;
            }
            Ok(0)
        }
        // io_uring_files_cancel() cancels only tracked requests, and there are none here.
        Op::Die => {
            kernel.files.exit_files().await;
            Ok(0)
        }
        Op::Register { ring, .. }
        | Op::Clone { ring, .. }
        | Op::Import { ring, .. }
        | Op::Export { ring, .. }
        | Op::Flush { ring, .. }
        | Op::AddArea { ring, .. }
        | Op::Arm { ring, .. }
        | Op::Enable { ring }
        | Op::Cancel { ring, .. }
        | Op::CancelSocket { ring, .. }
        | Op::CancelAll { ring } => {
            let arg = register_arg(run, index, step, used[0])?;
            if let Op::Arm { ifq, .. } = step.op {
                count_arming(run, ifq, &step.op);
            }
            let current = Current { task: task(ring), cap_net_admin: is_capable(step) };
            let ret = io_uring_register(kernel, current, fd_of(ring), &arg).await;
            check::syscall_exit(run, index, ret);
            ret
        }
    }
}

fn task_of<P: Platform>(run: &ModelRun<P>, thread: Option<usize>, ring: RingId) -> Task {
    match thread {
        Some(thread) => Task(thread as u32),
        None => run.task(ring),
    }
}

/// Writes a word of a refill ring. Does nothing past the last entry.
async fn write_word<P: Platform>(ring: &RqMem<P>, word: RqWord, value: u64) {
    let (word, value) = match word {
        RqWord::Head => (Some(&ring.head), value & u64::from(u32::MAX)),
        RqWord::Tail => (Some(&ring.tail), value & u64::from(u32::MAX)),
        RqWord::Off(index) => (ring.rqes.get(index as usize), value),
        RqWord::Pad(index) => (ring.pads.get(index as usize), value & u64::from(u32::MAX)),
    };
    if let Some(word) = word {
        word.store(value, Order::Relaxed).await;
    }
}
