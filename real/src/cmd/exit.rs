//! The exit codes of `ifq`.

/// All results are as expected.
pub const EXIT_OK: u8 = 0;
/// A violation, or a difference between kernel and model.
pub const EXIT_DIFFERENCE: u8 = 1;
/// A usage error: a file that cannot be read, or an invalid option.
pub const EXIT_USAGE: u8 = 2;
/// Not run, for a reason that was printed.
pub const EXIT_NOT_RUN: u8 = 77;
/// Interrupted by the user: 128 + SIGINT, as shells count it.
pub const EXIT_INTERRUPTED: u8 = 130;
