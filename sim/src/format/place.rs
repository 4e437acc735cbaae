//! Where in a [`Test`] something is wrong, independent of the text it came from.

use std::fmt;

use ifq_model::test::{Step, Test};

/// A list of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// [`Test::setup`].
    Setup,
    /// One of [`Test::threads`].
    Thread(usize),
    /// [`Test::finally`].
    Finally,
}

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The operation itself.
    Verb,
    /// The name that the result is bound to.
    Bind,
    /// The ring.
    Ring,
    /// The source ring of a clone.
    From,
    /// The ifq.
    Ifq,
    /// The file descriptor.
    Fd,
    /// The completion.
    Cqe,
    /// The socket.
    Socket,
    /// The device queue.
    Queue,
    /// The number of buffers.
    Buffers,
    /// The number of entries.
    Entries,
    /// The number of bytes.
    Len,
    /// The word of a refill ring.
    Word,
    /// What is unusual about the argument: one of the modifiers.
    ArgModifier(usize),
    /// One of the names waited for.
    After(usize),
}

/// A part of a test. Numbers are indices into the lists of [`Test`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The name.
    Name,
    /// The sentence about it.
    About,
    /// The list of revisions.
    Revisions,
    /// A revision.
    Revision(usize),
    /// An entry of the catalogue.
    Show(usize),
    /// The list of rings.
    Rings,
    /// A ring.
    Ring(usize),
    /// How a ring is set up: one of the list.
    Setup(usize),
    /// The list of sockets.
    Sockets,
    /// A socket.
    Socket(usize),
    /// A socket's queue.
    SocketQueue(usize),
    /// The number of queues.
    Queues,
    /// The list of bound names.
    Vars,
    /// A bound name.
    Var(usize),
    /// The list of threads.
    Threads,
    /// A thread's name.
    Thread(usize),
    /// A section's length.
    Steps(Section),
    /// A part of a step.
    Step(Section, usize, Part),
    /// A fault point.
    Fault(usize),
    /// The number of faults.
    MaxFaults,
    /// An observed name.
    Observe(usize),
    /// The list of expectations.
    Expects,
    /// An expectation.
    Expect(usize),
    /// A defect of an expectation.
    ExpectDefect(usize, usize),
    /// A defect that an expectation is without.
    ExpectWithout(usize, usize),
    /// A revision of an expectation.
    ExpectRevision(usize, usize),
    /// A defect of the schedule.
    ScheduleDefect(usize),
    /// A defect that the schedule is without.
    ScheduleWithout(usize),
}

impl Place {
    /// For people: `thread a, step 3, ifq`. Positions count from 1.
    fn describe(self, test: &Test) -> String {
        match self {
            Place::Name => "name".to_owned(),
            Place::About => "about".to_owned(),
            Place::Revisions => "revisions".to_owned(),
            Place::Revision(i) => format!("revision {}", i + 1),
            Place::Show(i) => format!("shows {}", i + 1),
            Place::Rings => "rings".to_owned(),
            Place::Ring(i) => format!("ring {}", i + 1),
            Place::Setup(i) => format!("setups {}", i + 1),
            Place::Sockets => "sockets".to_owned(),
            Place::Socket(i) => format!("socket {}", i + 1),
            Place::SocketQueue(i) => format!("socket {}, queue", i + 1),
            Place::Queues => "queues".to_owned(),
            Place::Vars => "vars".to_owned(),
            Place::Var(i) => format!("var {}", i + 1),
            Place::Threads => "threads".to_owned(),
            Place::Thread(i) => format!("thread {}", i + 1),
            Place::Steps(section) => section.describe(test),
            Place::Step(section, i, part) => {
                format!("{}, step {}, {part}", section.describe(test), i + 1)
            }
            Place::Fault(i) => format!("fault {}", i + 1),
            Place::MaxFaults => "max faults".to_owned(),
            Place::Observe(i) => format!("observe {}", i + 1),
            Place::Expects => "expect".to_owned(),
            Place::Expect(i) => format!("expect {}", i + 1),
            Place::ExpectDefect(i, j) => format!("expect {}, defect {}", i + 1, j + 1),
            Place::ExpectWithout(i, j) => format!("expect {}, without {}", i + 1, j + 1),
            Place::ExpectRevision(i, j) => format!("expect {}, revision {}", i + 1, j + 1),
            Place::ScheduleDefect(i) => format!("schedule, defect {}", i + 1),
            Place::ScheduleWithout(i) => format!("schedule, without {}", i + 1),
        }
    }
}

/// The sections of a test, in the order of [`Test::steps`].
pub(super) fn sections(test: &Test) -> impl Iterator<Item = (Section, &[Step])> {
    let threads = test.threads.iter().enumerate();
    let threads = threads.map(|(i, t)| (Section::Thread(i), t.steps.as_slice()));
    std::iter::once((Section::Setup, test.setup.as_slice()))
        .chain(threads)
        .chain([(Section::Finally, test.finally.as_slice())])
}

impl Section {
    /// For people: `setup`, `thread a`.
    pub(super) fn describe(self, test: &Test) -> String {
        match self {
            Section::Setup => "setup".to_owned(),
            Section::Finally => "finally".to_owned(),
            Section::Thread(i) => match test.threads.get(i) {
                Some(thread) => format!("thread {}", thread.name),
                None => format!("thread {}", i + 1),
            },
        }
    }

    /// Sections of one rank run at the same time, a lower rank before a higher one.
    pub(super) fn rank(self) -> u8 {
        match self {
            Section::Setup => 0,
            Section::Thread(_) => 1,
            Section::Finally => 2,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Verb => "operation",
            Part::Bind => "bound name",
            Part::Ring => "ring",
            Part::From => "source ring",
            Part::Ifq => "ifq",
            Part::Fd => "fd",
            Part::Cqe => "cqe",
            Part::Socket => "socket",
            Part::Queue => "queue",
            Part::Buffers => "buffers",
            Part::Entries => "entries",
            Part::Len => "len",
            Part::Word => "word",
            Part::ArgModifier(_) => "modifier",
            Part::After(_) => "after",
        })
    }
}

/// Why a [`Test`] means nothing: `PLACE: message; expected ...`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}; expected {expected}")]
pub struct Invalid {
    place: Place,
    at: String,
    message: String,
    expected: String,
}

impl Invalid {
    pub(super) fn new(
        test: &Test,
        place: Place,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        let at = place.describe(test);
        Invalid { place, at, message: message.into(), expected: expected.into() }
    }

    /// Where it is wrong.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What should be there.
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.expected
    }
}
