//! Receiving: from the socket's queue into completions (`io_uring/zcrx.c`, `net/ipv4/tcp.c`).

use crate::errno::{EAGAIN, EFAULT, ENOMEM, ENOSPC};
use crate::io_uring::cq::Cqe;
use crate::io_uring::submit::Req;
use crate::io_uring::uapi::ZCRX_EVENT_COPY;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::niov::{
    NiovRef, io_zcrx_get_niov_uref, io_zcrx_return_niov, zcrx_get_free_niov,
};
use crate::io_uring::zcrx::notif::zcrx_send_notif;
use crate::net::page_pool::PagePool;
use crate::net::tcp::{PAGE_SIZE, Skb};
use crate::platform::{AtomicWord, Order, PlainWord, Platform, Ptr, RawLock, Rmw};
use crate::revision::Defect;
use crate::trace::Tracepoint;

/// `IO_SKBS_PER_CALL_LIMIT`.
pub const IO_SKBS_PER_CALL_LIMIT: u32 = 20;

/// What `io_zcrx_recv` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvResult {
    /// Bytes, 0 at the end of the stream, or -errno.
    Bytes(i64),
    /// `IOU_REQUEUE`.
    Requeue,
}

/// `struct io_zcrx_args` and the read descriptor.
struct Args<'a, P: Platform> {
    req: &'a Req<P>,
    ifq: &'a Ptr<P, Ifq<P>>,
    nr_skbs: u32,
    stopped_early: bool,
    /// `desc.count`: bytes still wanted.
    count: u64,
}

/// `io_zcrx_recv` with `io_zcrx_tcp_recvmsg`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_zcrx_recv<P: Platform>(
    req: &Req<P>,
    ifq: &Ptr<P, Ifq<P>>,
    multishot: bool,
) -> RecvResult {
    let _func = P::func("io_zcrx_tcp_recvmsg");
    let sock = &req.sock;
    let len = req.len.get();
    let count = if len == 0 { u64::from(u32::MAX) } else { len };
    let mut args = Args { req, ifq, nr_skbs: 0, stopped_early: false, count };
    let _guard = sock.sk_lock.lock().await;
    let ret = tcp_read_sock(&mut args).await;
    if len != 0 && ret > 0 {
        req.len.set(len - ret.cast_unsigned());
    }
    let done = sock.done() || sock.has_error() && ifq.kernel.fixed(Defect::ResetStall);
    if ret < 0 || ret == 0 && sock.done() {
        RecvResult::Bytes(ret)
    } else if ret == 0 {
        RecvResult::Bytes(if sock.has_error() {
            sock.sock_error()
        } else if sock.shut_down() {
            0
        } else {
            -EAGAIN
        })
    } else if multishot && (args.nr_skbs > IO_SKBS_PER_CALL_LIMIT || args.stopped_early || done) {
        RecvResult::Requeue
    } else if done {
        RecvResult::Bytes(-EAGAIN)
    } else {
        RecvResult::Bytes(ret)
    }
}

/// `tcp_read_sock`: the number of bytes read; if none, the last return value of the actor.
///
/// Linux: `net/ipv4/tcp.c`, 6.18 to 7.3.
async fn tcp_read_sock<P: Platform>(args: &mut Args<'_, P>) -> i64 {
    let _func = P::func("tcp_read_sock");
    let sock = args.req.sock.clone();
    let mut copied = 0;
    while let Some((skb, offset)) = sock.first() {
        let used = io_zcrx_recv_skb(args, &skb, offset).await;
        if used <= 0 {
            return if copied == 0 { used } else { copied };
        }
        copied += used;
        sock.consume(&skb, offset, used as u32).await;
        if args.count == 0 {
            break;
        }
    }
    copied
}

/// `io_zcrx_recv_skb`.
///
/// # Divergence from Linux
/// - Left out: frag lists, the linear part. Outcomes: how many completions a segment with them needs; no byte
///   and no buffer is counted differently.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
async fn io_zcrx_recv_skb<P: Platform>(args: &mut Args<'_, P>, skb: &Skb<P>, offset: u32) -> i64 {
    let _func = P::func("io_zcrx_recv_skb");
    let mut len = args.count.min(u64::from(skb.skb_len() - offset)) as u32;
    if len == 0 {
        return 0;
    }
    args.nr_skbs += 1;
    if args.nr_skbs > IO_SKBS_PER_CALL_LIMIT + 1 {
        return -EAGAIN;
    }
    let (start_off, mut offset, mut start, mut ret) = (offset, offset, 0, 0);
    for frag in &skb.frags {
        let frag_end = start + frag.len;
        if offset < frag_end {
            let (copy, frag_off) = (len.min(frag_end - offset), offset - start);
            ret = match &frag.niov {
                Some(niov) => io_zcrx_recv_frag(args, niov, frag.off + frag_off, copy).await,
                None => io_zcrx_copy_frag(args, frag.seq + u64::from(frag_off), copy).await,
            };
            let received = u32::try_from(ret).unwrap_or(0);
            offset += received;
            len -= received;
            if ret < 0 || len == 0 || received != copy {
                break;
            }
        }
        start = frag_end;
    }
    if len > 0 && args.ifq.kernel.fixed(Defect::M7) {
        args.stopped_early = true;
    }
    if offset == start_off {
        return ret;
    }
    args.count -= u64::from(offset - start_off);
    i64::from(offset - start_off)
}

/// `io_zcrx_recv_frag`: the device has written the bytes into the area.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
async fn io_zcrx_recv_frag<P: Platform>(
    args: &Args<'_, P>,
    niov: &NiovRef<P>,
    offset: u32,
    len: u32,
) -> i64 {
    let _func = P::func("io_zcrx_recv_frag");
    let pp = Ptr::<P, PagePool<P>>::from_word(niov.pp().get());
    if pp.is_none_or(|pp| pp.ifq().to_word() != args.ifq.to_word()) {
        return -EFAULT;
    }
    if !io_zcrx_queue_cqe(args.req, niov, offset, len).await {
        return -ENOSPC;
    }
    // Keeps the buffer from being recycled before the user's reference exists.
    niov.pp_ref_count().rmw_capped(Rmw::Add(1), Order::Relaxed, 0).await;
    io_zcrx_get_niov_uref(niov).await;
    i64::from(len)
}

/// `io_zcrx_copy_frag`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
async fn io_zcrx_copy_frag<P: Platform>(args: &Args<'_, P>, seq: u64, len: u32) -> i64 {
    let ret = io_zcrx_copy_chunk(args, seq, len).await;
    if ret > 0 {
        zcrx_send_notif(args.ifq, ZCRX_EVENT_COPY).await;
    }
    ret
}

/// `io_zcrx_copy_chunk`: copies into one buffer after the other.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
async fn io_zcrx_copy_chunk<P: Platform>(args: &Args<'_, P>, seq: u64, len: u32) -> i64 {
    let _func = P::func("io_zcrx_copy_chunk");
    let mut copied = 0;
    while copied < len {
        let Some(niov) = io_alloc_fallback_niov(args.ifq).await else {
            return if copied == 0 { -ENOMEM } else { i64::from(copied) };
        };
        let n = (len - copied).min(PAGE_SIZE);
        niov.fill(args.req.sock.number, seq + u64::from(copied));
        if !io_zcrx_queue_cqe(args.req, &niov, 0, n).await {
            io_zcrx_return_niov(&niov).await;
            return if copied == 0 { -ENOSPC } else { i64::from(copied) };
        }
        io_zcrx_get_niov_uref(&niov).await;
        copied += n;
    }
    i64::from(copied)
}

/// `io_alloc_fallback_niov`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
async fn io_alloc_fallback_niov<P: Platform>(ifq: &Ifq<P>) -> Option<NiovRef<P>> {
    let _func = P::func("io_alloc_fallback_niov");
    let _guard = ifq.alloc_lock.lock().await;
    let niov = ifq.areas().find_map(|area| zcrx_get_free_niov(&area));
    match &niov {
        Some(niov) => niov.pp_ref_count().store_in_step(1),
        None => ifq.kernel.trace(&Tracepoint::NoFreeNiov(ifq)),
    }
    niov
}

/// `io_zcrx_queue_cqe`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
async fn io_zcrx_queue_cqe<P: Platform>(
    req: &Req<P>,
    niov: &NiovRef<P>,
    off: u32,
    len: u32,
) -> bool {
    let _func = P::func("io_zcrx_queue_cqe");
    let cqe = Cqe {
        user_data: req.user_data,
        res: i64::from(len),
        more: true,
        off: niov.offset() + u64::from(off),
    };
    let posted = req.ctx.cq.post_uncommitted(cqe).await;
    if posted {
        let ctx = &*req.ctx;
        ctx.kernel.trace(&Tracepoint::NiovQueued { niov, ctx });
    }
    posted
}
