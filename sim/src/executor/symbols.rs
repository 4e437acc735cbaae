//! The words and objects of all runs of a program, by names that are equal in all runs.

use std::collections::HashMap;
use std::sync::Arc;

use ifq_model::platform::label::{BufferIndex, BufferRole};
use ifq_model::platform::{Kind, Label};

use super::buffer_symmetry::{BufferSymmetry, split_buffer_index};
use super::contribution::Contribution;
use super::fingerprint::{Fingerprint, append, zobrist_key};
use super::image_table::ImageTable;
use super::naming::{live_name, word_name};
use super::permutation::{PermutationGroup, WordSort};

/// A word of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WordInfo {
    /// Its name in fingerprints.
    pub(crate) name: u64,
    /// The word that says whether its object is alive.
    pub(crate) live: u32,
    /// Threads add to it without reading. Such additions commute with each other but not with a read. For
    /// dependence an addition therefore counts as a read, and a read as a write.
    pub(crate) is_counter: bool,
    /// Its relation to symmetric buffers.
    buffer_relation: BufferRelation,
    /// What its values refer to.
    sort: WordSort,
}

/// A word that a run creates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewWord {
    /// See [`word_name`].
    pub(crate) name: u64,
    /// See [`super::naming::map_word_number`].
    pub(crate) number: u64,
    pub(crate) label: Label,
    pub(crate) lock: bool,
}

/// The relation of a word to symmetric buffers; see [`BufferSymmetry`].
#[derive(Clone, Copy, Debug)]
enum BufferRelation {
    /// None.
    Plain,
    /// A word of this buffer. `name` is common to all buffers.
    Own { buffer: u32, name: u64 },
    /// The value contains the index of a buffer.
    Index(BufferIndex),
}

impl WordInfo {
    fn plain(name: u64, live: u32) -> Self {
        let (buffer_relation, sort) = (BufferRelation::Plain, WordSort::Plain);
        WordInfo { name, live, is_counter: false, buffer_relation, sort }
    }
}

/// An object of the program.
#[derive(Clone, Debug)]
pub(crate) struct ObjectInfo {
    pub(crate) kind: Kind,
    pointer: u64,
    /// The word that is 1 while the object is alive.
    pub(crate) live: u32,
    /// The Zobrist key of being alive.
    pub(crate) live_key: Fingerprint,
    pub(crate) words: Vec<u32>,
}

/// Words and objects of all runs of a program.
#[derive(Clone, Debug)]
pub(crate) struct SymbolTable {
    pub(crate) words: Vec<WordInfo>,
    pub(crate) objects: Vec<ObjectInfo>,
    by_name: HashMap<u64, u32>,
    /// The word that was looked up last, and for each word the one that was looked up next. A cache.
    last_word: u32,
    next_lookup: Vec<u32>,
    by_pointer: HashMap<u64, u32>,
    pub(crate) symmetry: BufferSymmetry,
    /// By object and label: number of words that belong to buffers.
    buffer_words: HashMap<(u32, &'static str), u32>,
    pub(crate) group: Arc<PermutationGroup>,
    /// By word: its images under the permutations.
    word_images: ImageTable,
    object_images: ImageTable,
}

/// Number of object kinds; [`Kind::Harness`] is the last one.
pub(crate) const OBJECT_KINDS: usize = Kind::Harness as usize + 1;

/// The word that holds the number of faults left.
pub(crate) const FAULTS: u32 = OBJECT_KINDS as u32;

/// A word that is always 1: the liveness of words outside of objects.
pub(crate) const ALWAYS: u32 = FAULTS + 1;

/// The word that counts the live objects of a kind.
pub(crate) fn count_word(kind: Kind) -> u32 {
    kind as u32
}

impl SymbolTable {
    /// A table of the words that every run has.
    pub(crate) fn new(symmetry: BufferSymmetry, group: Arc<PermutationGroup>) -> Self {
        let mut symbols = SymbolTable {
            words: Vec::new(),
            objects: Vec::new(),
            by_name: HashMap::new(),
            last_word: ALWAYS,
            next_lookup: Vec::new(),
            by_pointer: HashMap::new(),
            symmetry,
            buffer_words: HashMap::new(),
            word_images: ImageTable::new(&group),
            object_images: ImageTable::new(&group),
            group,
        };
        for _ in 0..=ALWAYS {
            symbols.push(WordInfo::plain(0, ALWAYS));
        }
        symbols
    }

    /// A placeholder for a table that is in use elsewhere.
    pub(crate) fn empty() -> Self {
        SymbolTable::new(BufferSymmetry::NONE, Arc::new(PermutationGroup::trivial()))
    }

    /// Adds a word, with itself as its image under each permutation.
    fn push(&mut self, info: WordInfo) -> u32 {
        let word = self.words.len() as u32;
        self.words.push(info);
        self.next_lookup.push(ALWAYS);
        self.word_images.add(word);
        word
    }

    /// The word that represents a slot.
    pub(crate) fn slot(&mut self, slot: u32) -> u32 {
        let name = append(3, u64::from(slot)) as u64;
        if let Some(word) = self.by_name.get(&name) {
            return *word;
        }
        let word = self.push(WordInfo::plain(name, ALWAYS));
        self.by_name.insert(name, word);
        word
    }

    /// How an access of a word counts for dependence; see [`WordInfo::is_counter`].
    #[inline]
    pub(crate) fn conflict_access(&self, word: u32, write: bool) -> (u32, bool) {
        (word, write || self.words[word as usize].is_counter)
    }

    /// Looks up a word that a run has created, or adds it. `owner` is the object that contains it.
    pub(super) fn word(&mut self, new: NewWord, owner: Option<u32>) -> u32 {
        // Runs create their words in the same order as a rule.
        let next = self.next_lookup[self.last_word as usize];
        if self.words[next as usize].name != new.name {
            let known = self.by_name.get(&new.name).copied();
            let word = known.unwrap_or_else(|| self.add_word_with_images(new, owner));
            self.next_lookup[self.last_word as usize] = word;
        }
        self.last_word = self.next_lookup[self.last_word as usize];
        self.last_word
    }

    /// Adds a word and its images.
    fn add_word_with_images(&mut self, new: NewWord, owner: Option<u32>) -> u32 {
        let group = self.group.clone();
        let mut images = vec![self.add_word(new, owner)];
        for (index, permutation) in (0..group.nontrivial_count()).map(|i| (i, group.nontrivial(i)))
        {
            let owner = owner.map(|object| self.object_images.of(object, index));
            let pointer = owner.map_or(0, |object| self.objects[object as usize].pointer);
            let number = permutation.word_number(new.number);
            let name = word_name(number, new.label.name, pointer);
            images.push(self.add_word(NewWord { name, number, ..new }, owner));
        }
        self.word_images.fill(&group, &images);
        images[0]
    }

    fn add_word(&mut self, new: NewWord, owner: Option<u32>) -> u32 {
        let NewWord { name, label, lock, .. } = new;
        if let Some(word) = self.by_name.get(&name) {
            return *word;
        }
        let live = owner.map_or(ALWAYS, |object| self.objects[object as usize].live);
        let buffer_relation = self.buffer_relation(label, owner);
        let sort = if lock { WordSort::LockHolder } else { WordSort::of(label.sort) };
        let word = self.push(WordInfo { buffer_relation, sort, ..WordInfo::plain(name, live) });
        self.by_name.insert(name, word);
        if let Some(object) = owner {
            self.objects[object as usize].words.push(word);
        }
        word
    }

    /// The relation of a new word to buffers.
    fn buffer_relation(&mut self, label: Label, owner: Option<u32>) -> BufferRelation {
        let count = self.symmetry.count;
        match label.buffers {
            _ if count == 0 => return BufferRelation::Plain,
            BufferRole::None => return BufferRelation::Plain,
            BufferRole::Names(index) => return BufferRelation::Index(index),
            BufferRole::PerBuffer => {}
        }
        let label = label.name;
        let owner = owner.unwrap_or(u32::MAX);
        let next = self.buffer_words.entry((owner, label)).or_default();
        let buffer = *next;
        *next += 1;
        debug_assert!(buffer < count, "there are more {label} than buffers");
        let object = self.objects.get(owner as usize).map_or(u64::MAX, |object| object.pointer);
        let letters = label.bytes().fold(append(6, object), |h, b| append(h, u64::from(b)));
        BufferRelation::Own { buffer, name: letters as u64 }
    }

    /// The contribution of a word with a value to the fingerprint.
    #[inline]
    pub(crate) fn contribution(&self, word: u32, value: u64) -> Contribution {
        let info = &self.words[word as usize];
        match info.buffer_relation {
            BufferRelation::Plain => Contribution::of_state(zobrist_key(info.name, value)),
            BufferRelation::Own { buffer, name } => {
                Contribution::of_buffer(buffer, zobrist_key(name, value))
            }
            BufferRelation::Index(named) => {
                match split_buffer_index(named, value, self.symmetry.count) {
                    Some((buffer, rest)) => {
                        Contribution::of_buffer(buffer, zobrist_key(info.name, rest + 1))
                    }
                    None => Contribution::of_state(zobrist_key(info.name, value)),
                }
            }
        }
    }

    /// An observed value of a word without the index of a buffer, and the buffer that the observation
    /// concerns.
    pub(crate) fn without_buffer(&self, word: u32, value: u64) -> (u64, Option<u32>) {
        match self.words[word as usize].buffer_relation {
            BufferRelation::Plain => (value, None),
            BufferRelation::Own { buffer, .. } => (value, Some(buffer)),
            BufferRelation::Index(named) => {
                match split_buffer_index(named, value, self.symmetry.count) {
                    // Different from any value without a buffer.
                    Some((buffer, rest)) => (!rest, Some(buffer)),
                    None => (value, None),
                }
            }
        }
    }

    /// The image of a word under a permutation.
    #[inline]
    pub(crate) fn image(&self, word: u32, index: usize) -> u32 {
        self.word_images.of(word, index)
    }

    /// The image of an object under a permutation.
    pub(crate) fn object_image(&self, object: u32, index: usize) -> u32 {
        self.object_images.of(object, index)
    }

    /// The image of a value under a permutation.
    pub(crate) fn value_image(&self, word: u32, value: u64, index: usize) -> u64 {
        self.group.nontrivial(index).value(self.words[word as usize].sort, value)
    }

    /// The contribution of the image of a word with the image of a value.
    pub(crate) fn contribution_image(&self, word: u32, value: u64, index: usize) -> Contribution {
        self.contribution(self.image(word, index), self.value_image(word, value, index))
    }

    /// Looks up an object that a run has created, or adds it and its images.
    pub(super) fn object(&mut self, pointer: u64, kind: Kind) -> u32 {
        if let Some(object) = self.by_pointer.get(&pointer) {
            return *object;
        }
        let group = self.group.clone();
        let mut images = vec![self.add_object(pointer, kind)];
        for index in 0..group.nontrivial_count() {
            images.push(self.add_object(group.nontrivial(index).pointer(pointer), kind));
        }
        self.object_images.fill(&group, &images);
        let live: Vec<u32> = images.iter().map(|o| self.objects[*o as usize].live).collect();
        self.word_images.fill(&group, &live);
        images[0]
    }

    fn add_object(&mut self, pointer: u64, kind: Kind) -> u32 {
        if let Some(object) = self.by_pointer.get(&pointer) {
            return *object;
        }
        let name = live_name(pointer);
        let live = self.push(WordInfo::plain(name, ALWAYS));
        let object = self.objects.len() as u32;
        self.by_pointer.insert(pointer, object);
        let (live_key, words) = (zobrist_key(name, 1), Vec::new());
        self.objects.push(ObjectInfo { kind, pointer, live, live_key, words });
        self.object_images.add(object);
        object
    }
}
