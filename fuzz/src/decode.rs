//! Decoding of bytes into a test and a schedule.
//!
//! An input has a header of six bytes, then operations of two bytes each, then the schedule. The schedule
//! begins after [`SEPARATOR`] in place of an operation, or after [`MAX_OPS`] operations. Missing bytes are
//! zero, so every input decodes to a valid test.

use std::fmt;

use arbitrary::{Arbitrary, Unstructured};
use ifq_model::fault::FaultPoint;
use ifq_model::revision::Revision;
use ifq_model::test::{Expect, Socket, Test, Thread};
use ifq_sim::format::{print, renumber};

use crate::app::{App, Section};
use crate::choices::OpBytes;

/// Number of bytes before the first operation.
pub const HEADER: usize = 6;
/// Largest number of operations.
pub const MAX_OPS: usize = 40;
/// In place of the first byte of an operation, it ends the operations.
pub const SEPARATOR: u8 = 0xff;

/// A decoded input: a test and a schedule for it.
#[derive(Clone, PartialEq, Eq)]
pub struct FuzzInput {
    /// A valid test without a schedule.
    pub test: Test,
    /// The scheduler's decisions, one byte each.
    pub schedule: Vec<u8>,
}

/// Prints the test as a file, for `cargo fuzz fmt` and its crash reports.
impl fmt::Debug for FuzzInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}# bytes of schedule: {:?}", print(&self.test), self.schedule)
    }
}

/// The decoded header.
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
    /// The revision.
    pub revision: Revision,
    /// The fault points that may fail, as a bit set.
    pub faults: u16,
    /// Limit on the number of failures, 0 to 2.
    pub max_faults: u8,
    /// The sockets that receive from a device queue, as a bit set.
    pub on_queue: u8,
    /// Operations in the set-up, 0 to 15.
    pub setup: u8,
    /// Operations in `finally`, 0 to 7.
    pub finally: u8,
}

impl Header {
    /// Decodes a header.
    #[must_use]
    pub fn read([counts, low, high, more, parts, revision]: [u8; HEADER]) -> Self {
        Header {
            rings: 1 + (counts & 3),
            sockets: counts >> 2 & 3,
            threads: 1 + (counts >> 4 & 3),
            queues: counts >> 6,
            revision: newest(usize::from(revision)),
            faults: u16::from_le_bytes([low, high]),
            // Half of the inputs have no faults.
            max_faults: (more & 3).saturating_sub(1),
            on_queue: more >> 2 & 7,
            setup: parts & 15,
            finally: parts >> 4 & 7,
        }
    }

    /// Encodes the header for [`Header::read`].
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

    /// The section of the operation at this position among `all`.
    #[must_use]
    pub fn section(self, position: usize, all: usize) -> Section {
        if position < usize::from(self.setup) {
            Section::Setup
        } else if position + usize::from(self.finally) >= all {
            Section::Finally
        } else {
            Section::Threads
        }
    }
}

/// The fault points that an input can enable. A delayed page fault is left out: in every revision some
/// call holds a lock during the page fault, so that one ring blocks another.
fn fault_points() -> impl Iterator<Item = FaultPoint> {
    FaultPoint::ALL.iter().copied().filter(|p| *p != FaultPoint::PageFaultWaits)
}

/// The revision that is `back` revisions older than the newest one, modulo their number.
fn newest(back: usize) -> Revision {
    let all = Revision::ALL;
    all[all.len() - 1 - back % all.len()]
}

impl FuzzInput {
    /// Decodes any bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut head = [0; HEADER];
        let (start, body) = bytes.split_at(bytes.len().min(HEADER));
        head[..start.len()].copy_from_slice(start);
        let header = Header::read(head);
        let (ops, schedule) = split(body);
        let mut app = App::new(header.test());
        for (i, bytes) in ops.iter().enumerate() {
            // An operation that does not apply is left out.
            let _ = app.next(header.section(i, ops.len()), *bytes);
        }
        FuzzInput { test: finish(app.test), schedule: schedule.to_vec() }
    }
}

/// Splits a body into operations and schedule. If the last operation has one byte only, its second byte is
/// zero.
fn split(body: &[u8]) -> (Vec<OpBytes>, &[u8]) {
    let mut ops = Vec::new();
    let mut rest = body;
    while ops.len() < MAX_OPS
        && let Some((&first, behind)) = rest.split_first()
    {
        if first == SEPARATOR {
            return (ops, behind);
        }
        let second = behind.split_first();
        ops.push([first, second.map_or(0, |(second, _)| *second)]);
        rest = second.map_or(&[], |(_, behind)| behind);
    }
    (ops, rest)
}

/// Observes all results and removes threads without steps.
pub(crate) fn finish(mut test: Test) -> Test {
    test.threads.retain(|thread| !thread.steps.is_empty());
    renumber(&mut test);
    test.observe = (0..test.vars.len() as u16).collect();
    test
}

impl<'a> Arbitrary<'a> for FuzzInput {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let len = u.arbitrary_len::<u8>()?;
        Ok(FuzzInput::decode(u.bytes(len)?))
    }

    fn arbitrary_take_rest(u: Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(FuzzInput::decode(u.take_rest()))
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
    fn an_empty_input_is_a_test_with_a_ring_and_no_steps() {
        let FuzzInput { test, schedule } = FuzzInput::decode(&[]);
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
    fn the_schedule_follows_the_largest_number_of_operations() {
        let (ops, schedule) = split(&[9; 2 * MAX_OPS + 3]);
        assert_eq!(ops.len(), MAX_OPS);
        assert_eq!(schedule, [9; 3]);
    }

    #[test]
    fn sections_follow_each_other() {
        let header = Header::read([0, 0, 0, 0, 0x12, 0]);
        let sections: Vec<Section> = (0..4).map(|i| header.section(i, 4)).collect();
        assert_eq!(sections, [Section::Setup, Section::Setup, Section::Threads, Section::Finally]);
    }

    #[test]
    fn an_input_leaves_bytes_for_the_next_one() -> arbitrary::Result<()> {
        let bytes: Vec<u8> = (0..60).collect();
        let mut u = Unstructured::new(&bytes);
        let (first, second) = (FuzzInput::arbitrary(&mut u)?, u8::arbitrary(&mut u)?);
        let len = first.test.steps().count() + first.schedule.len();
        assert!(len < bytes.len(), "{len} for the first, {second} for the second");
        assert_eq!(
            FuzzInput::arbitrary_take_rest(Unstructured::new(&bytes))?,
            FuzzInput::decode(&bytes)
        );
        Ok(())
    }
}
