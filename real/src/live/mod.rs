//! The executor: runs a test on the running kernel repeatedly and counts the outcomes.

mod arg;
mod connection;
mod delays;
pub mod device;
mod execute;
mod far_end;
mod far_socket;
mod idle;
mod inject;
mod injection;
pub mod kernel_log;
mod late_page;
pub mod leak_check;
mod memory;
mod operand;
mod options;
mod page_frames;
mod payload;
mod pending;
pub mod probe;
mod rng;
mod run;
mod sender;
mod session;
mod share;
mod start;
mod sweep;
mod tasks;
mod userfault_stall;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use ifq_model::outcome::Outcome;
use ifq_model::test::Test;

use crate::job::start_skew::StartSkew;
use crate::job::{DevicePackets, FailedCall, Stalls};
use crate::kernels::series::built_as;
use crate::kernels::supported::{Equipment, unsupported};
use crate::live::leak_check::ProcessSnapshot;

use device::Nic;
use session::{ConnectionPool, Session};
use sweep::{FailureLog, Sweep, failed_call};

pub use idle::IDLE_TIMEOUT;
pub use options::Options;

/// The observations of all repetitions.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// The number of repetitions with each outcome.
    pub histogram: BTreeMap<Outcome, u64>,
    /// Problems that no outcome shows, the first few.
    pub problems: Vec<String>,
    /// Threads that were blocked by a delayed page fault.
    pub stalls: Stalls,
    /// How far apart the threads of a race started.
    pub start_skew: Option<StartSkew>,
    /// Where the packets of device sockets went. `None`: there is no NIC.
    pub packets: Option<DevicePackets>,
    /// The failures of a sweep.
    pub failures: Vec<FailedCall>,
}

/// Maximum number of problems kept for one test; one is enough to fail it.
const PROBLEMS: usize = 8;
/// Repetitions between two checks for leaked memory. A ring is freed after an RCU grace period, and not
/// every repetition should wait for one.
const BATCH: u32 = 32;

/// Runs a test `options.times` times; `beat` is called after each repetition. `nic`: the device of tests that
/// have one.
///
/// # Errors
///
/// A message for the user: what the machine cannot do (create rings, connect sockets). It says nothing
/// about the zcrx code of the kernel.
pub fn run(
    test: &Test,
    options: &Options,
    nic: Option<&Arc<Nic>>,
    beat: &dyn Fn(),
) -> Result<Observations, String> {
    let equipment = Equipment {
        built_as: built_as(&rustix::system::uname().release().to_string_lossy()),
        ..nic.map_or(Equipment::default(), |nic| nic.equipment())
    };
    if let Some(reason) = unsupported(test, equipment) {
        return Err(reason);
    }
    let mut resources = ProcessSnapshot::take();
    // A test without a device must leave the NIC alone, and costs nothing.
    let nic = nic.filter(|_| test.queues > 0);
    let mut seen = Observations::default();
    let mut pool = ConnectionPool::new(test, nic, options.forced);
    nic.map(|nic| nic.take_packets());
    let mut samples = Vec::new();
    let mut sweep = match options.sweep {
        true => {
            sweep::prepare()?;
            Some((Sweep::of(test), FailureLog::start()))
        }
        false => None,
    };
    Session::with(test, options, nic, |session| {
        for repetition in 0.. {
            let failure = match &sweep {
                None if repetition == options.times => break,
                None => None,
                Some((sweep, _)) => match sweep.next() {
                    Some(failure) => Some(failure),
                    None => break,
                },
            };
            nic.map_or(Ok(()), |nic| nic.prepare(test))?;
            let (result, sockets) = session.run(repetition, pool.take()?, failure)?;
            pool.give_back(sockets);
            if let Some(bound) = nic.and_then(|nic| nic.wait_until_unbound(test.queues).err()) {
                seen.problems.push(bound);
                break;
            }
            nic.map_or(Ok(()), |nic| nic.end_failures())?;
            let failed = sweep.as_mut().and_then(|(sweep, log)| {
                let found = result.call_failed.then(|| log.new_failure().unwrap_or_default());
                let place = sweep.advance(found.as_ref().map(|(_, stack)| &**stack))?;
                Some(failed_call(place, found?, &result.outcome))
            });
            match failed {
                Some(failed) => seen.failures.push(failed),
                None => *seen.histogram.entry(result.outcome).or_default() += 1,
            }
            seen.problems.extend(result.problems);
            seen.stalls.add(result.stalls);
            samples.extend(result.sample);
            if (repetition + 1) % BATCH == 0 {
                seen.problems.extend(resources.memory_leaks());
                pool.recycle();
            }
            seen.problems.truncate(PROBLEMS);
            beat();
        }
        Ok::<(), String>(())
    })?;
    seen.packets = nic.and_then(|nic| nic.take_packets());
    drop(pool);
    seen.problems.extend(resources.leaks());
    seen.start_skew = StartSkew::of(&samples);
    Ok(seen)
}
