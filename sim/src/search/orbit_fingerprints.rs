//! Fingerprints of a state's images under the permutations of the symmetry group, updated incrementally.

use crate::executor::contribution::Contribution;
use crate::executor::fingerprint::Fingerprint;
use crate::step_table::StepTable;

/// One fingerprint for each non-trivial permutation. The methods are not inlined: that would slow down
/// searches without symmetry.
#[derive(Clone, Debug)]
pub(super) struct OrbitFingerprints {
    count: usize,
    /// Without the signatures of buffers.
    own: Vec<Fingerprint>,
    /// By permutation and buffer; see [`super::state::State`].
    signatures: Vec<Fingerprint>,
    buffers: usize,
    /// By word and permutation: its contribution.
    contributions: Vec<Contribution>,
    /// The previous contributions of each word that was set, in order.
    undo_log: Vec<Contribution>,
}

impl OrbitFingerprints {
    /// Of the initial state.
    pub(super) fn new(table: &StepTable) -> Self {
        let count = table.symbols.group.nontrivial_count();
        let buffers = table.symbols.symmetry.count as usize;
        OrbitFingerprints {
            count,
            own: (0..count).map(|index| table.image_hash(StepTable::FIRST, index)).collect(),
            signatures: vec![0; count * buffers],
            buffers,
            contributions: Vec::new(),
            undo_log: Vec::new(),
        }
    }

    /// Makes room for `words` words.
    pub(super) fn grow(&mut self, words: usize) {
        self.contributions.resize(words * self.count, Contribution::NONE);
    }

    /// Drops the undo log.
    pub(super) fn discard_undo(&mut self) {
        self.undo_log.clear();
    }

    #[inline]
    fn toggle(&mut self, index: usize, contribution: Contribution) {
        match contribution.buffer() {
            None => self.own[index] ^= contribution.hash(),
            Some(buffer) => {
                self.signatures[index * self.buffers + buffer as usize] ^= contribution.hash()
            }
        }
    }

    /// Whether there is no non-trivial permutation.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A word is set; `image` returns its new contribution under a permutation.
    #[inline(never)]
    pub(super) fn set(&mut self, word: u32, image: impl Fn(usize) -> Contribution) {
        for index in 0..self.count {
            let at = word as usize * self.count + index;
            let new = image(index);
            let old = std::mem::replace(&mut self.contributions[at], new);
            self.undo_log.push(old);
            self.toggle(index, old);
            self.toggle(index, new);
        }
    }

    /// Undoes the last [`OrbitFingerprints::set`], which set this word.
    #[inline(never)]
    pub(super) fn undo_set(&mut self, word: u32) {
        for index in (0..self.count).rev() {
            let at = word as usize * self.count + index;
            let Some(old) = self.undo_log.pop() else { return };
            let new = std::mem::replace(&mut self.contributions[at], old);
            self.toggle(index, new);
            self.toggle(index, old);
        }
    }

    /// Adds or removes a thread that starts at a program point.
    #[inline(never)]
    pub(super) fn toggle_thread(&mut self, table: &StepTable, point: u32) {
        for index in 0..self.count {
            self.own[index] ^= table.image_hash(point, index);
        }
    }

    /// Moves a thread from one program point to another.
    #[inline(never)]
    pub(super) fn move_to(&mut self, table: &StepTable, from: u32, to: u32) {
        for index in 0..self.count {
            self.own[index] ^= table.image_hash(from, index) ^ table.image_hash(to, index);
            if self.buffers > 0 {
                self.toggle_buffer_observations(table, from, index);
                self.toggle_buffer_observations(table, to, index);
            }
        }
    }

    fn toggle_buffer_observations(&mut self, table: &StepTable, point: u32, index: usize) {
        let Some(image) = table.point_image(point, index) else { return };
        for contribution in &table.histories[image as usize].buffer_observations {
            self.toggle(index, *contribution);
        }
    }

    /// By permutation: the fingerprint, and the signatures of the buffers.
    pub(super) fn fingerprints(&self) -> impl Iterator<Item = (Fingerprint, &[Fingerprint])> {
        let signatures = |index: usize| &self.signatures[index * self.buffers..][..self.buffers];
        self.own.iter().enumerate().map(move |(index, own)| (*own, signatures(index)))
    }
}
