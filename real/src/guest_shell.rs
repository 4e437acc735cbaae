//! A shell inside a guest, as its first process: on the console, or one command whose output goes
//! to a serial line.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::guest;

/// The shell and all its tools.
pub const BUSYBOX: &str = "/bin/busybox";
/// The command, if there is one.
pub const SCRIPT: &str = "/script";
/// What the console says at the end, before the exit code.
const ENDED: &str = "ifq: the command ended with ";

/// Sets the guest up, runs the shell with `line` as its terminal or output, and powers off. Does
/// not come back as process 1.
///
/// # Errors
///
/// For people: what could not be set up or started.
pub fn run(line: &Path) -> Result<(), String> {
    if std::process::id() != 1 {
        return Err("this is for the first process of a guest".into());
    }
    match guest::set_up().and_then(|()| session(line)) {
        Ok(status) => {
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            eprintln!("{ENDED}{}", code.unwrap_or(255));
        }
        Err(error) => eprintln!("ifq: {error}"),
    }
    guest::power_off()
}

fn session(line: &Path) -> Result<ExitStatus, String> {
    let busybox = |arguments: &[&str]| {
        let mut command = Command::new(BUSYBOX);
        command.args(arguments).env_clear().current_dir("/");
        command.env("PATH", "/bin:/").env("HOME", "/").env("TERM", "linux").env("PS1", "guest# ");
        command
    };
    let says = |error: std::io::Error| format!("{BUSYBOX}: {error}");
    busybox(&["--install", "-s", "/bin"]).status().map_err(says)?;
    let script = Path::new(SCRIPT).exists();
    let file = if script {
        guest::open_line(line)?
    } else {
        let file = File::options().read(true).write(true).open(line);
        file.map_err(|error| format!("{}: {error}", line.display()))?
    };
    let copy = || file.try_clone().map(OwnedFd::from).map_err(says);
    let mut command =
        if script { busybox(&["sh", SCRIPT]) } else { busybox(&["setsid", "-c", "sh"]) };
    if !script {
        command.stdin(copy()?);
    }
    command.stdout(copy()?).stderr(copy()?);
    let status = command.status().map_err(says)?;
    guest::drain(&file);
    Ok(status)
}

/// The exit code that a console tells of.
#[must_use]
pub fn exit_code(console: &str) -> Option<u8> {
    let (_, rest) = console.rsplit_once(ENDED)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_read_from_the_console() {
        let console = "[1.0] up\nifq: the command ended with 7\r\n[2.0] reboot: Power down\n";
        assert_eq!(exit_code(console), Some(7));
        assert_eq!(exit_code("Kernel panic"), None);
    }
}
