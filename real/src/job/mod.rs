//! The protocol between the tool and a machine: a job goes in, JSON lines come out.

mod report;
pub mod start_skew;

use ifq_model::test::Test;
use serde::{Deserialize, Serialize};

use crate::kernels::probe::Probe;
use crate::rig::Rig;

pub use report::{DevicePackets, FailedCall, Reply, Report, RunInfo, Stalls};

/// The problem that a completion came after the last one of its request.
pub const REPEATED_COMPLETION: &str = "a completion after the last one of its request";

/// The problem that a buffer changed while user space held it.
pub const OVERWRITTEN_BUFFER: &str = "a buffer was overwritten while user space held it";

/// How a problem begins that quotes the kernel log.
pub const KERNEL_LOG: &str = "kernel log:";

/// Tests to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The tests. Without tests the machine only probes its kernel.
    pub tests: Vec<Test>,
    /// Repetitions of each test.
    pub times: u32,
    /// Seed of the delays between threads.
    pub seed: u64,
    /// A wait ends without a result after so many milliseconds without progress of the test.
    pub idle_timeout_ms: u64,
    /// A test counts as stuck after a repetition of so many milliseconds, idle timeouts not included.
    pub stuck_timeout_ms: u64,
    /// Whether tests run that crash the kernel according to the model.
    pub crashes: bool,
    /// The NIC of a hardware rig, which is set up. `None`: the machine's own, if it has one.
    #[serde(default)]
    pub device: Option<Rig>,
    /// A failure to inject into the first test, to test that it is detected.
    pub injected: Option<InjectedFailure>,
    /// Whether a controller outside of the machine decides which thread runs; see [`crate::abi::marker`].
    #[serde(default)]
    pub forced: bool,
    /// Whether that controller knows the symbols of the kernel.
    #[serde(default)]
    pub symbols_known: bool,
    /// Whether each call fails at each place at which the kernel can inject a failure, instead of repetitions.
    #[serde(default)]
    pub sweep: bool,
}

/// A failure that can be injected into a guest. A host ignores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InjectedFailure {
    /// A warning in the kernel log.
    KernelWarning,
    /// The test hangs.
    Hang,
    /// The kernel crashes.
    Crash,
    /// A ring with an ifq stays open.
    Leak,
    /// A descriptor number is reserved without an open file.
    ReservedFd,
    /// A ring outlives its descriptor, so its memory stays charged to the user.
    LockedMemory,
}

impl Job {
    /// A job that only probes the kernel.
    #[must_use]
    pub fn probe() -> Self {
        Job::new(Vec::new())
    }

    /// A job that runs each test once.
    #[must_use]
    pub fn new(tests: Vec<Test>) -> Self {
        Job {
            tests,
            times: 1,
            seed: 0,
            idle_timeout_ms: 300,
            stuck_timeout_ms: 30_000,
            crashes: false,
            device: None,
            injected: None,
            forced: false,
            symbols_known: false,
            sweep: false,
        }
    }
}

/// One line of the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum JobLine {
    /// The machine is up.
    Ready {
        /// The probe of its kernel.
        probe: Probe,
    },
    /// The machine waits for its controller.
    Controlled {
        /// The index in the whole job of the first test of this boot.
        first: usize,
        /// The address of the kernel function that a marker enters; 0 if the controller knows it.
        marker: u64,
    },
    /// A test makes progress.
    Beat {
        /// Index into [`Job::tests`].
        test: usize,
        /// Repetitions done.
        done: u32,
    },
    /// A test has ended.
    Test {
        /// Index into [`Job::tests`].
        test: usize,
        /// Its result.
        report: Report,
    },
    /// A test hangs. No further line follows.
    Stuck {
        /// Index into [`Job::tests`].
        test: usize,
        /// Repetitions done before.
        done: u32,
        /// The kernel stacks of the threads, and warnings in the kernel log.
        tasks: Vec<String>,
    },
    /// Which lines of zcrx ran since the boot, if the kernel counts them.
    Coverage {
        /// The file of gcov with the counters, in hexadecimal digits.
        counters: String,
    },
    /// The kernel reported an error in a test that may crash it. The remaining tests need another boot.
    Damaged,
    /// All tests have ended.
    End,
}
