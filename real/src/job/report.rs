//! What a machine reports.

use std::collections::BTreeMap;
use std::fmt;

use ifq_model::outcome::Outcome;
use serde::{Deserialize, Serialize};

use super::start_skew::StartSkew;
use crate::kernels::probe::Probe;

/// The result of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// All repetitions ran to their end.
    Completed {
        /// The number of repetitions with each outcome, in the order of the outcomes.
        histogram: Vec<(Outcome, u64)>,
        /// Problems that no outcome shows: leaks, wrong bytes, warnings of the kernel.
        problems: Vec<String>,
        /// Threads that were blocked by a delayed page fault.
        stalls: Stalls,
        /// How far apart the threads of a race started.
        start_skew: Option<StartSkew>,
        /// Where the packets of device sockets went. `None`: the machine has no NIC.
        packets: Option<DevicePackets>,
        /// The failures of a sweep ([`super::Job::sweep`]).
        #[serde(default)]
        failures: Vec<FailedCall>,
    },
    /// The test could not be run.
    NotRun {
        /// Why.
        reason: String,
    },
    /// The test hung, or crashed the machine.
    Broken {
        /// What is known about it.
        reason: String,
    },
}

/// A call that failed at a place where the kernel was told to inject a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCall {
    /// The index of the step in the test.
    pub step: usize,
    /// The place in the call, from 1.
    pub nth: u32,
    /// The kind of failure, such as `failslab`.
    pub kind: String,
    /// Whether the next slab allocation failed as well, because the kernel tries this one again.
    #[serde(default)]
    pub twice: bool,
    /// The places on the stack as the kernel prints them, such as `io_pin_pages+0x1f`, the innermost first. Calls that
    /// the compiler has inlined are missing.
    pub stack: Vec<String>,
    /// What user space saw.
    pub outcome: Outcome,
}

/// Packets with payload that arrived at the receive queues of a NIC, and the completions with their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePackets {
    /// Packets that the NIC wrote into buffers of a memory provider.
    pub placed: u64,
    /// Packets that the NIC wrote into ordinary pages, because the queue was not bound.
    pub ordinary: u64,
    /// Packets that the NIC wrote into ordinary pages although the queue was bound.
    pub misplaced: u64,
    /// Completions whose bytes are in the buffer that the NIC wrote them to.
    pub zero_copy: u64,
    /// Completions with bytes that the kernel copied out of ordinary pages.
    pub copied: u64,
    /// Completions with bytes of which nothing says where they were.
    #[serde(default)]
    pub unproven: u64,
    /// Allocations of a queue's memory that the NIC failed because the test allows that fault.
    #[serde(default)]
    pub failed: u64,
}

/// Threads that were blocked in a system call while another call waited for a page fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stalls {
    /// Repetitions in which a call waited for a delayed page.
    pub late: u64,
    /// Those of them in which that blocked another thread.
    pub stalled: u64,
    /// By the page that was late: the first case, described for the user.
    pub examples: BTreeMap<String, String>,
}

impl Stalls {
    /// Adds the counts of another repetition.
    pub fn add(&mut self, other: Stalls) {
        self.late += other.late;
        self.stalled += other.stalled;
        for (page, example) in other.examples {
            self.examples.entry(page).or_insert(example);
        }
    }
}

/// The complete answer of a machine.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The probe of its kernel.
    pub probe: Probe,
    /// One report for each test of the job.
    pub reports: Vec<Report>,
    /// How the machine was run.
    pub how: RunInfo,
}

/// How a machine was run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Whether the guest was accelerated by KVM. `None`: the machine is not a QEMU guest.
    pub accelerated: Option<bool>,
    /// Processors of the guest. `None`: the machine is the host.
    pub cpus: Option<u32>,
    /// Number of starts; more than one if the machine crashed or hung.
    pub boots: u32,
    /// Milliseconds from the first start to the first line of the answer.
    pub boot_ms: u64,
    /// Deviations from the requested configuration, for the user.
    pub notes: Vec<String>,
}

impl fmt::Display for RunInfo {
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
