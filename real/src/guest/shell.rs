//! A shell in a guest, run by its init process: interactive on the console, or one command whose
//! output goes to a serial line.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use super::init;

/// The shell with its tools, in the guest.
pub const BUSYBOX: &str = "/bin/busybox";
/// The command to run, in the guest. Without this file the shell is interactive.
pub const SCRIPT: &str = "/script";
/// The console line that reports the exit code.
const EXIT_LINE: &str = "ifq: the command exited with ";

/// Sets the guest up, runs the shell with `line` as its terminal or output, and powers the guest off.
/// Does not return as process 1.
///
/// # Errors
///
/// A message for the user: this is not process 1.
pub fn run(line: &Path) -> Result<(), String> {
    if std::process::id() != 1 {
        return Err("only the init process of a guest can run this".into());
    }
    match init::set_up().and_then(|()| session(line)) {
        Ok(status) => {
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            errln!("{EXIT_LINE}{}", code.unwrap_or(255));
        }
        Err(error) => errln!("ifq: {error}"),
    }
    init::power_off()
}

fn session(line: &Path) -> Result<ExitStatus, String> {
    let busybox = |arguments: &[&str]| {
        let mut command = Command::new(BUSYBOX);
        command.args(arguments).env_clear().current_dir("/");
        command.env("PATH", "/bin:/").env("HOME", "/").env("TERM", "linux").env("PS1", "guest# ");
        command
    };
    let context = |error: std::io::Error| format!("{BUSYBOX}: {error}");
    busybox(&["--install", "-s", "/bin"]).status().map_err(context)?;
    let script = Path::new(SCRIPT).exists();
    let file = if script {
        init::open_line(line)?
    } else {
        let file = File::options().read(true).write(true).open(line);
        file.map_err(|error| format!("{}: {error}", line.display()))?
    };
    let copy = || file.try_clone().map(OwnedFd::from).map_err(context);
    let mut command =
        if script { busybox(&["sh", SCRIPT]) } else { busybox(&["setsid", "-c", "sh"]) };
    if !script {
        command.stdin(copy()?);
    }
    command.stdout(copy()?).stderr(copy()?);
    let status = command.status().map_err(context)?;
    init::drain(&file);
    Ok(status)
}

/// The exit code that a console output reports.
#[must_use]
pub fn exit_code(console: &str) -> Option<u8> {
    let (_, rest) = console.rsplit_once(EXIT_LINE)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_read_from_the_console() {
        let console = "[1.0] up\nifq: the command exited with 7\r\n[2.0] reboot: Power down\n";
        assert_eq!(exit_code(console), Some(7));
        assert_eq!(exit_code("Kernel panic"), None);
    }
}
