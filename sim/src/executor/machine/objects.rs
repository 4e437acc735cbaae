//! Allocation and free.

use std::any::Any;
use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::platform::Kind;

use super::{FREED, Machine, ObjectState};
use ifq_model::test::schedule::AccessKind;

use crate::executor::event::StepEvent;
use crate::executor::fingerprint::zobrist_key;
use crate::executor::naming::{self, live_name};
use crate::executor::step_log::{Accessed, Happened};

impl Machine {
    /// Begins the creation of an object. Returns its index, and that of the object under construction before.
    pub(crate) fn begin_object(&mut self, kind: Kind, number: u32) -> (u32, u32) {
        let thread = &mut self.threads[self.current];
        let key = naming::object_key(thread.op, thread.objects_in_op, kind);
        thread.objects_in_op += 1;
        let index = self.objects.len() as u32;
        thread.objects.push((key, index));
        let pointer = naming::pointer(thread.slot, key);
        let start = self.values.len() as u32;
        let (live, target) = (true, None);
        let words = start..start;
        self.objects.push(ObjectState { kind, number, live, pointer, words, target });
        self.live[kind as usize] += 1;
        // A live object differs from a freed one even if all its words are zero.
        if self.hashes {
            self.fingerprint ^= zobrist_key(live_name(pointer), 1);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.alloc(pointer, kind);
        }
        self.log(Happened::Access(AccessKind::Alloc, Accessed::Object(kind, number)));
        let outer = std::mem::replace(&mut self.constructing, index);
        if self.tracing() && kind != Kind::Harness {
            self.note(format!("allocates {}{number}", kind.name()));
        }
        (index, outer)
    }

    /// Ends the creation of an object and returns its pointer.
    pub(crate) fn finish_object(&mut self, index: u32, outer: u32, target: Rc<dyn Any>) -> u64 {
        let end = self.values.len() as u32;
        let object = &mut self.objects[index as usize];
        object.words.end = end;
        object.target = Some(target);
        self.constructing = outer;
        object.pointer
    }

    /// The target of a pointer, live or freed.
    pub(crate) fn target(&self, pointer: u64) -> Option<Rc<dyn Any>> {
        self.objects[self.object_at(pointer)?].target.clone()
    }

    /// The index of the object that a pointer leads to, live or freed.
    fn object_at(&self, pointer: u64) -> Option<usize> {
        let (slot, key) = naming::split_pointer(pointer)?;
        let thread = *self.first_of_slot.get(slot as usize)?;
        let thread = self.threads.get(thread as usize)?;
        let at = thread.objects.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(thread.objects[at].1 as usize)
    }

    /// Remembers which thread is the first with a slot.
    pub(super) fn name_slot(&mut self, slot: u32, thread: usize) {
        let slot = slot as usize;
        if slot >= naming::SLOTS {
            return;
        }
        if self.first_of_slot.len() <= slot {
            self.first_of_slot.resize(slot + 1, u32::MAX);
        }
        if self.first_of_slot[slot] == u32::MAX {
            self.first_of_slot[slot] = thread as u32;
        }
    }

    /// Frees an object; a second time is a violation.
    pub(crate) fn free(&mut self, pointer: u64) {
        if self.idle {
            return;
        }
        let Some(index) = self.object_at(pointer) else { return };
        self.record_event(|r| StepEvent::Free { object: r.object(index) });
        let object = &mut self.objects[index];
        let (kind, number) = (object.kind, object.number);
        let name = || format!("{}{number}", kind.name());
        if !object.live {
            let name = name();
            self.violate_by_memory(Invariant::I2, format!("{name} freed twice"));
            return;
        }
        object.live = false;
        let words = object.words.clone();
        for owner in &mut self.owners[words.start as usize..words.end as usize] {
            if *owner == index as u32 {
                *owner |= FREED;
            }
        }
        let accessed = Accessed::Object(kind, number);
        self.live[kind as usize] -= 1;
        if self.hashes {
            self.fingerprint ^= zobrist_key(live_name(pointer), 1);
            // The contents of freed memory are unobservable and leave the fingerprint.
            for word in words {
                let (name, value) = (self.names[word as usize], self.values[word as usize]);
                self.fingerprint ^= zobrist_key(name, value);
            }
        }
        self.log(Happened::Access(AccessKind::Free, accessed));
        if self.tracing() {
            self.note(format!("frees {}", name()));
        }
    }
}
