//! What a step does, taken down for [`crate::step_table`]: in names that are the same in every run.

use std::collections::HashMap;
use std::sync::Arc;

use ifq_model::platform::label::{BufferIndex, BufferRole};
use ifq_model::platform::{Kind, Label, Rmw};

use super::fingerprint::{Fingerprint, append, cell};
use super::machine::KINDS;
use super::names::{live_name, word_name};
use crate::symmetry::Symmetry;
use crate::symmetry::buffers::split;
use crate::symmetry::renaming::{Group, Meaning};

/// One event of a step. Words and objects by their index in [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Reads a word and goes on as its value says.
    Read { word: u32 },
    /// Writes a word.
    Write { word: u32, value: u64 },
    /// Changes a word and goes on as what it held says, or `most` if that is less.
    Update(Update),
    /// The access just before or after is one of ordinary memory.
    Plain { word: u32, write: bool },
    /// A word is released.
    Release { word: u32 },
    /// A new word that is not zero.
    New { word: u32, value: u64 },
    /// A new object.
    Alloc { object: u32 },
    /// The end of an object.
    Free { object: u32 },
    /// Counts the live objects of a kind.
    Live { kind: Kind },
    /// A fault point.
    Fault,
    /// Whether a wait was granted or given up.
    Grant,
    /// Starts a thread.
    Spawn { slot: u32, key: u64 },
    /// An operation ends.
    Boundary,
}

/// A change of a word that depends on what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) word: u32,
    pub(crate) op: Rmw,
    /// The thread sees what the word held, but not more than this.
    pub(crate) most: u64,
    /// It adds without a look, as threads do to a word that counts; see [`WordInfo::counts`].
    pub(crate) counts: bool,
}

/// An event, and the value that was observed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed {
    pub(crate) event: Event,
    pub(crate) value: Option<u64>,
}

/// A word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WordInfo {
    /// Under which it goes into fingerprints.
    pub(crate) name: u64,
    /// The word that says whether its object is alive.
    pub(crate) live: u32,
    /// Threads add to it without looking. Such changes can change places with each other, but not with
    /// a look: as if they read, and a look wrote.
    pub(crate) counts: bool,
    /// What it has to do with buffers that differ by name only.
    role: Role,
    /// What its values name.
    meaning: Meaning,
}

/// A word that a run makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewWord {
    /// See [`word_name`].
    pub(crate) name: u64,
    /// See [`super::names::number_of`].
    pub(crate) number: u64,
    pub(crate) label: Label,
    pub(crate) lock: bool,
}

/// See [`Symmetry`].
#[derive(Clone, Copy, Debug)]
enum Role {
    /// Nothing.
    Plain,
    /// It is a word of this buffer; under the name of them all.
    Own { buffer: u32, name: u64 },
    /// It names a buffer.
    Names(BufferIndex),
}

/// What a word with its value adds to a fingerprint, and whose: the top byte is zero if it is the
/// state's own, or says which buffer's. Small, because each write moves some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell(Fingerprint);

/// Bits below the top byte.
const OWNER: u32 = Fingerprint::BITS - 8;

impl Cell {
    pub(crate) const NONE: Cell = Cell(0);

    /// Buffers that can be told apart.
    pub(crate) const MAX_BUFFERS: u32 = u8::MAX as u32;

    /// Of the state's own.
    pub(crate) fn own(hash: Fingerprint) -> Self {
        Cell(hash & ((1 << OWNER) - 1))
    }

    /// Of a buffer, below [`Cell::MAX_BUFFERS`].
    pub(crate) fn of(buffer: u32, hash: Fingerprint) -> Self {
        Cell(Cell::own(hash).0 | Fingerprint::from(buffer + 1) << OWNER)
    }

    pub(crate) fn hash(self) -> Fingerprint {
        Cell::own(self.0).0
    }

    /// Whose it is, if not the state's own.
    #[inline]
    pub(crate) fn buffer(self) -> Option<u32> {
        ((self.0 >> OWNER) as u32).checked_sub(1)
    }
}

impl WordInfo {
    fn plain(name: u64, live: u32) -> Self {
        let (role, meaning) = (Role::Plain, Meaning::Plain);
        WordInfo { name, live, counts: false, role, meaning }
    }
}

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct ObjectInfo {
    pub(crate) kind: Kind,
    pointer: u64,
    /// The word that is 1 while it is alive.
    pub(crate) live: u32,
    /// What its being alive adds to a fingerprint.
    pub(crate) cell: Fingerprint,
    pub(crate) words: Vec<u32>,
}

/// Words and objects of all runs of a program.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) words: Vec<WordInfo>,
    pub(crate) objects: Vec<ObjectInfo>,
    by_name: HashMap<u64, u32>,
    /// The word that was asked for last, and by word which one was asked for after it.
    last: u32,
    follows: Vec<u32>,
    by_pointer: HashMap<u64, u32>,
    pub(crate) symmetry: Symmetry,
    /// Words of buffers, by object and label.
    own: HashMap<(u32, &'static str), u32>,
    pub(crate) group: Arc<Group>,
    /// By word: its images under the others of the group.
    word_images: Images,
    object_images: Images,
}

/// The word that holds how many faults are left.
pub(crate) const FAULTS: u32 = KINDS as u32;

/// A word that is always 1: what has no object is alive.
pub(crate) const ALWAYS: u32 = FAULTS + 1;

/// The word that counts the live objects of a kind.
pub(crate) fn count_word(kind: Kind) -> u32 {
    kind as u32
}

impl Names {
    /// Only the words that every run has.
    pub(crate) fn new(symmetry: Symmetry, group: Arc<Group>) -> Self {
        let mut names = Names {
            words: Vec::new(),
            objects: Vec::new(),
            by_name: HashMap::new(),
            last: ALWAYS,
            follows: Vec::new(),
            by_pointer: HashMap::new(),
            symmetry,
            own: HashMap::new(),
            word_images: Images::new(&group),
            object_images: Images::new(&group),
            group,
        };
        for _ in 0..=ALWAYS {
            names.push(WordInfo::plain(0, ALWAYS));
        }
        names
    }

    /// Takes the place of those that are elsewhere.
    pub(crate) fn nothing() -> Self {
        Names::new(Symmetry::NONE, Arc::new(Group::trivial()))
    }

    /// A new word, which is its own image unless somebody says otherwise.
    fn push(&mut self, info: WordInfo) -> u32 {
        let word = self.words.len() as u32;
        self.words.push(info);
        self.follows.push(ALWAYS);
        self.word_images.add(word);
        word
    }

    /// The word that stands for a slot.
    pub(crate) fn slot(&mut self, slot: u32) -> u32 {
        let name = append(3, u64::from(slot)) as u64;
        if let Some(word) = self.by_name.get(&name) {
            return *word;
        }
        let word = self.push(WordInfo::plain(name, ALWAYS));
        self.by_name.insert(name, word);
        word
    }

    /// How a word counts as touched by who looks at it, or changes it.
    #[inline]
    pub(crate) fn touch(&self, word: u32, write: bool) -> (u32, bool) {
        (word, write || self.words[word as usize].counts)
    }

    fn word(&mut self, new: NewWord, owner: Option<u32>) -> u32 {
        // Runs make their words in the same order as a rule.
        let next = self.follows[self.last as usize];
        if self.words[next as usize].name != new.name {
            let known = self.by_name.get(&new.name).copied();
            let word = known.unwrap_or_else(|| self.first_word(new, owner));
            self.follows[self.last as usize] = word;
        }
        self.last = self.follows[self.last as usize];
        self.last
    }

    /// Makes a word with all its images.
    fn first_word(&mut self, new: NewWord, owner: Option<u32>) -> u32 {
        let group = self.group.clone();
        let mut images = vec![self.one_word(new, owner)];
        for (index, renaming) in (0..group.others()).map(|i| (i, group.other(i))) {
            let owner = owner.map(|object| self.object_images.of(object, index));
            let pointer = owner.map_or(0, |object| self.objects[object as usize].pointer);
            let number = renaming.number(new.number);
            let name = word_name(number, new.label.name, pointer);
            images.push(self.one_word(NewWord { name, number, ..new }, owner));
        }
        self.word_images.fill(&group, &images);
        images[0]
    }

    fn one_word(&mut self, new: NewWord, owner: Option<u32>) -> u32 {
        let NewWord { name, label, lock, .. } = new;
        if let Some(word) = self.by_name.get(&name) {
            return *word;
        }
        let live = owner.map_or(ALWAYS, |object| self.objects[object as usize].live);
        let role = self.role(label, owner);
        let meaning = if lock { Meaning::Holder } else { Meaning::of(label.sort) };
        let word = self.push(WordInfo { role, meaning, ..WordInfo::plain(name, live) });
        self.by_name.insert(name, word);
        if let Some(object) = owner {
            self.objects[object as usize].words.push(word);
        }
        word
    }

    /// What a new word has to do with buffers.
    fn role(&mut self, label: Label, owner: Option<u32>) -> Role {
        let count = self.symmetry.count;
        match label.buffers {
            _ if count == 0 => return Role::Plain,
            BufferRole::None => return Role::Plain,
            BufferRole::Names(index) => return Role::Names(index),
            BufferRole::PerBuffer => {}
        }
        let label = label.name;
        let owner = owner.unwrap_or(u32::MAX);
        let next = self.own.entry((owner, label)).or_default();
        let buffer = *next;
        *next += 1;
        debug_assert!(buffer < count, "there are more {label} than buffers");
        let object = self.objects.get(owner as usize).map_or(u64::MAX, |object| object.pointer);
        let letters = label.bytes().fold(append(6, object), |h, b| append(h, u64::from(b)));
        Role::Own { buffer, name: letters as u64 }
    }

    /// What a word with this value adds to the fingerprint.
    #[inline]
    pub(crate) fn cell(&self, word: u32, value: u64) -> Cell {
        let info = &self.words[word as usize];
        match info.role {
            Role::Plain => Cell::own(cell(info.name, value)),
            Role::Own { buffer, name } => Cell::of(buffer, cell(name, value)),
            Role::Names(named) => match split(named, value, self.symmetry.count) {
                Some((buffer, rest)) => Cell::of(buffer, cell(info.name, rest + 1)),
                None => Cell::own(cell(info.name, value)),
            },
        }
    }

    /// What an observed value of a word is without the name of a buffer, and which buffer the observation
    /// tells of.
    pub(crate) fn blank(&self, word: u32, value: u64) -> (u64, Option<u32>) {
        match self.words[word as usize].role {
            Role::Plain => (value, None),
            Role::Own { buffer, .. } => (value, Some(buffer)),
            Role::Names(named) => match split(named, value, self.symmetry.count) {
                // Unlike any value that names none.
                Some((buffer, rest)) => (!rest, Some(buffer)),
                None => (value, None),
            },
        }
    }

    /// A word under one of the others of the group.
    #[inline]
    pub(crate) fn image(&self, word: u32, index: usize) -> u32 {
        self.word_images.of(word, index)
    }

    /// An object under one of the others of the group.
    pub(crate) fn object_image(&self, object: u32, index: usize) -> u32 {
        self.object_images.of(object, index)
    }

    /// A value of a word under one of the others of the group.
    pub(crate) fn value_image(&self, word: u32, value: u64, index: usize) -> u64 {
        self.group.other(index).value(self.words[word as usize].meaning, value)
    }

    /// What the image of a word with the image of this value adds to the fingerprint.
    pub(crate) fn cell_image(&self, word: u32, value: u64, index: usize) -> Cell {
        self.cell(self.image(word, index), self.value_image(word, value, index))
    }

    fn object(&mut self, pointer: u64, kind: Kind) -> u32 {
        if let Some(object) = self.by_pointer.get(&pointer) {
            return *object;
        }
        let group = self.group.clone();
        let mut images = vec![self.one_object(pointer, kind)];
        for index in 0..group.others() {
            images.push(self.one_object(group.other(index).pointer(pointer), kind));
        }
        self.object_images.fill(&group, &images);
        let live: Vec<u32> = images.iter().map(|o| self.objects[*o as usize].live).collect();
        self.word_images.fill(&group, &live);
        images[0]
    }

    fn one_object(&mut self, pointer: u64, kind: Kind) -> u32 {
        if let Some(object) = self.by_pointer.get(&pointer) {
            return *object;
        }
        let name = live_name(pointer);
        let live = self.push(WordInfo::plain(name, ALWAYS));
        let object = self.objects.len() as u32;
        self.by_pointer.insert(pointer, object);
        let (cell, words) = (cell(name, 1), Vec::new());
        self.objects.push(ObjectInfo { kind, pointer, live, cell, words });
        self.object_images.add(object);
        object
    }
}

/// What things become under the others of a group.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    others: usize,
    images: Vec<u32>,
}

impl Images {
    pub(crate) fn new(group: &Group) -> Self {
        Images { others: group.others(), images: Vec::new() }
    }

    /// The next thing, and its one image.
    pub(crate) fn add(&mut self, image: u32) {
        self.images.extend(std::iter::repeat_n(image, self.others));
    }

    /// The images of one thing under the whole group are each other's images.
    pub(crate) fn fill(&mut self, group: &Group, images: &[u32]) {
        for (index, image) in images.iter().enumerate() {
            let at = *image as usize * self.others;
            let row = &mut self.images[at..at + self.others];
            row.iter_mut().zip(group.images_of_image(images, index)).for_each(|(to, of)| *to = of);
        }
    }

    /// One image.
    #[inline]
    pub(crate) fn of(&self, thing: u32, index: usize) -> u32 {
        self.images[thing as usize * self.others + index]
    }
}

/// Takes down one step at a time.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) names: Names,
    pub(crate) events: Vec<Observed>,
    /// By the machine's numbers of this run.
    words: Vec<u32>,
    objects: Vec<u32>,
    /// A violation was found, and whether by what the thread did itself: what follows in the step
    /// does not count.
    stopped: Option<bool>,
}

impl Recorder {
    /// For one run.
    pub(crate) fn new(names: Names) -> Self {
        let (events, words, objects) = (Vec::new(), Vec::new(), Vec::new());
        Recorder { names, events, words, objects, stopped: None }
    }

    /// A step begins.
    pub(crate) fn begin(&mut self) {
        self.events.clear();
    }

    /// An invariant broke; `local`: by what the thread did, whatever is in the memory.
    pub(crate) fn stop(&mut self, local: bool) {
        self.stopped.get_or_insert(local);
    }

    pub(crate) fn stopped(&self) -> Option<bool> {
        self.stopped
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.stopped.is_none() {
            self.events.push(Observed { event, value: None });
        }
    }

    /// The last event has observed a value.
    pub(crate) fn observed(&mut self, value: u64) {
        if let Some(last) = self.events.last_mut().filter(|_| self.stopped.is_none()) {
            last.value = Some(value);
        }
    }

    pub(crate) fn word(&self, word: u32) -> u32 {
        self.words[word as usize]
    }

    pub(crate) fn object(&self, object: usize) -> u32 {
        self.objects[object]
    }

    pub(crate) fn new_word(&mut self, new: NewWord, owner: u32, value: u64) {
        let owner = self.objects.get(owner as usize).copied();
        let word = self.names.word(new, owner);
        self.words.push(word);
        if value != 0 {
            self.push(Event::New { word, value });
        }
    }

    pub(crate) fn alloc(&mut self, pointer: u64, kind: Kind) {
        let object = self.names.object(pointer, kind);
        self.objects.push(object);
        self.push(Event::Alloc { object });
    }
}
