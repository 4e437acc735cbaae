//! Every small test, up to a number of rings and of racing operations.
//!
//! A test is a prologue ([`family`]), racing operations ([`alphabet`](mod@alphabet)) distributed over threads
//! ([`code`](mod@code)) and an epilogue ([`build`](mod@build)). Tests that differ only in names are one test
//! (`canonical.rs`). This is what diy7 does for memory models and ACE (CrashMonkey, OSDI 2018) for file
//! systems. [`stream`](mod@stream) enumerates codes without storing them.

pub mod action;
pub mod alphabet;
pub mod build;
mod canonical;
pub mod code;
pub mod family;
pub mod plan;
pub mod record;
pub mod run;
pub mod sample;
pub mod smaller;
pub mod stream;

#[cfg(test)]
mod tests;

pub use self::build::{build, name};
pub use self::family::{Family, Mode, Prologue};
pub use self::plan::{Plan, TestId};
pub use self::stream::{Size, count, stream};
