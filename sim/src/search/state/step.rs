//! Executes a step of a thread from the step table.

use super::{State, StepResult};
use crate::executor::contribution::Contribution;
use crate::executor::event::Update;
use crate::executor::symbols::{FAULTS, count_word};
use crate::executor::threads::Pending;
use crate::search::fault_choices::FaultChoices;
use crate::step_table::{NONE, Node, StepTable};

impl State {
    /// Whether a word belongs to a freed object.
    #[inline]
    fn is_freed(&self, table: &StepTable, word: u32) -> bool {
        self.value(table.symbols.words[word as usize].live) == 0
    }

    /// Records an access, if sleep sets need it.
    #[inline]
    fn record_access(&mut self, word: u32, write: bool) {
        if let Some(step_accesses) = &mut self.step_accesses {
            step_accesses.accesses.push((word, write));
        }
    }

    /// Records an addition to a counter, if sleep sets need it.
    #[inline]
    fn record_counter_update(&mut self, word: u32) {
        if let Some(step_accesses) = &mut self.step_accesses {
            step_accesses.counter_updates.push(word);
        }
    }

    /// Executes one step of a thread. After another result than [`StepResult::Done`], the caller must undo it.
    pub(crate) fn step(
        &mut self,
        table: &StepTable,
        thread: usize,
        choices: &mut FaultChoices,
    ) -> StepResult {
        let from = &table.points[self.threads[thread] as usize];
        let granted = match from.pending {
            Pending::WaitUntil { word, min, .. } => self.value(word) >= min,
            _ => true,
        };
        choices.rewind();
        self.plain_accesses.clear();
        if let Some(step_accesses) = &mut self.step_accesses {
            step_accesses.accesses.clear();
            step_accesses.counter_updates.clear();
        }
        self.last = thread;
        if from.pending != Pending::Start {
            self.running = thread;
        }
        let mut at = from.next;
        loop {
            let Some(node) = table.nodes.get(at as usize) else { return StepResult::Unknown };
            at = match node {
                Node::Read { word, children } => {
                    if self.is_freed(table, *word) {
                        return StepResult::Violation;
                    }
                    self.record_access(*word, false);
                    table.child(children, self.value(*word))
                }
                Node::Update { update, children } => {
                    let Update { word, op, cap, is_counter } = table.updates[*update as usize];
                    if self.is_freed(table, word) {
                        return StepResult::Violation;
                    }
                    match is_counter {
                        true => self.record_counter_update(word),
                        false => self.record_access(word, true),
                    }
                    let old = self.value(word);
                    if let Some(new) = op.apply(old)
                        && self.set(word, new, table.symbols.contribution(word, new))
                    {
                        self.permuted.set(word, |i| table.symbols.contribution_image(word, new, i));
                    }
                    table.child(children, old.min(cap))
                }
                Node::Write { word, written, next } => {
                    if self.is_freed(table, *word) {
                        return StepResult::Violation;
                    }
                    self.record_access(*word, true);
                    let (value, contribution) = table.written_values[*written as usize];
                    if self.set(*word, value, contribution) {
                        self.permuted.set(*word, |i| table.image_contribution(*written, i));
                    }
                    *next
                }
                Node::Plain { word, write, next } => {
                    self.plain_accesses.accesses.push((*word, *write));
                    *next
                }
                Node::Release { word, next } => {
                    let accesses = self.plain_accesses.accesses.len();
                    self.plain_accesses.releases.push((*word, accesses));
                    *next
                }
                Node::New { word, written, next } => {
                    let (value, contribution) = table.written_values[*written as usize];
                    if self.set(*word, value, contribution) {
                        self.permuted.set(*word, |i| table.image_contribution(*written, i));
                    }
                    *next
                }
                Node::Grant { children } => table.child(children, u64::from(granted)),
                Node::Live { word, children } => {
                    self.record_access(*word, true);
                    table.child(children, self.value(*word))
                }
                Node::Fault { children } => {
                    let left = self.value(FAULTS) as u32;
                    let mut fails = false;
                    if left > 0 {
                        self.record_access(FAULTS, true);
                        fails = choices.next();
                        if fails {
                            self.set_faults(left - 1);
                        }
                    }
                    table.child(children, u64::from(fails))
                }
                Node::Alloc { object, next } => {
                    let contribution = |object: u32| {
                        Contribution::of_state(table.symbols.objects[object as usize].live_key)
                    };
                    let info = &table.symbols.objects[*object as usize];
                    let count = count_word(info.kind);
                    self.record_access(count, false);
                    if self.set(info.live, 1, contribution(*object)) {
                        self.permuted.set(info.live, |i| {
                            contribution(table.symbols.object_image(*object, i))
                        });
                    }
                    self.set_unhashed(count, self.value(count) + 1);
                    *next
                }
                Node::Free { object, next } => {
                    let object = &table.symbols.objects[*object as usize];
                    if self.value(object.live) == 0 {
                        return StepResult::Violation;
                    }
                    self.record_access(object.live, true);
                    let count = count_word(object.kind);
                    self.record_access(count, false);
                    self.set_unhashed(object.live, 0);
                    self.set_unhashed(count, self.value(count) - 1);
                    for word in &object.words {
                        self.set_unhashed(*word, 0);
                    }
                    *next
                }
                Node::Spawn { point, next } => {
                    let started = &table.points[*point as usize];
                    self.record_access(started.slot_word, true);
                    let slot = started.slot;
                    let known = |t: &u32| {
                        let point = &table.points[*t as usize];
                        point.slot == slot && point.pending != Pending::Done
                    };
                    if self.threads.iter().any(known) {
                        return StepResult::Violation;
                    }
                    self.threads.push(*point);
                    self.fingerprint ^= started.hash;
                    self.permuted.toggle_thread(table, *point);
                    *next
                }
                Node::Boundary { root } => match table.nodes.get(*root as usize) {
                    Some(Node::Root { next }) => *next,
                    _ => NONE,
                },
                Node::Root { next } => *next,
                Node::End { point } => {
                    let end = &table.points[*point as usize];
                    if end.pending == Pending::Done {
                        self.record_access(end.slot_word, true);
                    }
                    self.move_to(table, thread, *point);
                    return StepResult::Done;
                }
                Node::Violation => return StepResult::Violation,
            };
        }
    }
}
