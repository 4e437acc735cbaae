//! Which tests a command goes through, in which order.

use std::ops::ControlFlow;

use super::build::name;
use super::code::Code;
use super::family::Family;
use super::stream::{Size, count, stream};

/// The largest number of rings that the names of a test allow.
pub const MAX_RINGS: u8 = 4;
/// The largest number of racing operations.
pub const MAX_OPS: u8 = 6;

/// All tests up to a size, the smallest first: by operations, then rings, then family, then number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Largest number of rings.
    pub rings: u8,
    /// Largest number of racing operations.
    pub ops: u8,
    /// The families, in order.
    pub families: Vec<Family>,
    /// Only every `shards`-th test, beginning with the one at this position.
    pub shard: u64,
    /// Number of shards.
    pub shards: u64,
    /// Only this test and later ones.
    pub from: Option<TestId>,
    /// Only this test and earlier ones.
    pub last: Option<TestId>,
}

/// A test of the enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestId {
    /// Its family.
    pub family: Family,
    /// Its size.
    pub size: Size,
    /// Its number in family and size, from 0.
    pub number: u64,
}

impl TestId {
    /// Its name: `e-2-3-nodev-held-17`.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.family, self.size, self.number)
    }

    /// The test with a name; `None` if it is no name of an enumerated test.
    #[must_use]
    pub fn named(name: &str) -> Option<TestId> {
        let mut parts = name.strip_prefix("e-")?.splitn(3, '-');
        let (rings, ops) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let (family, number) = parts.next()?.rsplit_once('-')?;
        let (family, number) = (Family::named(family)?, number.parse().ok()?);
        let id = TestId { family, size: Size { rings, ops }, number };
        let exists = (1..=MAX_RINGS).contains(&rings) && ops <= MAX_OPS;
        (exists && id.name() == name).then_some(id)
    }
}

impl Plan {
    /// All tests up to a size.
    #[must_use]
    pub fn all(rings: u8, ops: u8) -> Self {
        let families = Family::all().collect();
        Plan { rings, ops, families, shard: 0, shards: 1, from: None, last: None }
    }

    /// The parts of the plan, in order: a family and a size each.
    pub fn parts(&self) -> impl Iterator<Item = (Family, Size)> {
        let sizes =
            (0..=self.ops).flat_map(|ops| (1..=self.rings).map(move |rings| Size { rings, ops }));
        sizes.flat_map(|size| self.families.iter().map(move |family| (*family, size)))
    }

    /// The number of tests.
    #[must_use]
    pub fn count(&self) -> u64 {
        if self.from.is_none() && self.last.is_none() && self.shards == 1 {
            return self.parts().map(|(family, size)| count(family, size)).sum();
        }
        let mut count = 0;
        let _ = self.for_each(&mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        });
        count
    }

    /// Calls a function with each test, in order.
    ///
    /// # Errors
    /// If the function ends the stream.
    pub fn for_each(
        &self,
        visit: &mut dyn FnMut(TestId, &Code) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (mut position, mut selected) = (0, self.from.is_none());
        for (family, size) in self.parts() {
            stream(family, size, &mut |number, code| {
                let id = TestId { family, size, number };
                selected |= self.from == Some(id);
                let mine = selected && position % self.shards == self.shard;
                position += 1;
                selected &= self.last != Some(id);
                if mine { visit(id, code) } else { ControlFlow::Continue(()) }
            })?;
        }
        ControlFlow::Continue(())
    }
}
