//! Executes one operation of a test on the kernel.

use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ifq_model::errno;
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::{Event, Op, RingId, RqWord, Source, Step, VarId};
use ifq_model::user::refill::{refill_push, refill_push_unchecked};

use super::arg::{self, Device, Pointed};
use super::device::Nic;
use super::late_page::LatePage;
use super::memory::{Area, HeldBuffer, IfqMem, poll_once};
use super::operand::{CLOSED_FD, close, id_of, mem_of};
use super::page_frames;
use super::pending::CompletionKind;
use super::run::{LiveRun, OpenRing, SharedRing, ThreadStep};
use super::values::{Ifq, Resource, StepResult};
use crate::abi::marker::Marker;
use crate::abi::syscall::ring::{Cqe, RecvZc};
use crate::abi::syscall::{self, NOWHERE, SharedMem};
use crate::abi::uapi::{self, SyncCancelReg};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LiveRun<'_> {
    /// Executes an operation in the calling thread. `None`: the run failed.
    pub(super) fn execute(&self, thread: usize, step: &Step) -> Option<StepResult> {
        let value = |var| self.operand(thread, var);
        let at = (thread, step);
        let bound = match step.op {
            Op::Register { ring, source, buffers, entries, modifiers } => {
                let (mem, area) = self.memory(source, buffers, entries, step, modifiers)?;
                self.without_cap(modifiers, || {
                    self.register(at, ring, source, entries, modifiers, (&mem, &area))
                })??
            }
            Op::Export { ring, ifq, modifiers } => {
                self.export(at, ring, &value(ifq)?, modifiers)?
            }
            Op::Import { ring, fd, modifiers } => {
                let fd = value(fd)?;
                self.without_cap(modifiers, || self.import(at, ring, &fd, modifiers))??
            }
            Op::Flush { ring, ifq, modifiers } => {
                let ifq = value(ifq)?;
                StepResult::status(self.ctrl(ring, &ifq, uapi::ZCRX_CTRL_FLUSH_RQ, &[], modifiers))
            }
            Op::AddArea { ring, ifq, buffers, modifiers } => {
                self.add_area(at, ring, &value(ifq)?, buffers, modifiers)?
            }
            Op::Arm { ring, ifq, event, modifiers } => {
                let bound = value(ifq)?;
                StepResult::status(self.arm(ring, ifq, &bound, event, modifiers))
            }
            Op::Mmap { ring, ifq } => StepResult::status(self.mmap(ring, &value(ifq)?)),
            Op::Exit { ring } => {
                self.something_closed();
                StepResult::status(self.exit(ring))
            }
            Op::Close { fd } => {
                self.something_closed();
                StepResult::status(close(&value(fd)?))
            }
            Op::Recv { ring, ifq, socket, len, modifiers } => {
                let ifq = value(ifq)?;
                let user_data = self.pending.add_request(socket, mem_of(&ifq));
                // The lock keeps the number from being used again before the kernel looks it up.
                let receiver = self.sockets[usize::from(socket)].receiver();
                let recv = RecvZc {
                    ifq: id_of(&ifq),
                    socket: receiver.as_ref().map_or(CLOSED_FD, AsRawFd::as_raw_fd),
                    len,
                    user_data,
                    multishot: !modifiers.has(ArgModifier::Oneshot),
                    poll_first: modifiers.has(ArgModifier::PollFirst),
                    msg_flags: u32::from(modifiers.has(ArgModifier::MsgFlags)),
                    addr: if modifiers.has(ArgModifier::Addr) { NOWHERE } else { 0 },
                };
                let raw = self.with_ring(ring, |ring| lock(&ring.queues).recv_zc(&recv));
                StepResult { raw, resource: Resource::Request(user_data) }
            }
            Op::Wait { ring } => self.wait(thread, ring),
            Op::Return { cqe, ifq, locked, checked } => {
                let bound = value(cqe)?;
                value(ifq)?;
                StepResult::status(self.return_buffer(thread, &bound, ifq, (locked, checked))?)
            }
            Op::Send { socket, len, layout } => {
                let before = |number| {
                    if self.forced {
                        syscall::mark(Marker::Packet(thread as u64, number));
                    }
                };
                let sent = self.sockets[usize::from(socket)].send(len, layout, &before);
                if sent == -i64::from(libc::ETIMEDOUT) && self.sends_again(socket) {
                    let why = "a packet did not arrive: the queue has no buffer, and the far end on a rig \
                               sends it again, so that a dropped packet cannot be shown";
                    self.values.fail(why.to_owned());
                }
                StepResult::status(sent)
            }
            Op::Shutdown { socket } => {
                StepResult::status(self.sockets[usize::from(socket)].shutdown())
            }
            Op::CloseSocket { socket } => {
                StepResult::status(self.sockets[usize::from(socket)].close_receiver())
            }
            Op::Reset { socket } => StepResult::status(self.sockets[usize::from(socket)].reset()),
            Op::Scribble { ifq, word, value: written } => {
                value(ifq)?;
                self.scribble(ifq, word, written)?;
                StepResult::status(0)
            }
            Op::Cancel { ring, request } => {
                // A step that was not submitted has no number that a request has.
                let user_data = match value(request)?.resource {
                    Resource::Request(user_data) => user_data,
                    _ => u64::MAX,
                };
                let cancel = SyncCancelReg { addr: user_data, ..SyncCancelReg::default() };
                StepResult::status(self.with_ring(ring, |ring| ring.fd.cancel(&cancel)))
            }
            Op::CancelSocket { ring, socket } => {
                let receiver = self.sockets[usize::from(socket)].receiver();
                let cancel = SyncCancelReg {
                    fd: receiver.as_ref().map_or(CLOSED_FD, AsRawFd::as_raw_fd),
                    flags: uapi::IORING_ASYNC_CANCEL_FD | uapi::IORING_ASYNC_CANCEL_ALL,
                    ..SyncCancelReg::default()
                };
                StepResult::status(self.with_ring(ring, |ring| ring.fd.cancel(&cancel)))
            }
            Op::CancelAll { ring } => {
                let flags = uapi::IORING_ASYNC_CANCEL_ANY;
                let cancel = SyncCancelReg { flags, ..SyncCancelReg::default() };
                StepResult::status(self.with_ring(ring, |ring| ring.fd.cancel(&cancel)))
            }
            Op::Enable { ring } => {
                StepResult::status(self.with_ring(ring, |ring| ring.fd.enable()))
            }
            Op::UnregisterNetdev => StepResult::status(self.nic()?.unregister()),
            Op::NetdevDown => StepResult::status(self.nic()?.set_running(false)),
            Op::NetdevUp => StepResult::status(self.nic()?.set_running(true)),
            Op::RestartQueue { queue } => {
                let nic = self.nic()?;
                StepResult::status(nic.restart(nic.queue_of(self.test, queue)))
            }
            Op::Clone { ring, from, ifq, modifiers } => {
                let source = value(ifq)?;
                let clone = || self.clone_ifq(at, (ring, from), &source, modifiers);
                self.without_cap(modifiers, clone)??
            }
            Op::Exec | Op::Die => {
                self.values.fail("an operation that live kernels do not support".to_owned());
                return None;
            }
        };
        Some(bound)
    }

    /// Whether the far end of a socket is a socket of the kernel behind a device.
    fn sends_again(&self, socket: ifq_model::test::SocketId) -> bool {
        let over_device = self.test.sockets[usize::from(socket)].queue.is_some();
        let equipment = self.nic.as_ref().map(|nic| nic.equipment());
        over_device && equipment.is_some_and(|equipment| equipment.segment.is_some())
    }

    /// The NIC. `None`: there is none, and the run failed.
    fn nic(&self) -> Option<&Nic> {
        if self.nic.is_none() {
            self.values.fail("the machine has no NIC".to_owned());
        }
        self.nic.as_deref()
    }

    pub(super) fn ring(&self, ring: RingId) -> Option<SharedRing> {
        lock(&self.rings[usize::from(ring)]).clone()
    }

    fn with_ring(&self, ring: RingId, f: impl FnOnce(&OpenRing) -> i64) -> i64 {
        match self.ring(ring) {
            Some(ring) => f(&ring),
            None => errno_of(libc::EBADF),
        }
    }

    /// Calls a function, without `CAP_NET_ADMIN` if the modifier says so. `None`: the run failed.
    fn without_cap<T>(&self, modifiers: ArgModifiers, f: impl FnOnce() -> T) -> Option<T> {
        if !modifiers.has(ArgModifier::NoCap) {
            return Some(f());
        }
        syscall::without_net_admin(f)
            .map_err(|error| self.values.fail(format!("dropping CAP_NET_ADMIN: {error}")))
            .ok()
    }

    /// Allocates the memory of a `register` step. It stays mapped until the run ends.
    fn memory(
        &self,
        source: Source,
        buffers: u32,
        entries: u32,
        step: &Step,
        modifiers: ArgModifiers,
    ) -> Option<(Arc<IfqMem>, Arc<Area>)> {
        let kernel_region = modifiers.has(ArgModifier::KernelRegion);
        // Buffers of several pages fit into contiguous memory, which the model does not have.
        let big = self.nic.is_some() && modifiers.has(ArgModifier::RxBufBig);
        let device = self.device(source).filter(|_| big);
        let made = match device {
            Some(device) if page_frames::are_translated(device.index) => {
                Err("an IOMMU makes any pages contiguous for this NIC".to_owned())
            }
            Some(_) => IfqMem::without_contiguous_pages(buffers, entries, kernel_region),
            None => IfqMem::new(buffers, entries, kernel_region)
                .map_err(|error| format!("memory for an ifq: {error}")),
        };
        let (mem, area) = made.map_err(|why| self.values.fail(why)).ok()?;
        if modifiers.has(ArgModifier::StaleRing) && !kernel_region {
            mem.make_stale();
        }
        let mem = Arc::new(mem);
        lock(&self.memory).push((step.bind, Arc::clone(&mem)));
        Some((mem, area))
    }

    fn register(
        &self,
        at: ThreadStep<'_>,
        ring: RingId,
        source: Source,
        entries: u32,
        modifiers: ArgModifiers,
        (mem, area): (&Arc<IfqMem>, &Area),
    ) -> Option<StepResult> {
        let Some(shared) = self.ring(ring) else {
            return Some(StepResult::status(errno_of(libc::EBADF)));
        };
        let user_data =
            self.pending.add_registration(modifiers.has(ArgModifier::Events), at.1.bind, ring);
        let mut pointed = Pointed::default();
        let mut reg = arg::registration(
            self.device(source),
            entries,
            modifiers,
            (mem, area),
            user_data,
            &mut pointed,
        );
        let result = if modifiers.has(ArgModifier::ArgFault) {
            shared.fd.register(None)
        } else {
            let pinned = [(LatePage::Area, area.reg().addr), (LatePage::Region, mem.region.addr())];
            self.with_pinned(at, &pinned, &mut reg, |reg| shared.fd.register(Some(reg)))?
        };
        Some(match result {
            Ok(reg) => {
                // The cell is empty: this memory is registered once.
                mem.offsets.get_or_init(|| reg.offsets);
                mem.add_ring(ring, reg.id);
                let ifq = Ifq { id: reg.id, mem: Arc::clone(mem) };
                StepResult { raw: i64::from(reg.id), resource: Resource::Ifq(ifq) }
            }
            Err(errno) => StepResult::status(errno),
        })
    }

    /// The queue that a registration names.
    fn device(&self, source: Source) -> Option<Device> {
        let Source::Queue(queue) = source else { return None };
        Some(match &self.nic {
            Some(nic) => Device { index: nic.index(), queue: nic.queue_of(self.test, queue) },
            // Such a registration fails before it needs the device.
            None => Device { index: arg::NO_DEVICE, queue },
        })
    }

    /// A control operation: 0 or -errno. `words`: the first words of its argument.
    fn ctrl(
        &self,
        ring: RingId,
        ifq: &StepResult,
        op: u32,
        words: &[u32],
        modifiers: ArgModifiers,
    ) -> i64 {
        let mut ctrl = arg::ctrl(id_of(ifq), op, words, modifiers);
        let readable = !modifiers.has(ArgModifier::ArgFault);
        let nr_args = u32::from(modifiers.has(ArgModifier::NrArgs));
        self.with_ring(ring, |ring| ring.fd.ctrl(readable.then_some(&mut ctrl), nr_args))
    }

    fn add_area(
        &self,
        at: ThreadStep<'_>,
        ring: RingId,
        bound: &StepResult,
        buffers: u32,
        modifiers: ArgModifiers,
    ) -> Option<StepResult> {
        let fail = |error| self.values.fail(format!("memory for an area: {error}"));
        // An ifq that was never registered has no memory; use new memory.
        let mem = match mem_of(bound) {
            Some(mem) => mem,
            None => Arc::new(IfqMem::new(1, 1, false).map_err(fail).ok()?.0),
        };
        let area = mem.add_area(buffers).map_err(fail).ok()?;
        let address = match modifiers.has(ArgModifier::AreaFault) {
            true => NOWHERE,
            false => area.describe(&arg::area_reg(&area, modifiers)),
        };
        let words = [address as u32, (address >> 32) as u32];
        // The kernel writes the area token into the description, unless that is unmapped.
        let call = || self.ctrl(ring, bound, uapi::ZCRX_CTRL_ADD_AREA, &words, modifiers);
        let ret = match modifiers.has(ArgModifier::AreaFault) {
            true => call(),
            false => {
                let written = || self.with_protected_page(at, LatePage::Argument, address, call);
                self.with_protected_page(at, LatePage::Area, area.reg().addr, written)??
            }
        };
        if ret < 0 {
            mem.drop_area(&area);
        }
        Some(StepResult::status(ret))
    }

    fn arm(
        &self,
        ring: RingId,
        ifq: VarId,
        bound: &StepResult,
        event: Event,
        modifiers: ArgModifiers,
    ) -> i64 {
        self.pending.add_armed(self.test.origin(ifq), event);
        let words = [arg::event_type(event)];
        self.ctrl(ring, bound, uapi::ZCRX_CTRL_ARM_EVENT, &words, modifiers)
    }

    /// Maps and unmaps the region of the refill ring. The kernel maps only the whole region.
    fn mmap(&self, ring: RingId, bound: &StepResult) -> i64 {
        let (id, len) = (id_of(bound), mem_of(bound).map_or(syscall::PAGE, |mem| mem.region.len()));
        self.with_ring(ring, |ring| match ring.fd.map_region(id, len) {
            Ok(_mapped) => 0,
            Err(error) => errno_of(error.raw_os_error().unwrap_or(libc::EIO)),
        })
    }

    /// Closes the ring. The last reference unmaps it and closes its descriptor.
    fn exit(&self, ring: RingId) -> i64 {
        let open = lock(&self.rings[usize::from(ring)]).take();
        // Other threads look at the ring meanwhile.
        open.map_or(errno_of(libc::EBADF), |_open| 0)
    }

    fn wait(&self, thread: usize, ring: RingId) -> StepResult {
        let Some(shared) = self.ring(ring) else {
            return StepResult::status(errno_of(libc::EBADF));
        };
        let mut wait = self.idle.begin(thread);
        let result = loop {
            match lock(&shared.queues).wait(self.idle.tick()) {
                Ok(None) if self.idle.timed_out(thread, &mut wait) => break Ok(None),
                Ok(None) => {}
                other => break other,
            }
        };
        self.idle.end(thread);
        match result {
            Ok(Some(cqe)) => self.completion(ring, &cqe),
            Ok(None) => StepResult::status(errno_of(libc::ETIME)),
            Err(errno) => StepResult::status(errno),
        }
    }

    /// The memory of the `register` step that an ifq comes from, even if that step failed.
    fn memory_of(&self, ifq: VarId) -> Option<Arc<IfqMem>> {
        let origin = self.test.origin(ifq)?;
        let memory = lock(&self.memory);
        memory.iter().find(|(bind, _)| *bind == Some(origin)).map(|(_, mem)| Arc::clone(mem))
    }

    /// Calls a function with the region of a refill ring. A region that the kernel allocated is mapped
    /// meanwhile, through an open ring that has the ifq: a permanent mapping would keep the ring alive.
    /// `None`: no ring can map it, and the run failed.
    fn with_region<T>(&self, mem: &IfqMem, f: impl FnOnce(&SharedMem) -> T) -> Option<T> {
        let rings = mem.mapped_by();
        if rings.is_empty() {
            return Some(f(&mem.region));
        }
        let open = rings.into_iter().find_map(|(ring, id)| Some((self.ring(ring)?, id)));
        let mapped = match open {
            Some((ring, id)) => ring.fd.map_region(id, mem.region.len()),
            None => {
                let why =
                    "the region of the kernel is mapped through a ring, and all rings are closed";
                self.values.fail(why.to_owned());
                return None;
            }
        };
        match mapped {
            Ok(mapped) => Some(f(&mapped)),
            Err(error) => {
                self.values.fail(format!("mapping the region of the kernel: {error}"));
                None
            }
        }
    }

    /// Returns the buffer of a completion through the refill ring of the ifq. `None`: the run failed.
    fn return_buffer(
        &self,
        thread: usize,
        cqe: &StepResult,
        ifq: VarId,
        (locked, checked): (bool, bool),
    ) -> Option<i64> {
        let Resource::Buffer(buffer) = &cqe.resource else {
            return Some(-errno::ENODATA);
        };
        if buffer.first_return() && !buffer.intact() {
            self.buffer_was_overwritten();
        }
        let Some(mem) = self.memory_of(ifq) else {
            return Some(-errno::ENODATA);
        };
        let _guard = locked.then(|| lock(&mem.lock));
        let off = buffer.off & !(syscall::PAGE as u64 - 1);
        let push = |region: &SharedMem| {
            let ring = mem.refill_ring(region);
            let ring = if self.forced { ring.announced(thread as u64) } else { ring };
            match checked {
                true => poll_once(refill_push(&ring, off)),
                false => poll_once(refill_push_unchecked(&ring, off)).map(Ok),
            }
        };
        Some(match self.with_region(&mem, push)? {
            Some(Ok(())) => 0,
            Some(Err(errno)) => errno,
            None => errno_of(libc::EIO),
        })
    }

    fn scribble(&self, ifq: VarId, word: RqWord, value: u64) -> Option<()> {
        if let Some(mem) = self.memory_of(ifq) {
            self.with_region(&mem, |region| mem.refill_ring(region).scribble(word, value))?;
        }
        Some(())
    }

    /// Checks a completion against the pending requests and the sent bytes. Its result holds the buffer.
    fn completion(&self, ring: RingId, cqe: &Cqe) -> StepResult {
        let raw = i64::from(cqe.res);
        let (socket, mem) = match self.pending.completion(ring, cqe) {
            Ok(CompletionKind::Request { socket, mem }) => (socket, mem),
            Ok(CompletionKind::Event) => return StepResult::status(raw),
            Err(problem) => {
                self.problem(problem);
                return StepResult::status(raw);
            }
        };
        if !cqe.has_buffer() {
            return StepResult::status(raw);
        }
        let len = cqe.res.unsigned_abs();
        let connection = &self.sockets[usize::from(socket)];
        let found = mem
            .iter()
            .flat_map(|mem| mem.read(cqe.off, len as usize))
            .find_map(|(area, bytes)| Some((area, connection.accept(&bytes)?)));
        match found {
            Some((area, position)) => {
                let buffer = HeldBuffer::new(area, cqe.off, len, socket, position);
                StepResult { raw, resource: Resource::Buffer(Arc::new(buffer)) }
            }
            None => StepResult::status(-errno::EBADMSG),
        }
    }
}

fn errno_of(errno: i32) -> i64 {
    -i64::from(errno)
}
