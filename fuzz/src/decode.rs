//! Bytes as a test and a schedule.
//!
//! Six bytes of header, then operations of two bytes each, then, after [`SEPARATOR`] in place of
//! an operation or after the last one that there is room for, the schedule. Bytes that are missing
//! are zero: every input means something.

use std::fmt;

use arbitrary::{Arbitrary, Unstructured};
use ifq_model::fault::FaultPoint;
use ifq_model::revision::Revision;
use ifq_model::test::{Expect, Socket, Test, Thread};
use ifq_sim::format::{print, renumber};

use crate::app::{App, Part};
use crate::draw::Word;

/// Bytes before the first operation.
pub const HEADER: usize = 6;
/// Most operations.
pub const MAX_OPS: usize = 40;
/// In place of an operation: the schedule begins behind it.
pub const SEPARATOR: u8 = 0xff;

/// One run: what is done, and what decides the rest.
#[derive(Clone, PartialEq, Eq)]
pub struct World {
    /// A valid test without a schedule.
    pub test: Test,
    /// Decisions, a byte each.
    pub schedule: Vec<u8>,
}

/// The test as a file, for `cargo fuzz fmt` and its report of a crash.
impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}# bytes of schedule: {:?}", print(&self.test), self.schedule)
    }
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Rings, 1 to 4.
    pub rings: u8,
    /// Sockets, 0 to 3.
    pub sockets: u8,
    /// Threads, 1 to 4.
    pub threads: u8,
    /// Device queues, 0 to 3.
    pub queues: u8,
    /// The kernel.
    pub revision: Revision,
    /// Which fault points may fail, by position.
    pub faults: u16,
    /// At most so many of them fail, 0 to 2.
    pub max_faults: u8,
    /// Which sockets are on a device queue, by position.
    pub on_queue: u8,
    /// Operations of set-up, 0 to 15.
    pub setup: u8,
    /// Operations at the end, 0 to 7.
    pub finally: u8,
}

impl Header {
    /// Reads it.
    #[must_use]
    pub fn read([counts, low, high, more, parts, revision]: [u8; HEADER]) -> Self {
        Header {
            rings: 1 + (counts & 3),
            sockets: counts >> 2 & 3,
            threads: 1 + (counts >> 4 & 3),
            queues: counts >> 6,
            revision: newest(usize::from(revision)),
            faults: u16::from_le_bytes([low, high]),
            // Half of the inputs go without faults.
            max_faults: (more & 3).saturating_sub(1),
            on_queue: more >> 2 & 7,
            setup: parts & 15,
            finally: parts >> 4 & 7,
        }
    }

    /// Writes it; [`Header::read`] reads it back.
    #[must_use]
    pub fn write(self) -> [u8; HEADER] {
        let [low, high] = self.faults.to_le_bytes();
        let revision = (0..).find(|back| newest(usize::from(*back)) == self.revision);
        [
            (self.rings - 1) | self.sockets << 2 | (self.threads - 1) << 4 | self.queues << 6,
            low,
            high,
            if self.max_faults == 0 { 0 } else { self.max_faults + 1 } | self.on_queue << 2,
            self.setup | self.finally << 4,
            revision.unwrap_or(0),
        ]
    }

    /// A test without steps.
    #[must_use]
    pub fn test(self) -> Test {
        let names = |n: u8, names: &[&str]| -> Vec<String> {
            names.iter().take(usize::from(n)).map(|&name| name.to_owned()).collect()
        };
        let queues = u32::from(self.queues);
        let queue = |i: u32| (queues > 0 && self.on_queue >> i & 1 == 1).then(|| i % queues.max(1));
        let sockets = (0..).zip(names(self.sockets, &["s", "t", "u"]));
        let faulty =
            |(i, _): &(usize, FaultPoint)| self.max_faults > 0 && self.faults >> i & 1 == 1;
        let faults: Vec<FaultPoint> =
            fault_points().enumerate().filter(faulty).map(|(_, p)| p).collect();
        let threads = names(self.threads, &["a", "b", "c", "d"]).into_iter();
        Test {
            name: "fuzzed".to_owned(),
            revisions: vec![self.revision],
            rings: names(self.rings, &["A", "B", "C", "D"]),
            sockets: sockets.map(|(i, name)| Socket { name, queue: queue(i) }).collect(),
            queues,
            threads: threads.map(|name| Thread { name, steps: Vec::new() }).collect(),
            max_faults: if faults.is_empty() { 0 } else { u32::from(self.max_faults) },
            faults,
            expect: vec![Expect::default()],
            ..Test::default()
        }
    }

    /// Where the operation with this position among `all` stands.
    #[must_use]
    pub fn part(self, position: usize, all: usize) -> Part {
        if position < usize::from(self.setup) {
            Part::Setup
        } else if position + usize::from(self.finally) >= all {
            Part::Finally
        } else {
            Part::Threads
        }
    }
}

/// What may fail. A page that user space supplies when it likes is left out: some calls hold a lock
/// over it in every revision, so that one ring can hold up another.
fn fault_points() -> impl Iterator<Item = FaultPoint> {
    FaultPoint::ALL.iter().copied().filter(|p| *p != FaultPoint::PageFaultWaits)
}

/// The newest revision, or one that is so many older; then from the newest on again.
fn newest(back: usize) -> Revision {
    let all = Revision::ALL;
    all[all.len() - 1 - back % all.len()]
}

impl World {
    /// Decodes any bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut head = [0; HEADER];
        let (start, body) = bytes.split_at(bytes.len().min(HEADER));
        head[..start.len()].copy_from_slice(start);
        let header = Header::read(head);
        let (words, schedule) = split(body);
        let mut app = App::new(header.test());
        for (i, word) in words.iter().enumerate() {
            // A word that nothing can be done with is left out.
            let _ = app.next(header.part(i, words.len()), *word);
        }
        World { test: finish(app.test), schedule: schedule.to_vec() }
    }
}

/// Operations and schedule. A single byte before the end is an operation whose second byte is zero.
fn split(body: &[u8]) -> (Vec<Word>, &[u8]) {
    let mut words = Vec::new();
    let mut rest = body;
    while words.len() < MAX_OPS
        && let Some((&first, behind)) = rest.split_first()
    {
        if first == SEPARATOR {
            return (words, behind);
        }
        let second = behind.split_first();
        words.push([first, second.map_or(0, |(second, _)| *second)]);
        rest = second.map_or(&[], |(_, behind)| behind);
    }
    (words, rest)
}

/// All results are observed; threads without steps go.
pub(crate) fn finish(mut test: Test) -> Test {
    test.threads.retain(|thread| !thread.steps.is_empty());
    renumber(&mut test);
    test.observe = (0..test.vars.len() as u16).collect();
    test
}

impl<'a> Arbitrary<'a> for World {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let len = u.arbitrary_len::<u8>()?;
        Ok(World::decode(u.bytes(len)?))
    }

    fn arbitrary_take_rest(u: Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(World::decode(u.take_rest()))
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (0, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for counts in 0..=255 {
            for more in [0, 2, 3, 30, 31] {
                let revision = counts % Revision::ALL.len() as u8;
                let bytes = [counts, counts ^ 0x55, !counts, more, counts & 0x7f, revision];
                assert_eq!(Header::read(bytes).write(), bytes);
            }
        }
    }

    #[test]
    fn each_fault_point_has_a_bit() {
        let bytes = [0, 0xff, 0xff, 3, 0, 0];
        assert_eq!(Header::read(bytes).test().faults, fault_points().collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_are_a_test_with_a_ring_and_no_steps() {
        let World { test, schedule } = World::decode(&[]);
        assert_eq!(test.rings.len(), 1);
        assert_eq!(test.steps().count(), 0);
        assert!(schedule.is_empty());
    }

    #[test]
    fn the_separator_ends_the_operations() {
        assert_eq!(split(&[1, 2, 3, 4, 255, 5, 6, 7]), (vec![[1, 2], [3, 4]], &[5, 6, 7][..]));
        assert_eq!(split(&[1, 255, 3]), (vec![[1, 255], [3, 0]], &[][..]));
    }

    #[test]
    fn after_the_last_operation_all_is_schedule() {
        let (words, schedule) = split(&[9; 2 * MAX_OPS + 3]);
        assert_eq!(words.len(), MAX_OPS);
        assert_eq!(schedule, [9; 3]);
    }

    #[test]
    fn parts_follow_each_other() {
        let header = Header::read([0, 0, 0, 0, 0x12, 0]);
        let parts: Vec<Part> = (0..4).map(|i| header.part(i, 4)).collect();
        assert_eq!(parts, [Part::Setup, Part::Setup, Part::Threads, Part::Finally]);
    }

    #[test]
    fn an_input_composes_with_others() -> arbitrary::Result<()> {
        let bytes: Vec<u8> = (0..60).collect();
        let mut u = Unstructured::new(&bytes);
        let (first, second) = (World::arbitrary(&mut u)?, u8::arbitrary(&mut u)?);
        let len = first.test.steps().count() + first.schedule.len();
        assert!(len < bytes.len(), "{len} for the first, {second} for the second");
        assert_eq!(World::arbitrary_take_rest(Unstructured::new(&bytes))?, World::decode(&bytes));
        Ok(())
    }
}
