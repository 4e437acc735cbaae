//! One operation of a test, done on the kernel.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ifq_model::errno;
use ifq_model::scenario::{Op, RingId, SocketId, Step, VarId};
use ifq_model::user::refill::refill_push;

use super::memory::{Held, IfqMem, at_once};
use super::run::World;
use super::vars::{Bound, Exported, Ifq, Thing};
use crate::ring::{Cqe, Ring};
use crate::sys;

/// A ring of the test. Whoever uses it holds a reference, as `io_uring_enter(2)` does.
pub(super) type SharedRing = Arc<Mutex<Ring>>;

/// A descriptor that is open in no process.
const CLOSED_FD: RawFd = -1;
/// An id that no ifq has.
const NO_ID: u32 = u32::MAX;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World<'_> {
    /// Does an operation in the calling thread. `None`: the machine cannot go on.
    pub(super) fn operate(&self, thread: usize, step: &Step) -> Option<Bound> {
        let bound = match step.op {
            Op::Register { ring, buffers, entries, .. } => {
                return self.register(ring, buffers, entries, step.bind);
            }
            Op::Export { ring, ifq, .. } => self.export(ring, &self.vars.wait(ifq)?),
            Op::Import { ring, fd, .. } => self.import(ring, &self.vars.wait(fd)?),
            Op::Flush { ring, ifq, .. } => {
                let id = id_of(&self.vars.wait(ifq)?);
                Bound::status(self.with_ring(ring, |ring| ring.flush_rq(id)))
            }
            Op::Exit { ring } => Bound::status(self.exit(ring)),
            Op::Close { fd } => Bound::status(close(&self.vars.wait(fd)?)),
            Op::Recv { ring, ifq, socket, len, .. } => self.recv(ring, ifq, socket, len)?,
            Op::Wait { ring } => self.wait(thread, ring),
            Op::Return { cqe, ifq, locked } => {
                let bound = self.vars.wait(cqe)?;
                self.vars.wait(ifq)?;
                Bound::status(self.give_back(&bound, ifq, locked))
            }
            Op::Send { socket, len } => Bound::status(self.sockets[usize::from(socket)].send(len)),
            Op::Shutdown { socket } => Bound::status(self.sockets[usize::from(socket)].shutdown()),
            Op::Clone { .. }
            | Op::AddArea { .. }
            | Op::Arm { .. }
            | Op::Mmap { .. }
            | Op::UnregisterNetdev
            | Op::Scribble { .. } => {
                self.vars.fail("an operation that is not run on live kernels".to_owned());
                return None;
            }
        };
        Some(bound)
    }

    fn ring(&self, ring: RingId) -> Option<SharedRing> {
        lock(&self.rings[usize::from(ring)]).clone()
    }

    fn with_ring(&self, ring: RingId, f: impl FnOnce(&mut Ring) -> i64) -> i64 {
        match self.ring(ring) {
            Some(ring) => f(&mut lock(&ring)),
            None => errno_of(libc::EBADF),
        }
    }

    fn register(
        &self,
        ring: RingId,
        buffers: u32,
        entries: u32,
        bind: Option<VarId>,
    ) -> Option<Bound> {
        let mem = match IfqMem::new(buffers, entries) {
            Ok(mem) => Arc::new(mem),
            Err(error) => {
                self.vars.fail(format!("memory for an ifq: {error}"));
                return None;
            }
        };
        // The pages stay mapped until the run is over, whatever the test closes.
        lock(&self.memory).push((bind, Arc::clone(&mem)));
        let Some(ring) = self.ring(ring) else {
            return Some(Bound::status(errno_of(libc::EBADF)));
        };
        let result = lock(&ring).register_nodev(&mem.area, &mem.region, entries);
        Some(match result {
            Ok(reg) => {
                // Set once: this memory is registered once.
                mem.offsets.get_or_init(|| reg.offsets);
                let ifq = Ifq { id: reg.id, mem };
                Bound { raw: i64::from(reg.id), thing: Thing::Ifq(ifq) }
            }
            Err(errno) => Bound::status(errno),
        })
    }

    fn export(&self, ring: RingId, bound: &Bound) -> Bound {
        let Some(ring) = self.ring(ring) else {
            return Bound::status(errno_of(libc::EBADF));
        };
        let exported = lock(&ring).export(id_of(bound));
        let fd = match exported {
            Ok(fd) => fd,
            Err(errno) => return Bound::status(errno),
        };
        match (sys::adopt_fd(fd), &bound.thing) {
            (Ok(owned), Thing::Ifq(ifq)) => {
                let fd_of = Exported { fd: Mutex::new(Some(Arc::new(owned))), ifq: ifq.clone() };
                Bound { raw: i64::from(fd), thing: Thing::Fd(Arc::new(fd_of)) }
            }
            // The kernel exported what no registration had given us.
            _ => Bound::status(-errno::EBADMSG),
        }
    }

    fn import(&self, ring: RingId, bound: &Bound) -> Bound {
        let Some(ring) = self.ring(ring) else {
            return Bound::status(errno_of(libc::EBADF));
        };
        let (fd, ifq): (Option<Arc<OwnedFd>>, Option<&Ifq>) = match &bound.thing {
            Thing::Fd(exported) => (lock(&exported.fd).clone(), Some(&exported.ifq)),
            _ => (None, None),
        };
        let number = fd.as_ref().map_or(CLOSED_FD, |fd| fd.as_raw_fd());
        let imported = lock(&ring).import(number);
        match (imported, ifq) {
            (Ok(reg), Some(ifq)) => {
                let ifq = Ifq { id: reg.id, mem: Arc::clone(&ifq.mem) };
                Bound { raw: i64::from(reg.id), thing: Thing::Ifq(ifq) }
            }
            (Ok(_), None) => Bound::status(-errno::EBADMSG),
            (Err(errno), _) => Bound::status(errno),
        }
    }

    /// Closes the ring: its mappings and its descriptor go with the last reference.
    fn exit(&self, ring: RingId) -> i64 {
        match lock(&self.rings[usize::from(ring)]).take() {
            Some(ring) => {
                drop(ring);
                0
            }
            None => errno_of(libc::EBADF),
        }
    }

    fn recv(&self, ring: RingId, ifq: VarId, socket: SocketId, len: u32) -> Option<Bound> {
        let bound = self.vars.wait(ifq)?;
        let user_data = {
            let mut requests = lock(&self.requests);
            let mem = match &bound.thing {
                Thing::Ifq(ifq) => Some(Arc::clone(&ifq.mem)),
                _ => None,
            };
            requests.push((socket, mem));
            requests.len() as u64 - 1
        };
        let near = self.sockets[usize::from(socket)].near_fd();
        let id = id_of(&bound);
        let raw = self.with_ring(ring, |ring| ring.recv_zc(id, near, len, user_data));
        Some(Bound::status(raw))
    }

    fn wait(&self, thread: usize, ring: RingId) -> Bound {
        let Some(ring) = self.ring(ring) else {
            return Bound::status(errno_of(libc::EBADF));
        };
        self.quiet.set_waiting(thread, true);
        let result = loop {
            let Some(left) = self.quiet.remaining(thread) else {
                break Ok(None);
            };
            match lock(&ring).wait(left) {
                Ok(None) => {}
                other => break other,
            }
        };
        self.quiet.set_waiting(thread, false);
        match result {
            Ok(Some(cqe)) => self.completion(&cqe),
            Ok(None) => Bound::status(errno_of(libc::ETIME)),
            Err(errno) => Bound::status(errno),
        }
    }

    /// The buffer of a completion goes into the refill ring of the ifq that `ifq` goes back to,
    /// whether the kernel knows that ring or not.
    fn give_back(&self, cqe: &Bound, ifq: VarId, locked: bool) -> i64 {
        let Thing::Buffer(held) = &cqe.thing else {
            return -errno::ENODATA;
        };
        if held.first_return() && !held.intact() {
            return -errno::EBADMSG;
        }
        let origin = self.test.origin(ifq);
        let memory = lock(&self.memory).iter().find(|(bind, _)| *bind == origin).cloned();
        let Some((_, mem)) = memory.filter(|_| origin.is_some()) else {
            return -errno::ENODATA;
        };
        let _guard = locked.then(|| lock(&mem.lock));
        let buffer = held.off & !(sys::PAGE as u64 - 1);
        match at_once(refill_push(&mem.refill_ring(), buffer)) {
            Some(Ok(())) => 0,
            Some(Err(errno)) => errno,
            None => errno_of(libc::EIO),
        }
    }

    /// Checks the bytes of a completion and remembers its buffer.
    fn completion(&self, cqe: &Cqe) -> Bound {
        let raw = i64::from(cqe.res);
        if !cqe.has_buffer() {
            return Bound::status(raw);
        }
        let mismatch = Bound::status(-errno::EBADMSG);
        let request = usize::try_from(cqe.user_data)
            .ok()
            .and_then(|at| lock(&self.requests).get(at).cloned());
        let Some((socket, Some(mem))) = request else {
            return mismatch;
        };
        let at = (cqe.off & crate::abi::AREA_OFFSET_MASK) as usize;
        let len = cqe.res.unsigned_abs();
        let position = mem
            .area
            .read(at, len as usize)
            .and_then(|bytes| self.sockets[usize::from(socket)].accept(&bytes));
        match position {
            Some(position) => {
                let held = Held::new(mem, cqe.off, len, socket, position);
                Bound { raw, thing: Thing::Buffer(Arc::new(held)) }
            }
            None => mismatch,
        }
    }
}

/// The id that the kernel gets: of an ifq that was never made, one that it does not know.
fn id_of(bound: &Bound) -> u32 {
    match &bound.thing {
        Thing::Ifq(ifq) => ifq.id,
        _ => NO_ID,
    }
}

fn close(bound: &Bound) -> i64 {
    match &bound.thing {
        Thing::Fd(exported) if lock(&exported.fd).take().is_some() => 0,
        _ => errno_of(libc::EBADF),
    }
}

fn errno_of(errno: i32) -> i64 {
    -i64::from(errno)
}
