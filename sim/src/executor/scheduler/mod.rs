//! Schedulers decide which thread runs next, and which fault point fails.

mod choice;
mod fuzz;
mod pct;
mod random;
mod replay;
mod round_robin;

pub(crate) use choice::PreemptionCounter;
pub use choice::{Scheduler, SchedulingPoint};
pub use fuzz::FuzzSchedule;
pub(crate) use pct::Pct;
pub use random::Random;
pub use replay::Replay;
pub(crate) use round_robin::RoundRobin;
