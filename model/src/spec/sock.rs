//! A TCP connection: the bytes that were sent and not yet received.

use std::collections::VecDeque;

use super::{IfqIndex, NiovId, Spec};
use crate::errno::{EAGAIN, EBADF, ENODEV, EPIPE};
use crate::test::{Event, Layout, RingId, SocketId};

/// Bytes in a buffer.
pub(super) const PAGE: u32 = 4096;

/// Parts of a packet at most.
const MAX_PARTS: usize = 17;

/// A part of a packet in the receive queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Bytes that no request has received yet.
    pub(super) len: u32,
    /// The buffer that the device filled; `None`: ordinary pages.
    pub(super) niov: Option<(IfqIndex, NiovId)>,
}

/// A packet in the receive queue.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// The parts that are not received, or not wholly.
    pub(super) parts: VecDeque<Part>,
    /// Buffers of received parts: the packet keeps them until it is received wholly.
    pub(super) done: Vec<(IfqIndex, NiovId)>,
    /// Number of all its parts, received or not.
    nr: usize,
    /// Whether its bytes are in buffers.
    in_buffers: bool,
}

impl Segment {
    fn new(parts: impl IntoIterator<Item = Part>) -> Self {
        let parts: VecDeque<Part> = parts.into_iter().collect();
        let in_buffers = parts.iter().any(|part| part.niov.is_some());
        Segment { nr: parts.len(), parts, done: Vec::new(), in_buffers }
    }

    /// Whether the kernel makes this packet the end of an unread one.
    fn joins(&self, unread: &Segment) -> bool {
        self.in_buffers == unread.in_buffers && self.nr + unread.nr <= MAX_PARTS
    }

    /// Bytes that no request has received yet.
    pub(super) fn len(&self) -> u32 {
        self.parts.iter().map(|part| part.len).sum()
    }
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
    /// The peer sends bytes: over loopback as one packet, through a queue as the layout says. Packets that were
    /// queued before a failure stay queued; of a packet with several buffers nothing is queued.
    pub(super) fn send(&mut self, socket: SocketId, len: u32, layout: Layout) -> Result<(), i64> {
        let s = usize::from(socket);
        if self.socks[s].shutdown {
            return Err(-EPIPE);
        }
        if self.device_is_gone(socket) {
            return Err(-ENODEV);
        }
        match layout {
            Layout::Pages if self.socks[s].queue.is_none() => {
                self.arrive(socket, Segment::new([Part { len, niov: None }]));
            }
            Layout::Pages => {
                for len in layout.parts(len, PAGE) {
                    // A failed packet may have stopped the queue.
                    let niov = self.buffer(socket)?;
                    self.arrive(socket, Segment::new([Part { len, niov }]));
                }
            }
            Layout::Frags(_) => {
                let mut parts = Vec::new();
                for len in layout.parts(len, PAGE) {
                    match self.buffer(socket) {
                        Ok(niov) => parts.push(Part { len, niov }),
                        Err(errno) => {
                            let taken = parts.into_iter().filter_map(|part: Part| part.niov);
                            taken.for_each(|(ifq, at)| self.ifqs[ifq].packet_done(at));
                            return Err(errno);
                        }
                    }
                }
                self.arrive(socket, Segment::new(parts));
            }
            Layout::Packets(nr) => {
                let niov = self.buffer(socket)?;
                if let Some((ifq, at)) = niov {
                    self.ifqs[ifq].packets_share(at, nr);
                }
                for len in layout.parts(len, PAGE) {
                    self.arrive(socket, Segment::new([Part { len, niov }]));
                }
            }
        }
        Ok(())
    }

    /// A buffer for a packet on the socket's queue; `None` if the queue has ordinary pages.
    fn buffer(&mut self, socket: SocketId) -> Result<Option<(IfqIndex, NiovId)>, i64> {
        let Some(ifq) = self.ifq_of_queue(socket) else { return Ok(None) };
        Ok(Some((ifq, self.packet(ifq).ok_or(-EAGAIN)?)))
    }

    /// Queues a packet. Over a queue it may become part of the last unread one, which then keeps the buffers of both
    /// until it is received wholly (`tcp_try_coalesce`).
    fn arrive(&mut self, socket: SocketId, segment: Segment) {
        let sock = &mut self.socks[usize::from(socket)];
        let on_queue = sock.queue.is_some();
        match sock.segments.back_mut() {
            Some(last) if on_queue && segment.joins(last) => {
                last.parts.extend(segment.parts);
                last.nr += segment.nr;
            }
            _ => sock.segments.push_back(segment),
        }
        self.wake(socket);
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

    /// Frees a packet that has left the receive queue.
    pub(super) fn release(&mut self, segment: Segment) {
        let left = segment.parts.into_iter().filter_map(|part| part.niov);
        for (ifq, at) in segment.done.into_iter().chain(left) {
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
