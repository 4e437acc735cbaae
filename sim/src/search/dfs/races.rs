//! What needs not be tried for a step that was tried already, and data races.

use super::Dfs;
use crate::executor::record::ALWAYS;
use crate::search::sleep::{Asleep, Touched};
use crate::search::state::{Choices, Footprint, Touches, Walk};

impl Dfs<'_> {
    /// What needs not be tried after the step that was just done.
    pub(super) fn fall_asleep(&mut self, index: usize, thread: usize) {
        self.sleep.clear();
        let mut touched = Touched::default();
        let names = &self.code.names;
        let Some(Touches { touched: looks, counted }) = &self.state.touches else { return };
        let looks = looks.iter().map(|(word, write)| names.touch(*word, *write));
        for (word, write) in looks.chain(counted.iter().map(|word| (*word, false))) {
            touched.add(word, write);
            let live = names.words[word as usize].live;
            if live != ALWAYS {
                touched.add(live, false);
            }
        }
        let nap = &mut self.naps[index];
        nap.trying.thread = thread as u32;
        nap.trying.touched.join(&touched);
        nap.trying.races |= self.state.footprint.races();
        let sleeps = |asleep: &&Asleep| {
            asleep.thread != thread as u32 && asleep.touched.independent(&touched)
        };
        self.sleep.extend(nap.sleep.iter().filter(sleeps));
    }

    /// What sleeps in the state that was just entered is not tried, but it may race there.
    pub(super) fn look_for_races_asleep(&mut self) {
        let quiet = self.frames.last().is_none_or(|frame| frame.quiet);
        let Some(nap) = self.naps.last().filter(|_| !quiet) else { return };
        let racing: Vec<u32> =
            nap.sleep.iter().filter(|asleep| asleep.races).map(|asleep| asleep.thread).collect();
        for thread in racing {
            let (mark, before) = (self.state.mark(thread as usize), self.decisions.len());
            let mut choices = Choices::default();
            loop {
                if self.step(thread as usize, &mark, &mut choices) == Walk::Done {
                    self.decisions.push(thread);
                    self.decisions.extend(choices.taken().iter().map(|fails| u32::from(*fails)));
                    self.look_for_races();
                    self.decisions.truncate(before);
                }
                self.state.back_to(&self.code, &mark);
                if self.found.is_some() || !choices.advance() {
                    break;
                }
            }
        }
    }

    /// Whether a step of another thread can follow the last one and race with it; also where the
    /// state is known, because it was reached by another step then.
    pub(super) fn look_for_races(&mut self) {
        let last = self.state.last;
        let mut enabled = Vec::new();
        self.state.runnable(&self.code, &mut enabled);
        let before = std::mem::take(&mut self.state.footprint);
        for thread in enabled {
            let thread = thread as usize;
            if thread != last && self.races(&before, thread) {
                break;
            }
        }
        self.state.footprint = before;
    }

    fn races(&mut self, before: &Footprint, thread: usize) -> bool {
        let acquired = self.code.stops[self.state.threads[thread] as usize].pending.acquires();
        let mut choices = Choices::default();
        let mark = self.state.mark(thread);
        loop {
            let walk = self.step(thread, &mark, &mut choices);
            let races = walk == Walk::Done && before.race(&self.state.footprint, acquired);
            self.state.back_to(&self.code, &mark);
            if races {
                self.preempted += u32::from(self.preempts(thread as u32));
                self.decisions.push(thread as u32);
                self.decisions.extend(choices.taken().iter().map(|fails| u32::from(*fails)));
                self.broken();
                return true;
            }
            if !choices.advance() {
                return false;
            }
        }
    }
}
