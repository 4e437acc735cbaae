//! Places in a [`Test`], independent of its text.

use std::fmt;

use ifq_model::test::arg::UsedResult;
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
pub enum StepPart {
    /// The operation itself.
    Verb,
    /// The name that the result is bound to.
    Bind,
    /// The ring before the verb.
    Ring,
    /// A ring among the arguments.
    OtherRing,
    /// A result of another step.
    Result(UsedResult),
    /// The socket.
    Socket,
    /// A number, by its key.
    Number(&'static str),
    /// The word of a refill ring.
    RqWord,
    /// One of the argument modifiers.
    ArgModifier(usize),
    /// One of the names waited for.
    After(usize),
}

/// A part of a test. Numbers are indices into the lists of [`Test`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The name.
    Name,
    /// The sentence of documentation.
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
    /// A setup option of a ring.
    Setup(usize),
    /// The list of sockets.
    Sockets,
    /// A socket.
    Socket(usize),
    /// A socket's queue.
    SocketQueue(usize),
    /// The number of queues.
    Queues,
    /// The list of variables.
    Vars,
    /// A variable.
    Var(usize),
    /// The list of threads.
    Threads,
    /// A thread's name.
    Thread(usize),
    /// A section's length.
    Steps(Section),
    /// A part of a step.
    Step(Section, usize, StepPart),
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
    /// A fixed defect of an expectation.
    ExpectWithout(usize, usize),
    /// A revision of an expectation.
    ExpectRevision(usize, usize),
    /// A condition.
    Condition(usize),
    /// The result of a comparison in a condition. Comparisons count in the order of the text.
    Compared(usize, usize),
    /// What a result is compared with.
    ComparedTo(usize, usize),
    /// A defect of a condition.
    ConditionDefect(usize, usize),
    /// A fixed defect of a condition.
    ConditionWithout(usize, usize),
    /// A revision of a condition.
    ConditionRevision(usize, usize),
    /// A defect of the schedule.
    ScheduleDefect(usize),
    /// A fixed defect of the schedule.
    ScheduleWithout(usize),
    /// The lines of the schedule.
    Switches,
    /// A part of a line of the schedule.
    Switch(usize, SwitchPart),
}

/// A part of a line of a schedule in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SwitchPart {
    /// The thread.
    Thread,
    /// The kernel function.
    Function,
    /// What the access does.
    Access,
    /// The object of the access.
    Object,
    /// A fault point that fails.
    Failing(usize),
}

impl Place {
    /// The place in words: `thread a, step 3, ifq`. Positions count from 1.
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
            Place::Condition(i) => format!("condition {}", i + 1),
            Place::Compared(i, j) => format!("condition {}, comparison {}", i + 1, j + 1),
            Place::ComparedTo(i, j) => {
                format!("condition {}, comparison {}, right side", i + 1, j + 1)
            }
            Place::ConditionDefect(i, j) => format!("condition {}, defect {}", i + 1, j + 1),
            Place::ConditionWithout(i, j) => format!("condition {}, without {}", i + 1, j + 1),
            Place::ConditionRevision(i, j) => format!("condition {}, revision {}", i + 1, j + 1),
            Place::ScheduleDefect(i) => format!("schedule, defect {}", i + 1),
            Place::ScheduleWithout(i) => format!("schedule, without {}", i + 1),
            Place::Switches => "schedule".to_owned(),
            Place::Switch(i, _) => format!("schedule, line {}", i + 1),
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
    /// The section in words: `setup`, `thread a`.
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

    /// Sections of equal rank run concurrently, a lower rank before a higher one.
    pub(super) fn rank(self) -> u8 {
        match self {
            Section::Setup => 0,
            Section::Thread(_) => 1,
            Section::Finally => 2,
        }
    }
}

impl fmt::Display for StepPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StepPart::Verb => "operation",
            StepPart::Bind => "bound name",
            StepPart::Ring => "ring",
            StepPart::OtherRing => "source ring",
            StepPart::Result(UsedResult::OwnIfq | UsedResult::AnyIfq) => "ifq",
            StepPart::Result(UsedResult::Fd | UsedResult::AnyFd) => "fd",
            StepPart::Result(UsedResult::Cqe) => "cqe",
            StepPart::Result(UsedResult::Request) => "request",
            StepPart::Socket => "socket",
            StepPart::Number(key) => key,
            StepPart::RqWord => "word",
            StepPart::ArgModifier(_) => "modifier",
            StepPart::After(_) => "after",
        })
    }
}

/// A validation error: `PLACE: message; expected ...`.
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

    /// The place of the error.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// The error.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What was expected.
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.expected
    }
}
