//! The errno values that the modelled paths return, as negative numbers with the kernel's names.

macro_rules! errno {
    ($($name:ident = $value:literal, $what:literal;)*) => {
        $(#[doc = $what] pub const $name: i64 = $value;)*

        /// The name of an errno, positive or negative: `EBADF`.
        #[must_use]
        pub fn name(errno: i64) -> Option<&'static str> {
            match errno.unsigned_abs() {
                $($value => Some(stringify!($name)),)*
                _ => None,
            }
        }

        /// All names, with their positive numbers.
        pub const NAMES: &[(&str, i64)] = &[$((stringify!($name), $value),)*];
    };
}

// Values of `include/uapi/asm-generic/errno-base.h` and `errno.h`.
errno! {
    EPERM = 1, "Operation not permitted.";
    ENOENT = 2, "No such file or directory.";
    EINTR = 4, "Interrupted.";
    ENXIO = 6, "No such device or address.";
    EBADF = 9, "Bad file descriptor.";
    EAGAIN = 11, "Try again.";
    ENOMEM = 12, "Out of memory.";
    EFAULT = 14, "Bad address.";
    EBUSY = 16, "Busy.";
    EEXIST = 17, "Exists.";
    ENODEV = 19, "No such device.";
    EINVAL = 22, "Invalid argument.";
    ENFILE = 23, "File table overflow.";
    EMFILE = 24, "Too many open files.";
    ENOSPC = 28, "No space left.";
    EPIPE = 32, "Broken pipe.";
    ERANGE = 34, "Out of range.";
    ENODATA = 61, "No data.";
    ETIME = 62, "Timer expired.";
    EBADFD = 77, "File descriptor in bad state.";
    EBADMSG = 74, "Not the bytes that were sent.";
    EOPNOTSUPP = 95, "Operation not supported.";
    ECONNRESET = 104, "Connection reset by peer.";
    ENOTCONN = 107, "Not connected.";
    ECANCELED = 125, "Canceled.";
}
