//! The subcommands that need no kernel.

pub mod bounds;
mod catalogue;
pub mod check;
mod check_args;
mod counterexample;
pub mod defects;
pub mod input;
pub mod outcomes;
mod pool;
pub mod replay;
pub mod show;
pub mod shrink;
pub mod simulate;

/// Everything is as it should be.
pub const EXIT_OK: u8 = 0;
/// A violation or a difference.
pub const EXIT_DIFFERENCE: u8 = 1;
/// Wrong use: a file that cannot be read, an option that makes no sense.
pub const EXIT_USAGE: u8 = 2;
