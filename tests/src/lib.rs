//! Platforms that run the source of `ifq-model` on loom and on shuttle, and the parts that the suites in
//! `tests/` share.
//!
//! loom and shuttle are ordinary dependencies without build flags: `cargo test -p ifq-tests` runs all
//! suites.
//!
//! | platform | explores | does not explore |
//! |---|---|---|
//! | [`loom_platform::Loom`] | weak memory, every interleaving of 2 to 5 threads | anything bigger |
//! | [`shuttle_platform::Shuttle`] | many threads, random and PCT schedules | weak memory |
//!
//! Both platforms detect an access to a freed object (I1), a double free (I2), a data race on plain
//! memory (I8), a lock that a thread takes twice, and a deadlock (I4), without an assertion in the body.

pub mod block_on;
mod blocking;
pub mod c_source;
pub mod engine;
pub mod fixture;
pub mod generate;
pub mod litmus;
pub mod loom_atomic;
pub mod loom_model;
pub mod loom_platform;
mod objects;
mod races;
pub mod shuttle_model;
pub mod shuttle_platform;
mod shuttle_sched;

/// Prints the coverage of a search. Writes to standard error directly, because the test harness hides
/// the output of tests that pass.
pub(crate) fn print_coverage(what: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{what}");
}
