//! The file of a socket: its descriptor, its references, and the end of the connection.

use super::{CLOSED, SHUTDOWN, Sock};
use crate::errno::EBADF;
use crate::platform::{AtomicWord, Order, Platform, Ptr, RawLock, Rmw};

/// `fget` of the socket's descriptor: whether a reference to its file was taken.
///
/// Linux: `fs/file.c`, 6.18 to 7.3.
pub async fn sock_fget<P: Platform>(sock: &Sock<P>) -> bool {
    let Some(fd) = &sock.fd else {
        sock.f_count.inc().await;
        return true;
    };
    fd.load(Order::Acquire).await != 0 && sock.f_count.inc_not_zero().await
}

/// `close(2)` of the socket's descriptor.
///
/// # Errors
/// -EBADF if it is not open.
///
/// Linux: `fs/open.c`, 6.18 to 7.3.
pub async fn sock_close_fd<P: Platform>(sock: &Ptr<P, Sock<P>>) -> Result<(), i64> {
    let _func = P::func("close");
    let was_open = match &sock.fd {
        Some(fd) => fd.rmw(Rmw::CmpXchg { old: 1, new: 0 }, Order::Full).await != 0,
        None => true,
    };
    if !was_open {
        return Err(-EBADF);
    }
    sock_fput(sock).await;
    Ok(())
}

/// `fput` of the socket's file; the last reference closes the connection.
///
/// # Divergence from Linux
/// - Simplified: Linux runs the release as task work before the system call returns, or, if a worker of the
///   kernel has the last reference, as a work item of its own.
///
/// Linux: `fs/file_table.c`, 6.18 to 7.3.
pub async fn sock_fput<P: Platform>(sock: &Ptr<P, Sock<P>>) {
    if sock.f_count.dec_and_test().await {
        tcp_close(sock).await;
    }
}

/// `tcp_close` with `SO_LINGER` 0: frees the receive queue and resets the peer. A packet that arrives later
/// finds no socket.
///
/// # Divergence from Linux
/// - Simplified: if a step of the test closes the descriptor, the memory of the socket stays until the run
///   ends. Linux frees it when the packets that have found the socket are done.
///
/// Linux: `net/ipv4/tcp.c`, 6.18 to 7.3.
async fn tcp_close<P: Platform>(sock: &Ptr<P, Sock<P>>) {
    let _func = P::func("tcp_close");
    let closes = sock.fd.is_some();
    let _guard = if closes { Some(sock.sk_lock.lock().await) } else { None };
    while let Some((skb, offset)) = sock.first() {
        sock.consume(&skb, offset, skb.skb_len() - offset).await;
    }
    if closes {
        sock.readable.store_in_step(sock.readable.load_in_step() | SHUTDOWN | CLOSED);
    } else {
        sock.free();
    }
}

/// Not in Linux: the end of the run gives up a socket whose descriptor a step may have closed.
pub async fn sock_end<P: Platform>(sock: &Ptr<P, Sock<P>>) {
    // Closed already, or not: either is right.
    let _ = sock_close_fd(sock).await;
}

/// Not in Linux: frees the memory of a socket whose descriptor a step may have closed. With a reference
/// left, it stays, and is found as leaked.
pub fn sock_free_closed<P: Platform>(sock: &Ptr<P, Sock<P>>) {
    if sock.fd.is_some() && sock.f_count.observe() == 0 {
        sock.free();
    }
}
