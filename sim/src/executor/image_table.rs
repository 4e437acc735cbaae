//! Images under the permutations of a group, by number.

use super::permutation::PermutationGroup;

/// Images of words, objects or program points under the permutations of a group.
#[derive(Clone, Debug)]
pub(crate) struct ImageTable {
    columns: usize,
    images: Vec<u32>,
}

impl ImageTable {
    pub(crate) fn new(group: &PermutationGroup) -> Self {
        ImageTable { columns: group.nontrivial_count(), images: Vec::new() }
    }

    /// Appends an item whose images are all `image`.
    pub(crate) fn add(&mut self, image: u32) {
        self.images.extend(std::iter::repeat_n(image, self.columns));
    }

    /// Sets the images of a whole orbit. `images` are those of one item under all permutations.
    pub(crate) fn fill(&mut self, group: &PermutationGroup, images: &[u32]) {
        for (index, image) in images.iter().enumerate() {
            let at = *image as usize * self.columns;
            let row = &mut self.images[at..at + self.columns];
            row.iter_mut()
                .zip(group.images_of_image(images, index))
                .for_each(|(to, new)| *to = new);
        }
    }

    /// The image of an item under a permutation.
    #[inline]
    pub(crate) fn of(&self, item: u32, index: usize) -> u32 {
        self.images[item as usize * self.columns + index]
    }
}
