//! Set-up and power-off of a guest, for its init process.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::mount::MountFlags;
use rustix::system::RebootCommand;
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

use crate::abi::syscall::net;
use crate::kernels::probe::NIC_INTERFACES;

/// The module with a NIC, in a guest that has one.
pub const MODULE: &str = "/softnic.ko";

/// A task that sleeps uninterruptibly for so many seconds is reported as hung.
const HUNG_TASK_SECONDS: &str = "20";

/// Messages of a lower level are printed on the console.
const CONSOLE_LEVEL: &str = "7";

/// Mounts the file systems that tests and checks read, brings the loopback interface up, and loads
/// the NIC if there is one.
pub(super) fn set_up() -> Result<(), String> {
    rustix::mount::mount("proc", "/proc", "proc", MountFlags::empty(), None)
        .map_err(|error| format!("mounting /proc: {error}"))?;
    // The kernel may have mounted it already. Only injected failures need it.
    let _ = rustix::mount::mount("dev", "/dev", "devtmpfs", MountFlags::empty(), None);
    // For the leak check; without these it reports less.
    let _ = rustix::mount::mount("sys", "/sys", "sysfs", MountFlags::empty(), None);
    let _ =
        rustix::mount::mount("debug", "/sys/kernel/debug", "debugfs", MountFlags::empty(), None);
    // The hung-task report must come before the watchdog ends the guest. A kernel without
    // CONFIG_DETECT_HUNG_TASK does not have the file.
    let _ = write_file("/proc/sys/kernel/hung_task_timeout_secs", HUNG_TASK_SECONDS);
    // A crash is on the console with its stack, whose lines are of the default level.
    let _ = write_file("/proc/sys/kernel/printk", CONSOLE_LEVEL);
    net::interface_up("lo").map_err(|error| format!("the interface lo: {error}"))?;
    load_nic()
}

/// Loads the module with the NIC, if the guest has it, and brings its interfaces up.
fn load_nic() -> Result<(), String> {
    let file = match File::open(MODULE) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{MODULE}: {error}")),
    };
    // Only what a test sends arrives: no link-local addresses, which the kernel announces.
    let _ = write_file("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1");
    rustix::system::finit_module(&file, c"", 0)
        .map_err(|error| format!("loading {MODULE}: {error}"))?;
    for interface in NIC_INTERFACES {
        net::interface_up(interface)
            .map_err(|error| format!("the interface {interface}: {error}"))?;
    }
    Ok(())
}

/// Powers the guest off.
pub(super) fn power_off() -> ! {
    rustix::fs::sync();
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
    std::process::exit(1)
}

/// Opens a file to append to it, or a serial line, which is set to raw mode.
pub(super) fn open_line(path: &Path) -> Result<File, String> {
    let context = |error: std::io::Error| format!("the answer in {}: {error}", path.display());
    let file =
        File::options().append(true).custom_flags(libc::O_NOCTTY).open(path).map_err(context)?;
    if file.is_terminal() {
        let mut line = tcgetattr(&file).map_err(|error| context(error.into()))?;
        line.make_raw();
        let now = OptionalActions::Now;
        tcsetattr(&file, now, &line).map_err(|error| context(error.into()))?;
    }
    Ok(file)
}

/// Waits until a serial line has transmitted all output.
pub(super) fn drain(file: &File) {
    // Fails on a regular file, which needs no waiting.
    let _ = tcdrain(file);
}

/// Writes a text to a file that exists, such as one of `/proc/sys`.
pub(super) fn write_file(file: &str, text: &str) -> std::io::Result<()> {
    File::options().write(true).open(file)?.write_all(text.as_bytes())
}
