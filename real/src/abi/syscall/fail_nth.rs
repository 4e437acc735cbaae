//! `/proc/thread-self/fail-nth`: makes the n-th place in a system call fail at which the kernel can inject a failure
//! (`Documentation/fault-injection/fault-injection.rst`, `CONFIG_FAULT_INJECTION`).
//!
//! A call that tries an allocation again needs a second failure: while `fail-nth` counts, nothing else fails; after it,
//! slab allocations of a thread with `make-it-fail` fail as `failslab` says (`should_fail_ex`, lib/fault-inject.c).

use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};

const FILE: &str = "/proc/thread-self/fail-nth";
const MAKE_IT_FAIL: &str = "/proc/thread-self/make-it-fail";
/// How often slab allocations of a thread with `make-it-fail` fail: -1 for ever, 0 never.
const FAILSLAB_TIMES: &str = "/sys/kernel/debug/failslab/times";

/// Where a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailAt {
    /// The place, from 1.
    pub nth: u32,
    /// The next slab allocation fails as well, or the next two if this one is none.
    pub twice: bool,
}

thread_local! {
    /// The place at which the next call fails.
    static NEXT: Cell<Option<FailAt>> = const { Cell::new(None) };
    /// Whether the last call with such a place came to it.
    static FAILED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Calls a function in which the first `io_uring_register(2)` or `io_uring_enter(2)` of this thread fails at a place.
/// The second result: whether the call had so many places; `None`: no call was made.
pub fn with_failure<T>(place: FailAt, f: impl FnOnce() -> T) -> (T, Option<bool>) {
    FAILED.set(None);
    NEXT.set(Some(place));
    let result = f();
    NEXT.set(None);
    (result, FAILED.take())
}

/// Makes a call, with a failure if [`with_failure`] wants one.
pub(super) fn call<T>(call: impl FnOnce() -> T) -> T {
    let Some(place) = NEXT.take() else { return call() };
    let Ok(mut file) = OpenOptions::new().read(true).write(true).open(FILE) else { return call() };
    if place.twice && fail_slab().is_err() {
        stop_failing_slab();
        return call();
    }
    if file.write_all(place.nth.to_string().as_bytes()).is_err() {
        if place.twice {
            stop_failing_slab();
        }
        return call();
    }
    let ret = call();
    FAILED.set(Some(rest(&mut file).is_ok_and(|rest| rest == 0)));
    // It fails if its own copy from user space is the place, which ends the injection, too.
    let _ = file.write_all(b"0");
    if place.twice {
        stop_failing_slab();
    }
    ret
}

/// The next slab allocation of this thread fails once `fail-nth` has ended. The failure of `fail-nth` counts, too.
fn fail_slab() -> io::Result<()> {
    fs::write(MAKE_IT_FAIL, "1")?;
    fs::write(FAILSLAB_TIMES, "2")
}

fn stop_failing_slab() {
    // To open a file is a slab allocation: it fails as often as failures are left.
    for (file, value) in [(FAILSLAB_TIMES, "0"), (MAKE_IT_FAIL, "0")] {
        for _ in 0..4 {
            if fs::write(file, value).is_ok() {
                break;
            }
        }
    }
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
        let place = FailAt { nth: 1, twice: false };
        let (ret, failed) = with_failure(place, || call(|| 7));
        // A kernel with the file fails at no place of a call that enters no system call.
        assert_eq!((ret, failed.unwrap_or(false)), (7, false));
        assert_eq!(with_failure(place, || 7), (7, None));
        assert_eq!(call(|| 7), 7);
    }

    #[test]
    fn the_number_of_places_that_are_left_is_read_with_its_newline() {
        assert_eq!(rest(&mut &b"12\n"[..]).unwrap(), 12);
        assert_eq!(rest(&mut &b"0\n\0"[..]).unwrap(), 0);
        assert!(rest(&mut &b""[..]).is_err());
    }
}
