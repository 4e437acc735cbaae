//! Beginnings of test files for the tests of the format.

/// A header without its `expect` line.
pub(crate) const HEAD: &str = "test t\nrevision import-7.3\nring A B\nsocket s u@1\nqueues 2\n";

/// A setup in which ring A binds `ifq` and `box`, and ring B binds `imp`.
pub(crate) const SHARED: &str = "setup\n ifq = A: register nodev buffers=1 entries=1\n \
                      box = A: export ifq\n imp = B: import box\n";
