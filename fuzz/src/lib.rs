//! Fuzz targets, and the decoding of bytes into a test and a schedule that they share.
//!
//! | target | the bytes are | the target fails if |
//! |---|---|---|
//! | `world` | operations, faults and schedule of one run | an invariant breaks on a revision without its own defects |
//! | `canary` | the same, with the planted defect `early-put` | as `world`; it **must** fail within seconds |
//! | `parse` | a test file, as text and as JSON | parsing panics, or a parsed test changes when it is printed and parsed again |
//!
//! `world` and `canary` print the failing run as a test file with its schedule, for `ifq replay`.
//! `tests/smoke.rs` runs all three targets without libFuzzer.
//!
//! To run a target with cargo-fuzz, on stable Rust, in the root of the workspace (libFuzzer writes new
//! inputs into the first folder):
//!
//! ```text
//! mkdir -p target/corpus/world
//! cargo fuzz run world --sanitizer none target/corpus/world fuzz/corpus/world -- \
//!     -max_total_time=60 -max_len=512 -len_control=0
//! ```
//!
//! `cargo run -p ifq-fuzz --example seeds` writes the seeds in `corpus/` from the test-file library.

pub mod app;
pub mod choices;
pub mod decode;
pub mod encode;
pub mod targets;
