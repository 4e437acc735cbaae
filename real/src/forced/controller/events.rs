//! What the controller does when a thread calls a marker, or a work item begins or ends.

use ifq_model::test::schedule::ThreadName;
use ifq_model::test::{Op, RingId, Step};

use super::{Event, Run};
use crate::abi::marker::Marker;
use crate::forced::guest::Hit;
use crate::forced::park::Stand;
use crate::forced::remote::Reg;

impl Run<'_> {
    /// Follows what the threads do.
    pub(super) fn handle(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Marker(hit, marker) => {
                match marker {
                    Marker::Step(at, step) => {
                        let thread = ThreadName::Test(at as usize);
                        let actor = self.actor(thread);
                        (actor.task, actor.step) = (Some(hit.task), Some(step as usize));
                        self.begins(at as usize, step as usize);
                        if self.has_to_stand(thread) {
                            // The step has not begun.
                            let stand = Stand::begin(self.guest, &hit)?;
                            self.actor(thread).stand = Some(stand);
                            return Ok(());
                        }
                    }
                    Marker::Done(at) => self.actor(ThreadName::Test(at as usize)).done = true,
                    Marker::Setup(step) => self.outside = self.test.setup.get(step as usize),
                    Marker::Finally(step) => self.outside = self.test.finally.get(step as usize),
                    Marker::Producer(..) | Marker::Packet(..) => {}
                    Marker::End(_) => {
                        self.ended = true;
                        if self.actors.values().any(|actor| actor.stand.is_some()) {
                            // The next test begins when all have gone on.
                            self.stop(ThreadName::Main, &hit)?;
                            return self.wake_all();
                        }
                    }
                    Marker::Begin(_) | Marker::Symbols(..) => {}
                }
                self.guest.step_over(&hit)
            }
            Event::At(hit) if hit.address == self.exit_work => self.exit_begins(&hit),
            Event::At(hit) if hit.address == self.queues_work => {
                if let Some(ring) = self.closing_ring(hit.task) {
                    self.works.insert(hit.regs.get(Reg::Rdx), ring);
                    self.closing.remove(&ring);
                    if !self.started {
                        self.closed_before.insert(ring);
                    }
                }
                self.guest.step_over(&hit)
            }
            Event::At(hit) => {
                let ended = self.actors.iter().find_map(|(thread, actor)| {
                    let back = Some((hit.address, hit.regs.get(Reg::Rsp)));
                    (actor.back == back && actor.task == Some(hit.task)).then_some(*thread)
                });
                match ended {
                    Some(thread) => self.leave_work(thread, &hit),
                    None => self.guest.step_over(&hit),
                }
            }
        }
    }

    /// A thread begins a step.
    pub(super) fn begins(&mut self, thread: usize, step: usize) {
        let step = self.test.threads.get(thread).and_then(|thread| thread.steps.get(step));
        if let Some(Step { op: Op::Exit { ring }, .. }) = step {
            self.closing.insert(*ring);
        }
    }

    /// The ring that a task closes.
    fn closing_ring(&self, task: u64) -> Option<RingId> {
        let of = |step: &Step| match step.op {
            Op::Exit { ring } => Some(ring),
            _ => None,
        };
        for (thread, actor) in &self.actors {
            let (ThreadName::Test(at), true) = (thread, actor.task == Some(task)) else { continue };
            if let (Some(step), false) = (actor.step, actor.done) {
                let own = self.test.threads[*at].steps.get(step).and_then(of);
                // Another thread used the ring when it was closed, and has dropped the last reference.
                return own.or_else(|| self.closing.first().copied());
            }
        }
        self.outside.and_then(of)
    }

    /// The exit work item of a ring begins.
    fn exit_begins(&mut self, hit: &Hit) -> Result<(), String> {
        let Some(ring) = self.works.remove(&hit.regs.get(Reg::Rdi)) else {
            return self.guest.step_over(hit);
        };
        let thread = ThreadName::Exit(ring);
        let stack = hit.regs.get(Reg::Rsp);
        let back = self.guest.word(hit.cpu, stack)?;
        self.guest.add_breakpoint(back)?;
        let actor = self.actor(thread);
        (actor.task, actor.back) = (Some(hit.task), Some((back, stack + 8)));
        if self.has_to_stand(thread) {
            let stand = Stand::begin(self.guest, hit)?;
            self.actor(thread).stand = Some(stand);
            return Ok(());
        }
        self.guest.step_over(hit)
    }

    /// A work item has ended.
    pub(super) fn leave_work(&mut self, thread: ThreadName, hit: &Hit) -> Result<(), String> {
        self.actor(thread).done = true;
        self.actor(thread).back = None;
        self.guest.step_over(hit)?;
        self.guest.drop_breakpoint(hit.address)
    }
}
