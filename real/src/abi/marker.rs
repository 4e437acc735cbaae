//! Markers: calls of `prctl(2)` by which the threads of a forced test tell the controller where they are.
//!
//! The controller has a breakpoint at the kernel's entry of the call. The kernel itself rejects the unknown option.

/// The option of a marker, which no kernel knows.
pub const OPTION: i32 = 0x0069_6671;

/// The kernel function that a marker enters.
pub const FUNCTION: &str = "__x64_sys_prctl";

/// The result that the controller gives to [`Marker::Symbols`].
pub const TAKEN: i64 = 0x7a6b;

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// The kernel's symbols are at this address, so many bytes. The call is repeated until it returns [`TAKEN`].
    Symbols(u64, u64),
    /// A test begins: its index in the job.
    Begin(u64),
    /// The calling thread of the test is about to execute a step of its own.
    Step(u64, u64),
    /// The calling thread is about to execute a step of the set-up.
    Setup(u64),
    /// The calling thread is about to execute a final step.
    Finally(u64),
    /// The calling thread of the test has executed all its steps.
    Done(u64),
    /// A test has ended.
    End(u64),
    /// The calling thread of the test is about to access the refill ring, as its producer.
    Producer(u64, ProducerAccess),
    /// The calling thread of the test is about to write a packet of its step to the device: the number of the packet.
    Packet(u64, u64),
}

/// An access of the producer of a refill ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ProducerAccess {
    /// It reads its own index.
    LoadTail,
    /// It reads the index of the kernel.
    LoadHead,
    /// It writes an entry.
    StoreEntry,
    /// It publishes the entry.
    StoreTail,
}

impl ProducerAccess {
    /// All of them, by their number.
    pub const ALL: [ProducerAccess; 4] =
        [Self::LoadTail, Self::LoadHead, Self::StoreEntry, Self::StoreTail];
}

impl Marker {
    /// The second to fourth argument of the call.
    #[must_use]
    pub fn arguments(self) -> [u64; 3] {
        match self {
            Marker::Symbols(at, len) => [0, at, len],
            Marker::Begin(test) => [1, test, 0],
            Marker::Step(thread, step) => [2, thread, step],
            Marker::Setup(step) => [3, step, 0],
            Marker::Finally(step) => [4, step, 0],
            Marker::Done(thread) => [5, thread, 0],
            Marker::End(test) => [6, test, 0],
            Marker::Producer(thread, access) => [7, thread, access as u64],
            Marker::Packet(thread, number) => [8, thread, number],
        }
    }

    /// The marker with these arguments.
    #[must_use]
    pub fn of(arguments: [u64; 3]) -> Option<Self> {
        let [kind, first, second] = arguments;
        Some(match kind {
            0 => Marker::Symbols(first, second),
            1 => Marker::Begin(first),
            2 => Marker::Step(first, second),
            3 => Marker::Setup(first),
            4 => Marker::Finally(first),
            5 => Marker::Done(first),
            6 => Marker::End(first),
            7 => Marker::Producer(first, *ProducerAccess::ALL.get(second as usize)?),
            8 => Marker::Packet(first, second),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_one_marker() {
        let (test, end) = (Marker::Begin(3), Marker::End(3));
        let steps = [Marker::Step(1, 2), Marker::Step(2, 1), Marker::Setup(1), Marker::Finally(1)];
        let all = [Marker::Symbols(5, 6), test, end, Marker::Done(3), Marker::Packet(2, 3)];
        let accesses = ProducerAccess::ALL.map(|access| Marker::Producer(1, access));
        for marker in all.into_iter().chain(steps).chain(accesses) {
            assert_eq!(Marker::of(marker.arguments()), Some(marker));
        }
        assert_eq!(Marker::of([9, 0, 0]), None);
        assert_eq!(Marker::of([7, 0, 4]), None);
    }
}
