//! The QEMU executable.

use std::process::Command;

/// The program; `apt-get install qemu-system-x86` brings it.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";

/// Whether QEMU is there.
///
/// # Errors
///
/// How to install it.
pub(super) fn check() -> Result<(), String> {
    match Command::new(PROGRAM).arg("--version").output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{PROGRAM} --version fails ({})", output.status)),
        Err(error) => Err(format!(
            "{PROGRAM} does not start ({error}); on Debian: apt-get install qemu-system-x86"
        )),
    }
}
