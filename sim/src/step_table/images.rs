//! Images of program points and steps under the permutations of the symmetry group.
//!
//! A recorded step is inserted together with its images, so that the table treats symmetric threads alike,
//! whichever of them was executed. A later execution of an image is checked against the table like any
//! other.

use super::insert::StepEnd;
use super::{LocalHistory, NONE, ProgramPoint, StepTable};
use crate::executor::contribution::Contribution;
use crate::executor::event::{ObservedEvent, StepEvent, Update};
use crate::executor::fingerprint::{Fingerprint, append};
use crate::executor::threads::{Pending, Thread};

impl StepTable {
    /// Inserts a step from a point, in operation `op` of its thread, and its images; returns the point at its
    /// end. See [`StepTable::insert_one`].
    pub(super) fn insert(
        &mut self,
        from: u32,
        op: u32,
        events: &[ObservedEvent],
        end: &StepEnd<'_>,
    ) -> u32 {
        let (nodes, points) = (self.nodes.len(), self.points.len());
        let point = self.insert_one(from, op, events, end);
        let group = self.symbols.group.clone();
        if self.nodes.len() == nodes || group.nontrivial_count() == 0 {
            return point;
        }
        let slot = self.points[from as usize].slot;
        if slot == 0 {
            let boundaries =
                events.iter().filter(|o| o.event == StepEvent::Boundary).count() as u32;
            if self.points.len() > points && op + boundaries == group.threads_op {
                self.fill_images(&vec![point; group.nontrivial_count() + 1]);
            }
            return point;
        }
        let mut images = vec![point];
        for index in 0..group.nontrivial_count() {
            let from = self.point_images.of(from, index);
            let events: Vec<ObservedEvent> =
                events.iter().map(|observed| self.image_of(*observed, index)).collect();
            let end = self.image_of_end(end, index);
            images.push(self.insert_one(from, op, &events, &end));
        }
        if self.points.len() > points && point != NONE {
            self.fill_images(&images);
        }
        point
    }

    /// The program point at which a thread starts.
    pub(super) fn start(&mut self, slot: u32, key: u64) -> u32 {
        if let Some(point) = self.start_points.get(&(slot, key)) {
            return *point;
        }
        let point = self.add_start_point(slot, key);
        if slot == 0 {
            return point;
        }
        let group = self.symbols.group.clone();
        let mut images = vec![point];
        for permutation in (0..group.nontrivial_count()).map(|index| group.nontrivial(index)) {
            images.push(self.add_start_point(permutation.slot(slot), permutation.pointer(key)));
        }
        self.fill_images(&images);
        point
    }

    /// Adds a start point without images, unless it is known.
    fn add_start_point(&mut self, slot: u32, key: u64) -> u32 {
        if let Some(point) = self.start_points.get(&(slot, key)) {
            return *point;
        }
        let hash = Thread::initial_state(slot, key);
        let (slot_word, pending) = (self.symbols.slot(slot), Pending::Start);
        let exact = append(0, key);
        let history = LocalHistory {
            buffer_observations: Box::default(),
            exact,
            observed: (exact, 0),
            locks: Box::default(),
            scopes: Box::default(),
            outcome: None,
        };
        let point =
            self.push_point(ProgramPoint { slot, slot_word, pending, hash, next: NONE }, history);
        self.start_points.insert((slot, key), point);
        point
    }

    /// Adds a program point, without images.
    pub(super) fn push_point(&mut self, point: ProgramPoint, history: LocalHistory) -> u32 {
        let number = self.points.len() as u32;
        let nontrivial_count = self.symbols.group.nontrivial_count();
        // Different from the fingerprint of any other state.
        let unique = |index: usize| append(append(point.hash, 8), index as u64);
        self.image_hashes.extend((0..nontrivial_count).map(unique));
        self.point_images.add(NONE);
        self.points.push(point);
        self.histories.push(history);
        number
    }

    /// Sets the images of an orbit of points.
    fn fill_images(&mut self, images: &[u32]) {
        self.point_images.fill(&self.symbols.group, images);
        let nontrivial_count = self.symbols.group.nontrivial_count();
        for point in images {
            for index in 0..nontrivial_count {
                let image = self.point_images.of(*point, index) as usize;
                self.image_hashes[*point as usize * nontrivial_count + index] =
                    self.points[image].hash;
            }
        }
    }

    /// The image of an event under a permutation.
    fn image_of(&self, observed: ObservedEvent, index: usize) -> ObservedEvent {
        let ObservedEvent { event, value } = observed;
        let symbols = &self.symbols;
        let permutation = symbols.group.nontrivial(index);
        let word = |word: u32| symbols.image(word, index);
        let permuted = |word: u32, value: u64| symbols.value_image(word, value, index);
        let object = |object: u32| symbols.object_image(object, index);
        let value = match event {
            StepEvent::Read { word } | StepEvent::Update(Update { word, .. }) => {
                value.map(|value| permuted(word, value))
            }
            _ => value,
        };
        let event = match event {
            StepEvent::Read { word: w } => StepEvent::Read { word: word(w) },
            StepEvent::Write { word: w, value } => {
                StepEvent::Write { word: word(w), value: permuted(w, value) }
            }
            StepEvent::New { word: w, value } => {
                StepEvent::New { word: word(w), value: permuted(w, value) }
            }
            StepEvent::Update(update) => {
                StepEvent::Update(Update { word: word(update.word), ..update })
            }
            StepEvent::Plain { word: w, write } => StepEvent::Plain { word: word(w), write },
            StepEvent::Release { word: w } => StepEvent::Release { word: word(w) },
            StepEvent::Alloc { object: o } => StepEvent::Alloc { object: object(o) },
            StepEvent::Free { object: o } => StepEvent::Free { object: object(o) },
            StepEvent::Spawn { slot, key } => {
                StepEvent::Spawn { slot: permutation.slot(slot), key: permutation.pointer(key) }
            }
            StepEvent::Live { .. }
            | StepEvent::Fault
            | StepEvent::Grant
            | StepEvent::Boundary
            | StepEvent::ScopeBegin
            | StepEvent::ScopeEnd => event,
        };
        ObservedEvent { event, value }
    }

    /// The image of the end of a step under a permutation.
    fn image_of_end<'a>(&self, end: &StepEnd<'a>, index: usize) -> StepEnd<'a> {
        let StepEnd::Point { slot, pending, locks, outcome, .. } = end else { return end.clone() };
        let word = |word: u32| self.symbols.image(word, index);
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
        let slot = self.symbols.group.nontrivial(index).slot(*slot);
        let locks = locks.iter().map(|lock| word(*lock)).collect();
        StepEnd::Point { slot, pending, hash: None, locks, outcome: *outcome }
    }

    /// Fingerprint of the image of a point.
    #[inline]
    pub(crate) fn image_hash(&self, point: u32, index: usize) -> Fingerprint {
        self.image_hashes[point as usize * self.symbols.group.nontrivial_count() + index]
    }

    /// The image of a point, if it is known.
    pub(crate) fn point_image(&self, point: u32, index: usize) -> Option<u32> {
        Some(self.point_images.of(point, index)).filter(|image| *image != NONE)
    }

    /// Contribution of the image of a written value; `written` is an index into
    /// [`StepTable::written_values`].
    #[inline]
    pub(crate) fn image_contribution(&self, written: u32, index: usize) -> Contribution {
        self.image_contributions[written as usize * self.symbols.group.nontrivial_count() + index]
    }
}
