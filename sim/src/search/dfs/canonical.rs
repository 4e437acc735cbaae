//! The key of a state in the visited set: its canonical form under the symmetry group.

use super::Dfs;
use crate::executor::fingerprint::{Fingerprint, append};
use crate::search::cost_bound::CostBoundedVisited;
use crate::symmetry::Symmetries;

impl Dfs<'_> {
    /// The canonical fingerprint of the state, and the permutation that gives it; `None` for the identity.
    /// `extra` is combined with the fingerprint of each image.
    fn canonical_fingerprint(
        &self,
        symmetry: Symmetries,
        extra: impl Fn(Option<usize>) -> Fingerprint,
    ) -> (Fingerprint, Option<usize>) {
        let exact = !symmetry.buffers;
        let own = match exact {
            true => self.state.exact_fingerprint(),
            false => self.state.fingerprint(),
        };
        let own = (own ^ extra(None), None);
        if !symmetry.rings {
            return own;
        }
        let images = self.state.images(exact).enumerate();
        let images = images.map(|(index, image)| (image ^ extra(Some(index)), Some(index)));
        images.fold(own, |least, image| if image.0 < least.0 { image } else { least })
    }

    /// The image of a slot under a permutation.
    fn permuted_slot(&self, slot: u32, permutation: Option<usize>) -> u32 {
        permutation.map_or(slot, |index| self.table.symbols.group.nontrivial(index).slot(slot))
    }

    /// The key of the state in the visited set. If the remaining search depends on more than the state, the key
    /// contains that, too.
    pub(super) fn visited_key(&self) -> (Fingerprint, Option<usize>) {
        let running = self.table.points[self.state.threads[self.state.running] as usize].slot;
        let running = |permutation| u64::from(self.permuted_slot(running, permutation));
        let by_preemptions = self.cost_bound.as_ref().map(CostBoundedVisited::counts_preemptions);
        let symmetry = self.options.symmetry;
        match by_preemptions {
            // The cost of the remaining path depends on which enabled thread is running.
            Some(true) => {
                let continues = self.state.enabled(&self.table, self.state.running);
                let thread = |permutation| if continues { running(permutation) + 1 } else { 0 };
                self.canonical_fingerprint(symmetry, |permutation| append(5, thread(permutation)))
            }
            // The steps that the preemption bound allows depend on the running thread and the preemptions.
            None if self.options.preemptions.is_some() => {
                let used = u64::from(self.preemptions);
                self.canonical_fingerprint(symmetry, |permutation| {
                    append(append(4, running(permutation)), used)
                })
            }
            _ => self.canonical_fingerprint(symmetry, |_| 0),
        }
    }

    /// Inserts the state into the visited set; `false` if it was visited before.
    pub(super) fn is_new(&mut self, fingerprint: Fingerprint) -> bool {
        let main_point = self.state.threads[0];
        let has_image = || self.table.point_image(main_point, 0).is_some();
        let has_permutations = self.table.symbols.group.nontrivial_count() > 0;
        let count_orbits = self.options.count_orbits;
        if self.orbits.is_some() && (!count_orbits.rings || !has_permutations || has_image()) {
            let (orbit, _) = self.canonical_fingerprint(count_orbits, |_| 0);
            let is_new = self.orbits.as_mut().is_some_and(|orbits| orbits.insert(orbit));
            self.counts.orbits += u64::from(is_new);
        }
        if let Some(visited) = &mut self.cost_bound {
            let (preemptions, steps) = (u64::from(self.preemptions), self.frames.len() as u64);
            return visited.enter(fingerprint, preemptions, steps);
        }
        self.visited.insert(fingerprint)
    }
}
