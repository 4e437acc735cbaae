//! A TCP connection: what was sent and not yet received.

use std::collections::VecDeque;

use super::{IfqNo, SEGMENTS, Spec};
use crate::errno::{EAGAIN, ENOSPC, EPIPE};
use crate::scenario::{RingId, SocketId};

/// Bytes in a buffer.
pub(super) const PAGE: u32 = 4096;

/// A fragment of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Bytes that are not received yet.
    pub(super) len: u32,
    /// The buffer that a device has put it into; `None`: ordinary pages.
    pub(super) niov: Option<(IfqNo, usize)>,
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) queue: Option<u32>,
    pub(super) segments: VecDeque<Segment>,
    /// The peer has ended.
    pub(super) shutdown: bool,
    /// Requests to wake up, the newest first (`add_wait_queue`).
    pub(super) waiters: VecDeque<(RingId, u64)>,
}

impl Stream {
    pub(super) fn new(queue: Option<u32>) -> Self {
        Stream { queue, segments: VecDeque::new(), shutdown: false, waiters: VecDeque::new() }
    }
}

impl Spec {
    /// Over loopback in one fragment, through a bound queue in one for each buffer. What has gone
    /// before it fails stays.
    pub(super) fn send(&mut self, socket: SocketId, len: u32) -> Result<(), i64> {
        let s = usize::from(socket);
        if self.socks[s].shutdown {
            return Err(-EPIPE);
        }
        let mut left = len;
        while left > 0 {
            let niov = match self.bound_to(socket) {
                Some(ifq) => Some((ifq, self.packet(ifq).ok_or(-EAGAIN)?)),
                None => None,
            };
            let segment = Segment { len: if niov.is_some() { left.min(PAGE) } else { left }, niov };
            if self.socks[s].segments.len() == SEGMENTS {
                self.release(segment);
                return Err(-ENOSPC);
            }
            self.socks[s].segments.push_back(segment);
            self.wake(socket);
            left -= segment.len;
        }
        Ok(())
    }

    fn bound_to(&self, socket: SocketId) -> Option<IfqNo> {
        let queue = self.socks[usize::from(socket)].queue?;
        *self.queues.get(queue as usize)?
    }

    fn packet(&mut self, ifq: IfqNo) -> Option<usize> {
        let (idx, misused) = self.ifqs[ifq].packet();
        self.misused |= misused;
        idx
    }

    /// A fragment leaves the receive queue.
    pub(super) fn release(&mut self, segment: Segment) {
        if let Some((ifq, idx)) = segment.niov {
            self.ifqs[ifq].packet_done(idx);
        }
    }

    /// Requests that wait for the socket become work of their rings.
    pub(super) fn wake(&mut self, socket: SocketId) {
        for &(ring, request) in &self.socks[usize::from(socket)].waiters {
            self.rings[usize::from(ring)].queue_work(request);
        }
    }
}
