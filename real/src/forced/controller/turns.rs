//! Which threads stand, and how they are stopped and go on.

use std::time::Instant;

use ifq_model::test::schedule::ThreadName;

use super::{Actor, Event, Run};
use crate::forced::guest::Hit;
use crate::forced::park::{Parked, Stand};

impl Run<'_> {
    /// The first parked work item or thread.
    pub(super) fn first_parked(&self) -> Option<ThreadName> {
        let parked = |actor: &Actor| matches!(actor.stand, Some(Stand::Parked(_)));
        let actors = self.actors.iter().filter(|(_, actor)| parked(actor));
        let others = actors.map(|(thread, _)| *thread).filter(|thread| Some(*thread) != self.turn);
        others.min_by_key(|thread| (!thread.is_kernel(), *thread))
    }

    /// Whether a thread has been off its processor for so many timer ticks.
    pub(super) fn is_blocked(
        &mut self,
        thread: ThreadName,
        ticks: u64,
        since: &mut Option<u64>,
    ) -> Result<bool, String> {
        let runs = match (thread, self.actor(thread).task) {
            // In user mode it is the thread that is pinned to this processor.
            (ThreadName::Test(at), Some(task)) => {
                self.guest.current(at + 1)?.is_none_or(|current| current == task)
            }
            // Its first step waits for a result.
            (ThreadName::Test(_), None) => false,
            (_, Some(task)) => self.guest.runs(task)?,
            // It has not started.
            (_, None) => true,
        };
        if self.actor(thread).stand.is_some() || runs {
            *since = None;
            return Ok(false);
        }
        let now = self.guest.jiffies()?;
        Ok(now.wrapping_sub(*since.get_or_insert(now)) > ticks)
    }

    /// Stops a thread where it has hit a breakpoint.
    pub(super) fn stop(&mut self, thread: ThreadName, hit: &Hit) -> Result<(), String> {
        let stand = Stand::begin(self.guest, hit)?;
        self.actor(thread).stand = Some(stand);
        self.fresh = Some((thread, hit.clone()));
        Ok(())
    }

    /// Ends the sleep of a parked thread: the thread that has just stopped does it, or the next parked one that stops.
    pub(super) fn wake(&mut self, thread: ThreadName) -> Result<(), String> {
        let Some(Stand::Parked(parked)) = &self.actor(thread).stand else { return Ok(()) };
        let task = parked.task();
        match self.fresh.take() {
            Some((last, hit)) if last == thread => {
                // It does not sleep yet.
                if let Some(Stand::Parked(parked)) = self.actor(thread).stand.take() {
                    parked.go_on(self.guest, &hit)?;
                }
            }
            Some((last, hit)) => {
                if let Some(Stand::Parked(last)) = self.actor(last).stand.clone() {
                    last.wake(self.guest, &hit, task)?;
                } else {
                    self.to_wake.push(task);
                }
            }
            None => self.to_wake.push(task),
        }
        Ok(())
    }

    /// Runs the guest until something happens that is not a sleep of a parked thread. `None`: nothing did.
    pub(super) fn next(&mut self, end: Instant) -> Result<Option<Event>, String> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.fresh = None;
            let Some(hit) = self.guest.run(left)? else { return Ok(None) };
            let parked = self.actors.iter().find_map(|(thread, actor)| {
                let parked = actor.stand.as_ref()?.is_at(&hit)?;
                Some((*thread, parked.clone()))
            });
            if let Some((thread, parked)) = parked {
                self.slept(thread, &parked, &hit)?;
                continue;
            }
            return Ok(Some(match self.guest.marker(&hit)? {
                Some(marker) => Event::Marker(hit, marker),
                None => Event::At(hit),
            }));
        }
    }

    /// Ends the sleep of all parked threads.
    pub(super) fn wake_all(&mut self) -> Result<(), String> {
        let last = self.fresh.as_ref().map(|(thread, _)| *thread);
        let parked = |(thread, actor): (&ThreadName, &Actor)| match &actor.stand {
            Some(Stand::Parked(parked)) if Some(*thread) != last => Some(parked.task()),
            _ => None,
        };
        self.to_wake = self.actors.iter().filter_map(parked).collect();
        let Some((last, hit)) = self.fresh.take() else { return Ok(()) };
        let Some(Stand::Parked(parked)) = self.actor(last).stand.clone() else { return Ok(()) };
        self.slept(last, &parked, &hit)
    }

    /// A parked thread has returned from a call to its place, or has just stopped there.
    pub(super) fn slept(
        &mut self,
        thread: ThreadName,
        parked: &Parked,
        hit: &Hit,
    ) -> Result<(), String> {
        let goes_on = match thread {
            // It stands after the end of the test, until all others have gone on.
            ThreadName::Main => {
                self.actors.iter().all(|(own, actor)| *own == thread || actor.stand.is_none())
            }
            _ => {
                self.released
                    || [self.turn, self.helper].contains(&Some(thread))
                    || self.actor(thread).done
            }
        };
        // Once it goes on, its task may end.
        self.to_wake.retain(|task| *task != parked.task());
        match self.to_wake.pop() {
            Some(other) => parked.wake(self.guest, hit, other),
            None if goes_on => {
                self.actor(thread).stand = None;
                parked.go_on(self.guest, hit)
            }
            None => parked.sleep(self.guest, hit),
        }
    }

    pub(super) fn let_go(&mut self, thread: ThreadName, hit: &Hit) -> Result<(), String> {
        self.actor(thread).stand = None;
        self.guest.hold(hit.cpu, false);
        self.guest.step_over(hit)?;
        self.guest.drop_breakpoint(hit.address)
    }

    /// Whether a thread has to stand when it comes to a place where threads are stopped.
    pub(super) fn has_to_stand(&self, thread: ThreadName) -> bool {
        // A work item that no line names comes after all lines, unless it has ended in the set-up.
        let before = match thread {
            ThreadName::Exit(ring) => self.closed_before.contains(&ring) && !self.is_named(thread),
            _ => false,
        };
        !self.released && ![self.turn, self.helper].contains(&Some(thread)) && !before
    }
}
