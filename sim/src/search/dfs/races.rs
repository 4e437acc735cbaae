//! Sleep-set updates and data-race checks.

use super::Dfs;
use crate::executor::symbols::ALWAYS;
use crate::search::fault_choices::FaultChoices;
use crate::search::sleep::{Footprint, SleepEntry, WordUse};
use crate::search::state::StepResult;
use crate::search::step_accesses::{PlainAccesses, StepAccesses};

impl Dfs<'_> {
    /// Computes the sleep set of the successor after a step of `thread`.
    pub(super) fn update_sleep_set(&mut self, index: usize, thread: usize) {
        self.sleep.clear();
        let mut footprint = Footprint::default();
        let words = &self.table.symbols.words;
        let Some(StepAccesses { accesses, counter_updates }) = &self.state.step_accesses else {
            return;
        };
        let use_of = |write: bool| if write { WordUse::Write } else { WordUse::Read };
        let accesses = accesses.iter().map(|(word, write)| (*word, use_of(*write)));
        let additions = counter_updates.iter().map(|word| (*word, WordUse::Add));
        for (word, word_use) in accesses.chain(additions) {
            footprint.add(word, word_use);
            let live = words[word as usize].live;
            if live != ALWAYS {
                footprint.add(live, WordUse::Read);
            }
        }
        let sleep_frame = &mut self.sleep_frames[index];
        sleep_frame.current.thread = thread as u32;
        sleep_frame.current.footprint.union(&footprint);
        sleep_frame.current.can_race |= self.state.plain_accesses.can_race();
        let stays_asleep = |entry: &&SleepEntry| {
            entry.thread != thread as u32 && entry.footprint.independent(&footprint)
        };
        self.sleep.extend(sleep_frame.sleep.iter().filter(stays_asleep));
    }

    /// Checks the sleeping steps of the new state for data races: they are not explored, but may race.
    pub(super) fn check_races_of_sleeping(&mut self) {
        let independent = self.frames.last().is_none_or(|frame| frame.independent);
        let Some(sleep_frame) = self.sleep_frames.last().filter(|_| !independent) else { return };
        let racing: Vec<u32> = sleep_frame
            .sleep
            .iter()
            .filter(|entry| entry.can_race)
            .map(|entry| entry.thread)
            .collect();
        for thread in racing {
            let (undo_point, before) =
                (self.state.undo_point(thread as usize), self.decisions.len());
            let mut choices = FaultChoices::default();
            loop {
                if self.step(thread as usize, &undo_point, &mut choices) == StepResult::Done {
                    self.decisions.push(thread);
                    self.decisions.extend(choices.taken().iter().map(|fails| u32::from(*fails)));
                    self.check_races();
                    self.decisions.truncate(before);
                }
                self.state.undo(&self.table, &undo_point);
                if self.found.is_some() || !choices.advance() {
                    break;
                }
            }
        }
    }

    /// Checks whether a step of another thread can follow the last step and race with it. Also needed if the
    /// successor was visited before, since another step may have led to it then.
    pub(super) fn check_races(&mut self) {
        let last = self.state.last;
        let mut enabled = Vec::new();
        self.state.runnable(&self.table, &mut enabled);
        let before = std::mem::take(&mut self.state.plain_accesses);
        for thread in enabled {
            let thread = thread as usize;
            if thread != last && self.races_with(&before, thread) {
                break;
            }
        }
        self.state.plain_accesses = before;
    }

    /// Whether the next step of a thread races with the accesses `before`; if so, takes the counterexample.
    fn races_with(&mut self, before: &PlainAccesses, thread: usize) -> bool {
        let acquired =
            self.table.points[self.state.threads[thread] as usize].pending.acquired_word();
        let mut choices = FaultChoices::default();
        let undo_point = self.state.undo_point(thread);
        loop {
            let result = self.step(thread, &undo_point, &mut choices);
            let races =
                result == StepResult::Done && before.race(&self.state.plain_accesses, acquired);
            self.state.undo(&self.table, &undo_point);
            if races {
                self.preemptions += u32::from(self.preempts(thread as u32));
                self.decisions.push(thread as u32);
                self.decisions.extend(choices.taken().iter().map(|fails| u32::from(*fails)));
                self.report_violation();
                return true;
            }
            if !choices.advance() {
                return false;
            }
        }
    }
}
