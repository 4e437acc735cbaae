//! What a request receives: packet by packet, part by part, into completions.

use super::{Completion, MAX_FRAGMENTS, RecvProgress, Request};
use crate::errno::{EAGAIN, EFAULT, ENOMEM, ENOSPC};
use crate::spec::sock::{PAGE, Part, Segment};
use crate::spec::{DeliveredBuffer, IfqIndex, NiovId, Spec};
use crate::test::{Event, RingId};

impl Spec {
    /// Receives fragments until the socket is empty, the request has reached its limit, or a fragment
    /// cannot be received.
    pub(super) fn receive_fragments(
        &mut self,
        ring: RingId,
        request: &Request,
        progress: &mut RecvProgress,
    ) -> Result<(), i64> {
        let s = usize::from(request.socket);
        let limit = if request.len == 0 { u32::MAX } else { request.len };
        while progress.bytes < limit
            && let Some(length) = self.socks[s].segments.front().map(Segment::len)
        {
            progress.fragments += 1;
            if progress.fragments > MAX_FRAGMENTS + 1 {
                return Err(-EAGAIN);
            }
            let want = length.min(limit - progress.bytes);
            let taken = self.receive_segment(ring, request, want);
            progress.stopped_early |= taken != Ok(want);
            let taken = taken?;
            progress.bytes += taken;
            if taken == length
                && let Some(segment) = self.socks[s].segments.pop_front()
            {
                self.release(segment);
            }
        }
        Ok(())
    }

    /// Receives up to `want` bytes of the first packet, part by part, until one cannot be received wholly.
    fn receive_segment(&mut self, ring: RingId, request: &Request, want: u32) -> Result<u32, i64> {
        let (s, mut taken) = (usize::from(request.socket), 0);
        while taken < want
            && let Some(&part) = self.socks[s].segments[0].parts.front()
        {
            let wanted = part.len.min(want - taken);
            let received = match self.receive_fragment(ring, request.ifq, part, wanted) {
                Err(errno) if taken == 0 => return Err(errno),
                Err(_) => break,
                Ok(received) => received,
            };
            taken += received;
            let segment = &mut self.socks[s].segments[0];
            if received == part.len {
                segment.parts.pop_front();
                segment.done.extend(part.niov);
            } else {
                segment.parts[0].len -= received;
            }
            if received != wanted {
                break;
            }
        }
        Ok(taken)
    }

    /// Receives up to `want` bytes of a part of a packet. Bytes in a device's buffer are delivered in place
    /// if the buffer belongs to the request's ifq; other bytes are copied, one buffer at a time.
    fn receive_fragment(
        &mut self,
        ring: RingId,
        ifq: IfqIndex,
        part: Part,
        want: u32,
    ) -> Result<u32, i64> {
        let Some((owner, at)) = part.niov else {
            let copied = self.copy(ring, ifq, want);
            if copied.is_ok() {
                self.notify(ifq, Event::Copy);
            }
            return copied;
        };
        if owner != ifq {
            return Err(-EFAULT);
        }
        if !self.rings[usize::from(ring)].room(true) {
            return Err(-ENOSPC);
        }
        self.deliver(ring, ifq, at, want);
        Ok(want)
    }

    fn copy(&mut self, ring: RingId, ifq: IfqIndex, want: u32) -> Result<u32, i64> {
        let mut copied = 0;
        while copied < want {
            let Some(at) = self.ifqs[ifq].take_free() else {
                return if copied == 0 { Err(-ENOMEM) } else { Ok(copied) };
            };
            if !self.rings[usize::from(ring)].room(true) {
                self.ifqs[ifq].give_free(at);
                return if copied == 0 { Err(-ENOSPC) } else { Ok(copied) };
            }
            let n = PAGE.min(want - copied);
            self.deliver(ring, ifq, at, n);
            copied += n;
        }
        Ok(copied)
    }

    fn deliver(&mut self, ring: RingId, ifq: IfqIndex, at: NiovId, len: u32) {
        self.deliveries += 1;
        let buffer = DeliveredBuffer { ifq, at, delivery: self.deliveries };
        self.ifqs[ifq].deliver(buffer);
        let completion = Completion { res: i64::from(len), buffer: Some(buffer), entries: 0 };
        self.rings[usize::from(ring)].post(completion);
    }
}
