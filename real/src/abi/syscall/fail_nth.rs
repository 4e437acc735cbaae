//! `/proc/thread-self/fail-nth`: makes the n-th place in a system call fail at which the kernel can inject a failure
//! (`Documentation/fault-injection/fault-injection.rst`, `CONFIG_FAULT_INJECTION`).

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};

const FILE: &str = "/proc/thread-self/fail-nth";

thread_local! {
    /// The place at which the next call fails.
    static NEXT: Cell<Option<u32>> = const { Cell::new(None) };
    /// Whether the last call with such a place came to it.
    static FAILED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Calls a function in which the first `io_uring_register(2)` of this thread fails at its `nth` place, from 1. The
/// second result: whether the call had so many places; `None`: no call was made.
pub fn with_failure<T>(nth: u32, f: impl FnOnce() -> T) -> (T, Option<bool>) {
    FAILED.set(None);
    NEXT.set(Some(nth));
    let result = f();
    NEXT.set(None);
    (result, FAILED.take())
}

/// Makes a call, with a failure if [`with_failure`] wants one.
pub(super) fn call(call: impl FnOnce() -> i64) -> i64 {
    let Some(nth) = NEXT.take() else { return call() };
    let Ok(mut file) = OpenOptions::new().read(true).write(true).open(FILE) else { return call() };
    if file.write_all(nth.to_string().as_bytes()).is_err() {
        return call();
    }
    let ret = call();
    FAILED.set(Some(rest(&mut file).is_ok_and(|rest| rest == 0)));
    // It fails if its own copy from user space is the place, which ends the injection, too.
    let _ = file.write_all(b"0");
    ret
}

/// The number of places that are left. The copy to user space of this read is a place itself: then it fails.
fn rest(file: &mut impl Read) -> io::Result<u32> {
    let mut text = [0; 16];
    let len = file.read(&mut text)?;
    let text = std::str::from_utf8(&text[..len]).map_err(io::Error::other)?;
    text.trim_end_matches(['\n', '\0']).parse().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_wish_and_without_the_file_a_call_is_made_once_and_nothing_fails() {
        assert_eq!(call(|| 7), 7);
        let (ret, failed) = with_failure(1, || call(|| 7));
        // A kernel with the file fails at no place of a call that enters no system call.
        assert_eq!((ret, failed.unwrap_or(false)), (7, false));
        assert_eq!(with_failure(1, || 7), (7, None));
        assert_eq!(call(|| 7), 7);
    }

    #[test]
    fn the_number_of_places_that_are_left_is_read_with_its_newline() {
        assert_eq!(rest(&mut &b"12\n"[..]).unwrap(), 12);
        assert_eq!(rest(&mut &b"0\n\0"[..]).unwrap(), 0);
        assert!(rest(&mut &b""[..]).is_err());
    }
}
