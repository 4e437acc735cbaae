//! An ifq's users: registration, import, clone, export, control operations, and teardown.

use super::{AREAS, IfqIndex, Spec};
use crate::errno::{EBADF, EBADFD, EEXIST, EINVAL, ENODEV, ENOMEM, ENXIO, EOPNOTSUPP, ERANGE};
use crate::test::arg_modifier::{ArgModifier, ArgModifiers};
use crate::test::{Event, RingId, Source, VarId};

impl Spec {
    /// Registers the ifq that the caller has created. On failure the ifq has no users.
    pub(super) fn register(
        &mut self,
        ring: RingId,
        source: Source,
        entries: u32,
        modifiers: ArgModifiers,
    ) -> Result<i64, i64> {
        self.check_register(ring, source, entries, modifiers)?;
        let new = self.ifqs.len() - 1;
        self.opened(ring)?;
        if modifiers.has(ArgModifier::RegionSmall) {
            return Err(-EINVAL);
        }
        self.check_device_and_area(source, modifiers)?;
        if let Source::Queue(queue) = source {
            let bound = self.queues.get_mut(queue as usize).ok_or(-ERANGE)?;
            if bound.is_some() {
                return Err(-EEXIST);
            }
            *bound = Some(new);
            self.ifqs[new].device = true;
            if !self.device_down {
                self.ifqs[new].open_queue();
            }
        }
        let ifq = &mut self.ifqs[new];
        ifq.users = 1;
        ifq.owner = Some(ring);
        ifq.kernel_region = modifiers.has(ArgModifier::KernelRegion);
        ifq.master = modifiers.has(ArgModifier::Events).then_some(ring);
        Ok(self.open(ring)?.take_id(new) as i64)
    }

    /// On a revision with clones, the import flag means clone, and an exported descriptor is not a
    /// ring's.
    pub(super) fn import(
        &mut self,
        ring: RingId,
        fd: i64,
        modifiers: ArgModifiers,
    ) -> Result<i64, i64> {
        if self.revision.has_clone() {
            // The descriptor of a ring: a clone of its ifq with id 0.
            return match u8::try_from(fd).ok().filter(|from| usize::from(*from) < self.rings.len())
            {
                Some(from) => self.clone_ifq(ring, from, 0, modifiers),
                None => self.check_clone(ring, modifiers).and(Err(-EBADF)),
            };
        }
        self.check_import(ring, modifiers)?;
        let found = self.box_file(fd).and_then(|file| *file).ok_or(-EBADF)?;
        self.add_user(ring, found)
    }

    /// On a revision without clones, the clone flag means import, and a ring's descriptor is not an
    /// exported file.
    pub(super) fn clone_ifq(
        &mut self,
        ring: RingId,
        from: RingId,
        id: i64,
        modifiers: ArgModifiers,
    ) -> Result<i64, i64> {
        if !self.revision.has_clone() {
            self.check_import(ring, modifiers)?;
            return Err(if id == 0 { -EBADF } else { -EINVAL });
        }
        self.check_clone(ring, modifiers)?;
        let source = self.opened(from)?.lookup(id);
        if from == ring {
            return Err(-EBADFD);
        }
        let source = source.ok_or(-EINVAL)?;
        // v2 refuses a proxy.
        let proxies = self.revision.has_proxies() && self.revision.clone_checks_source();
        if proxies && self.ifqs[source].owner != Some(from) {
            return Err(-EINVAL);
        }
        self.add_user(ring, source)
    }

    /// Allocates an id for an ifq in a ring's table.
    fn add_user(&mut self, ring: RingId, ifq: IfqIndex) -> Result<i64, i64> {
        let id = self.open(ring)?.take_id(ifq);
        self.ifqs[ifq].users += 1;
        Ok(id as i64)
    }

    /// The ifq of a control operation, after the checks of its arguments.
    pub(super) fn ctrl(
        &mut self,
        ring: RingId,
        ifq: VarId,
        modifiers: ArgModifiers,
    ) -> Result<IfqIndex, i64> {
        let id = self.var(ifq).result;
        self.check_ctrl(ring, id, modifiers)?;
        self.opened(ring)?.lookup(id).ok_or(-ENXIO)
    }

    pub(super) fn export(&mut self, ifq: IfqIndex, modifiers: ArgModifiers) -> Result<i64, i64> {
        Self::check_op(modifiers)?;
        self.ifqs[ifq].users += 1;
        self.boxes.push(Some(ifq));
        Ok((self.rings.len() + self.boxes.len() - 1) as i64)
    }

    pub(super) fn flush(&mut self, ifq: IfqIndex, modifiers: ArgModifiers) -> Result<i64, i64> {
        Self::check_op(modifiers)?;
        self.misused |= self.ifqs[ifq].flush();
        Ok(0)
    }

    pub(super) fn add_area(
        &mut self,
        ifq: IfqIndex,
        buffers: u32,
        modifiers: ArgModifiers,
    ) -> Result<i64, i64> {
        let device_gone = self.ifqs[ifq].device && self.device_gone;
        self.check_add_area((self.ifqs[ifq].device, device_gone), modifiers)?;
        if self.ifqs[ifq].areas() == AREAS {
            return Err(-EINVAL);
        }
        self.ifqs[ifq].add_area(buffers);
        Ok(0)
    }

    /// Lets an event be raised again.
    pub(super) fn arm(
        &mut self,
        ifq: IfqIndex,
        event: Event,
        modifiers: ArgModifiers,
    ) -> Result<i64, i64> {
        if !self.revision.has_events() {
            return Err(-EOPNOTSUPP);
        }
        Self::check_op(modifiers)?;
        let fired = &mut self.ifqs[ifq].fired;
        let at = fired.iter().position(|e| *e == event).ok_or(-EINVAL)?;
        fired.remove(at);
        Ok(0)
    }

    /// Queues an event in the ring that registered the ifq, once until the event is armed again.
    pub(super) fn notify(&mut self, ifq: IfqIndex, event: Event) {
        let ifq = &mut self.ifqs[ifq];
        if let Some(master) = ifq.master
            && !ifq.fired.contains(&event)
        {
            ifq.fired.push(event);
            self.rings[usize::from(master)].queue_event(event);
        }
    }

    /// Maps a region, which works only if the kernel has allocated it.
    pub(super) fn mmap(&mut self, ring: RingId, id: i64) -> Result<i64, i64> {
        let errno = if self.revision.mmap_fails_with_einval() { EINVAL } else { ENOMEM };
        let found = self.opened(ring)?.lookup(id).ok_or(-errno)?;
        if self.ifqs[found].kernel_region { Ok(0) } else { Err(-errno) }
    }

    /// Closes the queues of the device. The ifqs stay registered without a queue.
    pub(super) fn unregister_netdev(&mut self) -> i64 {
        self.device_gone = true;
        for queue in 0..self.queues.len() {
            self.stop_queue(queue);
            self.queues[queue] = None;
        }
        0
    }

    /// Destroys the page pool of a queue. The queue stays bound.
    fn stop_queue(&mut self, queue: usize) {
        if let Some(ifq) = self.queues[queue] {
            self.late_buffers |= self.ifqs[ifq].uses_pool();
            self.ifqs[ifq].close_queue();
        }
    }

    /// Takes the device down.
    pub(super) fn netdev_down(&mut self) -> Result<i64, i64> {
        if self.device_gone {
            return Err(-ENODEV);
        }
        self.device_down = true;
        (0..self.queues.len()).for_each(|queue| self.stop_queue(queue));
        Ok(0)
    }

    /// Brings the device up. Each bound queue gets a new page pool.
    pub(super) fn netdev_up(&mut self) -> Result<i64, i64> {
        if self.device_gone {
            return Err(-ENODEV);
        }
        if std::mem::take(&mut self.device_down) {
            for ifq in self.queues.iter().flatten() {
                self.ifqs[*ifq].open_queue();
            }
        }
        Ok(0)
    }

    /// Restarts a queue. A bound one gets a new page pool, unless the device is down.
    pub(super) fn restart_queue(&mut self, queue: u32) -> Result<i64, i64> {
        if self.device_gone {
            return Err(-ENODEV);
        }
        let bound = *self.queues.get(queue as usize).ok_or(-ERANGE)?;
        if let (Some(ifq), false) = (bound, self.device_down) {
            self.stop_queue(queue as usize);
            self.ifqs[ifq].open_queue();
        }
        Ok(0)
    }

    fn box_file(&mut self, fd: i64) -> Option<&mut Option<IfqIndex>> {
        let rings = self.rings.len();
        self.boxes.get_mut(usize::try_from(fd).ok()?.checked_sub(rings)?)
    }

    pub(super) fn close(&mut self, fd: i64) -> Result<i64, i64> {
        let ifq = self.box_file(fd).and_then(Option::take).ok_or(-EBADF)?;
        self.drop_user(ifq);
        Ok(0)
    }

    /// Closes a ring: frees its ids, cancels its requests and discards its completions.
    pub(super) fn exit(&mut self, ring: RingId) -> Result<i64, i64> {
        self.open(ring)?.open = false;
        for ifq in std::mem::take(&mut self.rings[usize::from(ring)].ids).into_iter().flatten() {
            if self.ifqs[ifq].master == Some(ring) {
                self.ifqs[ifq].master = None;
            }
            self.drop_user(ifq);
        }
        self.rings[usize::from(ring)].exit();
        for sock in &mut self.socks {
            sock.waiters.retain(|(other, _)| *other != ring);
        }
        Ok(0)
    }

    /// Drops one user. The last one closes the device queue and takes back the buffers that user space
    /// holds.
    fn drop_user(&mut self, ifq: IfqIndex) {
        self.ifqs[ifq].users -= 1;
        if self.ifqs[ifq].users == 0 {
            self.ifqs[ifq].close_queue();
            for queue in self.queues.iter_mut().filter(|queue| **queue == Some(ifq)) {
                *queue = None;
            }
            self.ifqs[ifq].scrub();
        }
    }

    /// Closes all rings, then all descriptors, then all sockets.
    pub fn close_all(&mut self) {
        for ring in 0..self.rings.len() {
            let _ = self.exit(ring as RingId);
        }
        for fd in self.rings.len()..self.rings.len() + self.boxes.len() {
            let _ = self.close(fd as i64);
        }
        for socket in 0..self.socks.len() {
            while let Some(segment) = self.socks[socket].segments.pop_front() {
                self.release(segment);
            }
        }
    }

    /// Names everything that is not free, in words. Empty after [`Spec::close_all`].
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let ifqs = self.ifqs.iter().enumerate().flat_map(|(i, ifq)| {
            ifq.left().map(move |what| format!("ifq of register step {i}: {what}"))
        });
        let queues = self.queues.iter().enumerate().filter(|(_, q)| q.is_some());
        ifqs.chain(queues.map(|(i, _)| format!("queue {i} is bound"))).collect()
    }
}
