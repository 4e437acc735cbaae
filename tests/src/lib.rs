//! Suites that run the kernel-shaped source of `ifq-model` on loom and on shuttle.
//!
//! loom and shuttle are ordinary dependencies: `cargo test -p ifq-tests` runs everything.
//!
//! | platform | sees | does not see |
//! |---|---|---|
//! | [`loom_platform::Loom`] | weak memory, every interleaving of 2 to 5 threads | anything bigger |
//! | [`shuttle_platform::Shuttle`] | many threads, random and PCT schedules | weak memory |
//!
//! Both find by construction: a touched freed object, a double free (I1, I2), a race on plain
//! memory (I8), a lock taken twice and a deadlock (I4).

pub mod block_on;
pub mod engine;
pub mod generate;
pub mod litmus;
pub mod loom_atomic;
pub mod loom_model;
pub mod loom_platform;
mod objects;
mod races;
pub mod rig;
pub mod shuttle_model;
pub mod shuttle_platform;
mod shuttle_sched;

/// Prints what a search covered. The test harness keeps back what tests print and shows it only if
/// they fail; what a passing test has covered is to be seen, too.
pub(crate) fn say(what: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{what}");
}
