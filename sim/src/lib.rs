//! Deterministic engines for the model of `ifq-model`, and the test-file format.

/// `println!` that does not mind when the reader has gone, as in `ifq check | head`.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { $crate::tell!("{}\n", format_args!($($arg)*)) };
}

/// `print!`, in the manner of [`say!`].
#[macro_export]
macro_rules! tell {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), $($arg)*);
    }};
}

pub mod checkpoint;
pub mod cmd;
mod code;
pub mod counterexample;
pub mod det;
pub mod exec;
pub mod explore;
pub mod file;
pub mod generate;
mod path;
pub mod program;
pub mod reference;
pub mod report;
pub mod rng;
pub mod schedule;
mod search;
pub mod shortest;
pub mod shrink;
pub mod symmetry;
