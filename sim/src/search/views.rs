//! The fingerprints of a state's images under renamings, kept up to date with the state's own.

use crate::executor::fingerprint::Fingerprint;
use crate::executor::record::Cell;
use crate::step_table::Code;

/// One image each for the others of the group. Not inlined where a search has none: it would slow the
/// others down.
#[derive(Clone, Debug)]
pub(super) struct Views {
    others: usize,
    /// Without what belongs to buffers.
    own: Vec<Fingerprint>,
    /// By image and buffer, see [`super::state::State`].
    signatures: Vec<Fingerprint>,
    buffers: usize,
    /// By word and image: what it adds.
    cells: Vec<Cell>,
    /// Of each word that was set, in order: what its images added before.
    undo: Vec<Cell>,
}

impl Views {
    /// Of the state in which the first thread starts.
    pub(super) fn new(code: &Code) -> Self {
        let others = code.names.group.others();
        let buffers = code.names.symmetry.count as usize;
        Views {
            others,
            own: (0..others).map(|index| code.image_hash(Code::FIRST, index)).collect(),
            signatures: vec![0; others * buffers],
            buffers,
            cells: Vec::new(),
            undo: Vec::new(),
        }
    }

    /// Makes room for so many words.
    pub(super) fn grow(&mut self, words: usize) {
        self.cells.resize(words * self.others, Cell::NONE);
    }

    /// What was done cannot be taken back any more.
    pub(super) fn forget_undo(&mut self) {
        self.undo.clear();
    }

    #[inline]
    fn toggle(&mut self, index: usize, cell: Cell) {
        match cell.buffer() {
            None => self.own[index] ^= cell.hash(),
            Some(buffer) => self.signatures[index * self.buffers + buffer as usize] ^= cell.hash(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.others == 0
    }

    /// A word is set; `image` says what its images add now.
    #[inline(never)]
    pub(super) fn set(&mut self, word: u32, image: impl Fn(usize) -> Cell) {
        for index in 0..self.others {
            let at = word as usize * self.others + index;
            let new = image(index);
            let old = std::mem::replace(&mut self.cells[at], new);
            self.undo.push(old);
            self.toggle(index, old);
            self.toggle(index, new);
        }
    }

    /// The word that was set last is what it was before.
    #[inline(never)]
    pub(super) fn unset(&mut self, word: u32) {
        for index in (0..self.others).rev() {
            let at = word as usize * self.others + index;
            let Some(old) = self.undo.pop() else { return };
            let new = std::mem::replace(&mut self.cells[at], old);
            self.toggle(index, new);
            self.toggle(index, old);
        }
    }

    /// A thread starts at a stop, or has never been there.
    #[inline(never)]
    pub(super) fn start(&mut self, code: &Code, stop: u32) {
        for index in 0..self.others {
            self.own[index] ^= code.image_hash(stop, index);
        }
    }

    /// A thread goes from one stop to another.
    #[inline(never)]
    pub(super) fn move_to(&mut self, code: &Code, from: u32, to: u32) {
        for index in 0..self.others {
            self.own[index] ^= code.image_hash(from, index) ^ code.image_hash(to, index);
            if self.buffers > 0 {
                self.tell(code, from, index);
                self.tell(code, to, index);
            }
        }
    }

    fn tell(&mut self, code: &Code, stop: u32, index: usize) {
        let Some(image) = code.stop_image(stop, index) else { return };
        for cell in &code.pasts[image as usize].told {
            self.toggle(index, *cell);
        }
    }

    /// By image: its fingerprint, and the signatures of its buffers.
    pub(super) fn fingerprints(&self) -> impl Iterator<Item = (Fingerprint, &[Fingerprint])> {
        let signatures = |index: usize| &self.signatures[index * self.buffers..][..self.buffers];
        self.own.iter().enumerate().map(move |(index, own)| (*own, signatures(index)))
    }
}
