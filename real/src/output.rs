//! Printing that does not panic when the reader of a pipe has closed it, as in `ifq check | head`.

/// Like `println!`, without a panic on a closed pipe.
macro_rules! outln {
    ($($arg:tt)*) => { out!("{}\n", format_args!($($arg)*)) };
}

/// Like `print!`, without a panic on a closed pipe.
macro_rules! out {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), $($arg)*);
    }};
}
