//! Printing. An error on standard output ends the program: the user would take incomplete output for a
//! complete one. Errors on standard error are ignored, because there is no place left to report them.
//!
//! Standard output writes whole lines at once, so a full device is noticed at the latest by [`finish`].

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

/// Exit code of a program whose output cannot be written.
pub(crate) const EXIT_CODE: u8 = 2;

/// Like `println!`; see [`crate::output::print`] for errors.
macro_rules! outln {
    ($($arg:tt)*) => { out!("{}\n", format_args!($($arg)*)) };
}

/// Like `print!`; see [`crate::output::print`] for errors.
macro_rules! out {
    ($($arg:tt)*) => { $crate::output::print(format_args!($($arg)*)) };
}

/// Like `eprintln!`, without a panic if standard error cannot be written.
macro_rules! errln {
    ($($arg:tt)*) => { err!("{}\n", format_args!($($arg)*)) };
}

/// Like `eprint!`, without a panic if standard error cannot be written.
macro_rules! err {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr(), $($arg)*);
    }};
}

/// A table without lines. It fits the terminal if standard output is one; otherwise no cell is wrapped.
pub(crate) fn table() -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    if terminal_width().is_some() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// The width of the terminal in characters. `None`: standard output is no terminal, or a serial line, which has none.
pub(crate) fn terminal_width() -> Option<u16> {
    Table::new().width().filter(|width| *width > 0)
}

/// Prints to standard output. If that is impossible, the program ends: quietly as by SIGPIPE if the
/// reader of a pipe has closed it, otherwise with a message and the exit code of a usage error.
pub(crate) fn print(text: Arguments<'_>) {
    written(io::stdout().write_fmt(text));
}

/// Writes what standard output still holds, with the same errors as [`print`]. Called once, at the end.
pub(crate) fn finish() {
    written(io::stdout().flush());
}

/// Ends the program if standard output could not be written, as [`print`] does.
pub(crate) fn written(result: io::Result<()>) {
    if let Err(error) = result {
        end(&error);
    }
}

fn end(error: &io::Error) -> ! {
    if error.kind() == ErrorKind::BrokenPipe {
        end_as_by_sigpipe();
    }
    errln!("ifq: cannot write standard output: {error}");
    std::process::exit(i32::from(EXIT_CODE))
}

/// Ends the program as the signal does that a C program gets: shells report exit code 141.
fn end_as_by_sigpipe() -> ! {
    #[cfg(target_os = "linux")]
    let _ = signal_hook::low_level::emulate_default_handler(libc::SIGPIPE);
    // Without signals, the exit code that shells report for it.
    std::process::exit(128 + 13)
}
