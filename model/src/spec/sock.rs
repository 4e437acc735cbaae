//! A TCP connection: what was sent and not yet received.

use std::collections::VecDeque;

use super::{At, IfqNo, SEGMENTS, Spec};
use crate::errno::{EAGAIN, ENODEV, ENOSPC, EPIPE};
use crate::test::{Event, RingId, SocketId};

/// Bytes in a buffer.
pub(super) const PAGE: u32 = 4096;

/// A fragment of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Bytes that are not received yet.
    pub(super) len: u32,
    /// The buffer that a device has put it into; `None`: ordinary pages.
    pub(super) niov: Option<(IfqNo, At)>,
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
        if self.cut_off(socket) {
            return Err(-ENODEV);
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

    /// The peer's end of the stream arrives like data does.
    pub(super) fn shutdown(&mut self, socket: SocketId) -> Result<(), i64> {
        if self.cut_off(socket) {
            return Err(-ENODEV);
        }
        self.socks[usize::from(socket)].shutdown = true;
        self.wake(socket);
        Ok(())
    }

    /// The device that the socket's packets arrive on is gone.
    fn cut_off(&self, socket: SocketId) -> bool {
        self.device_gone && self.socks[usize::from(socket)].queue.is_some()
    }

    fn bound_to(&self, socket: SocketId) -> Option<IfqNo> {
        let queue = self.socks[usize::from(socket)].queue?;
        *self.queues.get(queue as usize)?
    }

    fn packet(&mut self, ifq: IfqNo) -> Option<At> {
        let (at, misused) = self.ifqs[ifq].packet(self.revision);
        self.misused |= misused;
        if at.is_none() {
            self.notify(ifq, Event::AllocFail);
        }
        at
    }

    /// A fragment leaves the receive queue.
    pub(super) fn release(&mut self, segment: Segment) {
        if let Some((ifq, at)) = segment.niov {
            self.ifqs[ifq].packet_done(at);
        }
    }

    /// Requests that wait for the socket become work of their rings.
    pub(super) fn wake(&mut self, socket: SocketId) {
        for &(ring, request) in &self.socks[usize::from(socket)].waiters {
            self.rings[usize::from(ring)].queue_request(request);
        }
    }
}
