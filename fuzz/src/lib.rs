//! Fuzz targets, and what they have in common: the decoding of bytes into a test and a schedule.
//!
//! | target | bytes are | fails if |
//! |---|---|---|
//! | `world` | operations, faults and schedule of one run | an invariant breaks in a fixed revision |
//! | `canary` | the same, with the defect `early-put` on | as `world`; it **must** fail, within seconds |
//! | `parse` | a test file, as text and as JSON | reading panics, or what was read is not printed and read back the same |
//!
//! `world` and `canary` print the failing run as a test file with its schedule, which `ifq replay`
//! repeats. `tests/smoke.rs` runs all three without libFuzzer.
//!
//! With cargo-fuzz, on stable Rust, from the workspace's root; new inputs go into the first folder:
//!
//! ```text
//! mkdir -p target/corpus/world
//! cargo fuzz run world --sanitizer none target/corpus/world fuzz/corpus/world -- \
//!     -max_total_time=60 -max_len=512 -len_control=0
//! ```
//!
//! The seeds in `corpus/` are made from the test library:
//! `cargo run -p ifq-fuzz --example seeds`.

pub mod app;
pub mod decode;
pub mod draw;
pub mod encode;
pub mod targets;
