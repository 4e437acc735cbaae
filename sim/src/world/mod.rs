//! The simulator: one seed is one world that lives long.
//!
//! The core idea is that a world is a [test](ifq_model::test::Test) like any other, only a long one that a seed
//! draws: dozens of rings, connections and threads, thousands of operations, then a `finally` in which everything
//! must end. So each engine can run it, a failure is a test file with a schedule, and the shrinker makes it small.
//!
//! | file | subject |
//! |---|---|
//! | [`options`], [`profile`], [`feature`] | what a seed draws first |
//! | `draw`, `draft` | the test of a world |
//! | `application`, `buffers`, `network`, `liveness` | what happens in it |
//! | `strategy`, `schedulers`, `faults` | which thread runs, and what fails |
//! | `run`, `failure`, `statistics` | one run, a small test for its failure, sums over many |

mod application;
mod buffers;
mod draft;
mod draw;
mod failure;
mod faults;
pub mod feature;
mod liveness;
mod network;
pub mod options;
pub mod profile;
mod run;
mod schedulers;
mod statistics;
mod strategy;

pub use draw::World;
pub use failure::{Cut, cut};
pub use faults::FaultRate;
pub use options::{Kernels, Options};
pub use profile::Profile;
pub use run::WorldRun;
pub use statistics::Statistics;
pub use strategy::Strategy;
