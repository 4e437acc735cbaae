//! What is asked of a machine, and what it answers, one JSON object a line.

use std::fmt;

use ifq_model::outcome::Outcome;
use ifq_model::test::Test;
use serde::{Deserialize, Serialize};

use crate::probe::Probe;
use crate::spread::Spread;

/// Tests to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The tests; none: only the probe is wanted.
    pub tests: Vec<Test>,
    /// Repetitions of each.
    pub times: u32,
    /// What the jitter comes from.
    pub seed: u64,
    /// A wait gives up after so many milliseconds without progress.
    pub quiet_ms: u64,
    /// A repetition may take so many milliseconds, waits not included, before its test counts as
    /// stuck.
    pub patience_ms: u64,
    /// Makes the first test go wrong on purpose, to see that it is noticed.
    pub canary: Option<Canary>,
}

/// What a machine can be made to suffer. Only a guest suffers it; a host is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Canary {
    /// A warning appears in the kernel's log.
    Alarm,
    /// The test hangs.
    Hang,
    /// The kernel crashes.
    Crash,
    /// A ring with an ifq stays open.
    Leak,
    /// A number is taken that no open descriptor has.
    Number,
    /// A ring lives on although its descriptor is closed.
    Account,
}

impl Job {
    /// A job that only asks what the kernel can do.
    #[must_use]
    pub fn probe() -> Self {
        Job::new(Vec::new())
    }

    /// A job that runs each test once.
    #[must_use]
    pub fn new(tests: Vec<Test>) -> Self {
        Job { tests, times: 1, seed: 0, quiet_ms: 300, patience_ms: 30_000, canary: None }
    }
}

/// One line of the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum Line {
    /// The machine is up.
    Ready {
        /// What its kernel can do.
        probe: Probe,
    },
    /// Sign of life.
    Beat {
        /// Index into [`Job::tests`].
        test: usize,
        /// Repetitions done.
        done: u32,
    },
    /// A test has been run.
    Test {
        /// Index into [`Job::tests`].
        test: usize,
        /// What came of it.
        report: Report,
    },
    /// A test hangs; nothing follows.
    Stuck {
        /// Index into [`Job::tests`].
        test: usize,
        /// Repetitions done before.
        done: u32,
        /// What the kernel says its tasks are doing.
        tasks: Vec<String>,
    },
    /// Everything has been run.
    End,
}

/// What came of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// It ran to its end.
    Seen {
        /// How often each outcome came up, in the order of the outcomes.
        histogram: Vec<(Outcome, u64)>,
        /// What was wrong apart from outcomes: leaks, wrong bytes, the kernel's own alarms.
        problems: Vec<String>,
        /// What pages that came late held up.
        stalls: Stalls,
        /// How close the threads of a race were.
        spread: Option<Spread>,
    },
    /// It could not be run.
    NotRun {
        /// Why.
        reason: String,
    },
    /// It ran and hung, or took the machine down.
    Broken {
        /// What is known.
        reason: String,
    },
}

/// System calls that stood still because another one waited for a page of user space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stalls {
    /// Repetitions in which a call waited for its page.
    pub late: u64,
    /// Those of them in which that held up another thread's call.
    pub stalled: u64,
    /// How it was the first time, for people.
    pub example: Option<String>,
}

impl Stalls {
    /// Adds those of another repetition.
    pub fn add(&mut self, other: Stalls) {
        self.late += other.late;
        self.stalled += other.stalled;
        self.example = self.example.take().or(other.example);
    }
}

/// A machine's whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What its kernel can do.
    pub probe: Probe,
    /// One for each test of the job.
    pub reports: Vec<Report>,
    /// How it was run.
    pub how: How,
}

/// How a machine was run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct How {
    /// Whether the host's processor executes the guest's instructions (KVM); `None`: it is no guest
    /// of an emulator.
    pub accelerated: Option<bool>,
    /// Processors of a guest; `None`: those of the host.
    pub cpus: Option<u32>,
    /// How often it was started; more than once if it broke down.
    pub boots: u32,
    /// Milliseconds from its first start to its first word.
    pub boot_ms: u64,
    /// What is not as it was wanted, for people.
    pub notes: Vec<String>,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        match self.accelerated {
            Some(true) => words.push("KVM".to_owned()),
            Some(false) => words.push("emulated".to_owned()),
            None => {}
        }
        match self.cpus {
            Some(1) => words.push("1 CPU".to_owned()),
            Some(cpus) => words.push(format!("{cpus} CPUs")),
            None => {}
        }
        if self.boots > 1 {
            words.push(format!("booted {} times", self.boots));
        }
        f.write_str(&words.join(", "))
    }
}
