//! The starts of the texts that the tests of the format use.

/// A header that needs a line `expect` only.
pub(crate) const HEAD: &str = "test t\nrevision import-7.3\nring A B\nsocket s u@1\nqueues 2\n";

/// A setup in which ring A has `ifq` and `box`, ring B has `imp`.
pub(crate) const SHARED: &str = "setup\n ifq = A: register nodev buffers=1 entries=1\n \
                      box = A: export ifq\n imp = B: import box\n";
