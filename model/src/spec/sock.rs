//! A TCP connection: the bytes that were sent and not yet received.

use std::collections::VecDeque;

use super::{IfqIndex, NiovId, Spec};
use crate::errno::{EAGAIN, EBADF, ENODEV, EPIPE};
use crate::test::{Event, RingId, SocketId};

/// Bytes in a buffer.
pub(super) const PAGE: u32 = 4096;

/// A fragment of the stream in the receive queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Bytes that no request has received yet.
    pub(super) len: u32,
    /// The buffer that the device filled; `None`: ordinary pages.
    pub(super) niov: Option<(IfqIndex, NiovId)>,
}

/// The receiving side of a connection.
#[derive(Clone, Debug)]
pub(super) struct SocketState {
    pub(super) queue: Option<u32>,
    /// The descriptor of the near end is open.
    pub(super) open: bool,
    pub(super) segments: VecDeque<Segment>,
    /// The peer has ended the stream.
    pub(super) shutdown: bool,
    /// The peer has closed its socket with a reset.
    pub(super) closed: bool,
    /// A reset came before the end of the stream, and no request has reported it.
    pub(super) error: bool,
    /// Requests in the socket's wait queue, the newest first (`add_wait_queue`).
    pub(super) waiters: VecDeque<(RingId, u64)>,
}

impl SocketState {
    pub(super) fn new(queue: Option<u32>) -> Self {
        SocketState {
            queue,
            open: true,
            segments: VecDeque::new(),
            shutdown: false,
            closed: false,
            error: false,
            waiters: VecDeque::new(),
        }
    }
}

impl Spec {
    /// The peer sends bytes: over loopback as one fragment, through a bound queue as one fragment for
    /// each buffer. Fragments that were queued before a failure stay queued.
    pub(super) fn send(&mut self, socket: SocketId, len: u32) -> Result<(), i64> {
        let s = usize::from(socket);
        if self.socks[s].shutdown {
            return Err(-EPIPE);
        }
        if self.device_is_gone(socket) {
            return Err(-ENODEV);
        }
        let mut left = len;
        while left > 0 {
            let niov = match self.ifq_of_queue(socket) {
                Some(ifq) => Some((ifq, self.packet(ifq).ok_or(-EAGAIN)?)),
                None => None,
            };
            let segment = Segment { len: if niov.is_some() { left.min(PAGE) } else { left }, niov };
            self.socks[s].segments.push_back(segment);
            self.wake(socket);
            left -= segment.len;
        }
        Ok(())
    }

    /// The peer ends the stream.
    pub(super) fn shutdown(&mut self, socket: SocketId) -> Result<(), i64> {
        if self.socks[usize::from(socket)].closed {
            return Err(-EPIPE);
        }
        if self.device_is_gone(socket) {
            return Err(-ENODEV);
        }
        self.socks[usize::from(socket)].shutdown = true;
        self.wake(socket);
        Ok(())
    }

    /// The peer closes its socket with a reset. Bytes that arrived before can still be received.
    pub(super) fn reset(&mut self, socket: SocketId) -> Result<(), i64> {
        if self.socks[usize::from(socket)].closed {
            return Err(-EPIPE);
        }
        if self.device_is_gone(socket) {
            return Err(-ENODEV);
        }
        let sock = &mut self.socks[usize::from(socket)];
        sock.error = !sock.shutdown;
        (sock.closed, sock.shutdown) = (true, true);
        self.wake(socket);
        Ok(())
    }

    /// The application closes the near end. The socket stays as long as a request waits for it.
    pub(super) fn close_socket(&mut self, socket: SocketId) -> Result<(), i64> {
        let sock = &mut self.socks[usize::from(socket)];
        if std::mem::take(&mut sock.open) { Ok(()) } else { Err(-EBADF) }
    }

    /// Ends the connections whose near end is closed and that no request waits for: bytes that were not
    /// received are gone, and the peer is reset.
    pub(super) fn end_closed_sockets(&mut self) {
        for s in 0..self.socks.len() {
            if self.socks[s].open || !self.socks[s].waiters.is_empty() {
                continue;
            }
            (self.socks[s].closed, self.socks[s].shutdown) = (true, true);
            while let Some(segment) = self.socks[s].segments.pop_front() {
                self.release(segment);
            }
        }
    }

    /// Whether the device that receives the socket's packets is down or unregistered.
    fn device_is_gone(&self, socket: SocketId) -> bool {
        (self.device_gone || self.device_down) && self.socks[usize::from(socket)].queue.is_some()
    }

    fn ifq_of_queue(&self, socket: SocketId) -> Option<IfqIndex> {
        let queue = self.socks[usize::from(socket)].queue?;
        *self.queues.get(queue as usize)?
    }

    fn packet(&mut self, ifq: IfqIndex) -> Option<NiovId> {
        let (at, misused) = self.ifqs[ifq].packet(self.revision);
        self.misused |= misused;
        if at.is_none() {
            self.notify(ifq, Event::AllocFail);
        }
        at
    }

    /// Frees a fragment that has left the receive queue.
    pub(super) fn release(&mut self, segment: Segment) {
        if let Some((ifq, at)) = segment.niov {
            self.ifqs[ifq].packet_done(at);
        }
    }

    /// Queues task work for all requests that wait for the socket.
    pub(super) fn wake(&mut self, socket: SocketId) {
        for &(ring, request) in &self.socks[usize::from(socket)].waiters {
            self.rings[usize::from(ring)].queue_request(request);
        }
    }
}
