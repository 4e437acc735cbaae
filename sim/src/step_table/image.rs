//! What is learned of a thread is known of every thread that differs from it by name only.
//!
//! So the tables say the same of all of them, whichever of them a run has shown; a real run of another one
//! is compared with that as with all that was learned.

use super::absorb::End;
use super::{Code, NONE, Past, Stop};
use crate::executor::fingerprint::{Fingerprint, append};
use crate::executor::record::{Cell, Event, Observed, Update};
use crate::executor::threads::{Pending, Thread};

impl Code {
    /// Takes in a step from a stop, in operation `op` of its thread, and its images; returns the stop at
    /// its end. See [`Code::absorb_one`].
    pub(super) fn absorb(&mut self, from: u32, op: u32, events: &[Observed], end: &End<'_>) -> u32 {
        let (nodes, stops) = (self.nodes.len(), self.stops.len());
        let stop = self.absorb_one(from, op, events, end);
        let group = self.names.group.clone();
        if self.nodes.len() == nodes || group.others() == 0 {
            return stop;
        }
        let slot = self.stops[from as usize].slot;
        if slot == 0 {
            let ends = events.iter().filter(|o| o.event == Event::Boundary).count() as u32;
            if self.stops.len() > stops && op + ends == group.threads {
                self.fill_images(&vec![stop; group.others() + 1]);
            }
            return stop;
        }
        let mut images = vec![stop];
        for index in 0..group.others() {
            let from = self.stop_images.of(from, index);
            let events: Vec<Observed> =
                events.iter().map(|observed| self.image_of(*observed, index)).collect();
            let end = self.image_of_end(end, index);
            images.push(self.absorb_one(from, op, &events, &end));
        }
        if self.stops.len() > stops && stop != NONE {
            self.fill_images(&images);
        }
        stop
    }

    /// The stop at which a thread starts.
    pub(super) fn start(&mut self, slot: u32, key: u64) -> u32 {
        if let Some(stop) = self.starts.get(&(slot, key)) {
            return *stop;
        }
        let stop = self.start_one(slot, key);
        if slot == 0 {
            return stop;
        }
        let group = self.names.group.clone();
        let mut images = vec![stop];
        for renaming in (0..group.others()).map(|index| group.other(index)) {
            images.push(self.start_one(renaming.slot(slot), renaming.pointer(key)));
        }
        self.fill_images(&images);
        stop
    }

    fn start_one(&mut self, slot: u32, key: u64) -> u32 {
        if let Some(stop) = self.starts.get(&(slot, key)) {
            return *stop;
        }
        let hash = Thread::initial_state(slot, key);
        let (slot_word, pending) = (self.names.slot(slot), Pending::Start);
        let (told, locks) = (Box::default(), Box::default());
        let exact = append(0, key);
        let past = Past { told, exact, history: (exact, 0), locks, outcome: None };
        let stop = self.push_stop(Stop { slot, slot_word, pending, hash, next: NONE }, past);
        self.starts.insert((slot, key), stop);
        stop
    }

    /// A new stop, without an image.
    pub(super) fn push_stop(&mut self, stop: Stop, past: Past) -> u32 {
        let number = self.stops.len() as u32;
        let others = self.names.group.others();
        // What no other state has.
        let unlike = |index: usize| append(append(stop.hash, 8), index as u64);
        self.image_hashes.extend((0..others).map(unlike));
        self.stop_images.add(NONE);
        self.stops.push(stop);
        self.pasts.push(past);
        number
    }

    fn fill_images(&mut self, images: &[u32]) {
        self.stop_images.fill(&self.names.group, images);
        let others = self.names.group.others();
        for stop in images {
            for index in 0..others {
                let image = self.stop_images.of(*stop, index) as usize;
                self.image_hashes[*stop as usize * others + index] = self.stops[image].hash;
            }
        }
    }

    fn image_of(&self, observed: Observed, index: usize) -> Observed {
        let Observed { event, value } = observed;
        let names = &self.names;
        let renaming = names.group.other(index);
        let word = |word: u32| names.image(word, index);
        let renamed = |word: u32, value: u64| names.value_image(word, value, index);
        let object = |object: u32| names.object_image(object, index);
        let value = match event {
            Event::Read { word } | Event::Update(Update { word, .. }) => {
                value.map(|value| renamed(word, value))
            }
            _ => value,
        };
        let event = match event {
            Event::Read { word: w } => Event::Read { word: word(w) },
            Event::Write { word: w, value } => {
                Event::Write { word: word(w), value: renamed(w, value) }
            }
            Event::New { word: w, value } => Event::New { word: word(w), value: renamed(w, value) },
            Event::Update(update) => Event::Update(Update { word: word(update.word), ..update }),
            Event::Plain { word: w, write } => Event::Plain { word: word(w), write },
            Event::Release { word: w } => Event::Release { word: word(w) },
            Event::Alloc { object: o } => Event::Alloc { object: object(o) },
            Event::Free { object: o } => Event::Free { object: object(o) },
            Event::Spawn { slot, key } => {
                Event::Spawn { slot: renaming.slot(slot), key: renaming.pointer(key) }
            }
            Event::Live { .. } | Event::Fault | Event::Grant | Event::Boundary => event,
        };
        Observed { event, value }
    }

    fn image_of_end<'a>(&self, end: &End<'a>, index: usize) -> End<'a> {
        let End::Stop { slot, pending, locks, outcome, .. } = end else { return end.clone() };
        let word = |word: u32| self.names.image(word, index);
        let pending = match *pending {
            Pending::Access { word: w, write, acquire } => {
                Pending::Access { word: word(w), write, acquire }
            }
            Pending::Lock { word: w } => Pending::Lock { word: word(w) },
            Pending::WaitUntil { word: w, min, quiesce } => {
                Pending::WaitUntil { word: word(w), min, quiesce }
            }
            Pending::Start | Pending::Done => *pending,
        };
        let slot = self.names.group.other(index).slot(*slot);
        let locks = locks.iter().map(|lock| word(*lock)).collect();
        End::Stop { slot, pending, hash: None, locks, outcome: *outcome }
    }

    /// What the image of a stop adds to a fingerprint.
    #[inline]
    pub(crate) fn image_hash(&self, stop: u32, index: usize) -> Fingerprint {
        self.image_hashes[stop as usize * self.names.group.others() + index]
    }

    /// The image of a stop, if there is one.
    pub(crate) fn stop_image(&self, stop: u32, index: usize) -> Option<u32> {
        Some(self.stop_images.of(stop, index)).filter(|image| *image != NONE)
    }

    /// What the image of a written value adds to a fingerprint; `what` in [`Code::cells`].
    #[inline]
    pub(crate) fn image_cell(&self, what: u32, index: usize) -> Cell {
        self.image_cells[what as usize * self.names.group.others() + index]
    }
}
