//! Schedules from the bytes of a fuzzer.

use ifq_model::fault::FaultPoint;

use super::choice::{Scheduler, SchedulingPoint};

/// Takes decisions from bytes, for fuzzing. At the end of the bytes each thread runs to its end.
#[derive(Clone, Debug)]
pub struct FuzzSchedule {
    bytes: std::vec::IntoIter<u8>,
    compares_states: bool,
}

impl FuzzSchedule {
    /// Uses one byte for each decision.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let bytes = Vec::from(bytes).into_iter();
        FuzzSchedule { bytes, compares_states: true }
    }

    /// The same schedule for a run whose states are not compared.
    pub(crate) fn without_states(self) -> Self {
        FuzzSchedule { compares_states: false, ..self }
    }
}

impl Scheduler for FuzzSchedule {
    fn compares_states(&self) -> bool {
        self.compares_states
    }

    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        // Without a choice no byte is consumed.
        if point.enabled.len() == 1 {
            return Some(0);
        }
        let byte = self.bytes.next().unwrap_or(0);
        Some(usize::from(byte) % point.enabled.len())
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.bytes.next().unwrap_or(0) & 7 == 7
    }
}
