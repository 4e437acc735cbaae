//! Deterministic engines for the model of `ifq-model`, and the test-file format.
//!
//! From low to high: [`executor`], the step table and [`symmetry`], [`search`]; above them [`shrink`],
//! [`report`], [`generate`], [`format`](mod@format) and the commands in [`cmd`].

/// `println!` that ignores a closed pipe, as in `ifq check | head`.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { $crate::tell!("{}\n", format_args!($($arg)*)) };
}

/// `print!` that ignores a closed pipe.
#[macro_export]
macro_rules! tell {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), $($arg)*);
    }};
}

pub mod cmd;
pub mod executor;
pub mod format;
pub mod generate;
pub mod report;
pub mod search;
pub mod shrink;
mod step_table;
pub mod symmetry;
