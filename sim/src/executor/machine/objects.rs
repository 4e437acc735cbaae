//! Objects of the machine's memory.

use std::any::Any;
use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::platform::Kind;

use super::{Machine, Micro, Object};
use crate::executor::fingerprint::cell;
use crate::executor::names::{self, live_name};

impl Machine {
    pub(crate) fn begin_object(&mut self, kind: Kind, number: u32) -> (u32, u32) {
        let thread = &mut self.threads[self.current];
        let key = names::key(thread.op, thread.objects_in_op, kind);
        thread.objects_in_op += 1;
        let index = self.objects.len() as u32;
        thread.objects.push((key, index));
        let pointer = names::pointer(thread.slot, key);
        let start = self.values.len() as u32;
        let (live, target) = (true, None);
        let words = start..start;
        self.objects.push(Object { kind, number, live, pointer, words, target });
        self.live[kind as usize] += 1;
        // A live object differs from a freed one, also while all its words are zero.
        self.fingerprint ^= cell(live_name(pointer), 1);
        if let Some(recorder) = &mut self.recorder {
            recorder.alloc(pointer, kind);
        }
        let outer = std::mem::replace(&mut self.making, index);
        if self.tracing() && kind != Kind::Harness {
            self.note(format!("allocates {}{number}", kind.name()));
        }
        (index, outer)
    }

    pub(crate) fn finish_object(&mut self, index: u32, outer: u32, target: Rc<dyn Any>) -> u64 {
        let end = self.values.len() as u32;
        let object = &mut self.objects[index as usize];
        object.words.end = end;
        object.target = Some(target);
        self.making = outer;
        object.pointer
    }

    /// The target of a pointer, freed or not.
    pub(crate) fn target(&self, pointer: u64) -> Option<Rc<dyn Any>> {
        let (slot, key) = names::split(pointer)?;
        let thread = self.threads.iter().find(|t| t.slot == slot)?;
        let at = thread.objects.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.objects[thread.objects[at].1 as usize].target.clone()
    }

    pub(crate) fn free(&mut self, pointer: u64) {
        if self.idle {
            return;
        }
        let Some(index) = self.objects.iter().position(|o| o.pointer == pointer) else { return };
        self.micro(|r| Micro::Free { object: r.object(index) });
        let object = &mut self.objects[index];
        let name = format!("{}{}", object.kind.name(), object.number);
        if !object.live {
            self.fail_by_state(Invariant::I2, format!("{name} freed twice"));
            return;
        }
        object.live = false;
        self.live[object.kind as usize] -= 1;
        self.fingerprint ^= cell(live_name(pointer), 1);
        // What freed memory holds cannot be seen any more: it is taken out of the fingerprint.
        for word in object.words.clone() {
            self.fingerprint ^= cell(self.names[word as usize], self.values[word as usize]);
        }
        if self.tracing() {
            self.note(format!("frees {name}"));
        }
    }
}
