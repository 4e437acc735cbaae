//! What a test does without the kernel that it needs.

use std::fmt::Display;
use std::io::Write;

/// If this variable is `required`, a kernel that does not run fails the test.
const VARIABLE: &str = "IFQ_KERNELS";

/// Reports that a test checks nothing, also when the test harness captures its output.
///
/// # Panics
///
/// If `IFQ_KERNELS=required`.
pub(crate) fn not_run(reason: impl Display) {
    let required = std::env::var_os(VARIABLE).is_some_and(|value| value == "required");
    assert!(!required, "{VARIABLE}=required, but: {reason}");
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    // Not `eprintln!`, which the harness captures.
    let _ = writeln!(std::io::stderr(), "{test}: not run: {reason}");
}
