//! `ifq rig`: manages the machines that tests run on.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::exit::{EXIT_INTERRUPTED, EXIT_NOT_RUN, EXIT_OK, exit_code};
use super::rig_file::{Wish, rig_file};
use crate::job::{Job, RunInfo};
use crate::machine::{Failure, MachineSpec, ParseError, Series};

/// The arguments of `ifq rig`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq rig list                       the available machines\n  \
    ifq rig fetch 7.2 7.3              download Debian's newest kernels of two series\n  \
    ifq rig fetch qemu:7.3+nic         the same with a NIC: build its module\n  \
    ifq rig selftest qemu:7.3+nic      check that NIC\n  \
    ifq rig boot --on qemu:7.3         boot it and print its features\n  \
    ifq rig boot --on kernel:arch/x86/boot/bzImage --cpus 2\n  \
    ifq rig shell --on qemu:7.3        a shell inside it")]
pub struct Args {
    /// The subcommand
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the machines: kernel, whether it is fetched, and whether it is accelerated
    #[command(after_help = "Examples:\n  ifq rig list\n  ifq rig list --json")]
    List {
        /// Print one JSON object per machine, one per line
        #[arg(long)]
        json: bool,
    },
    /// Download kernels from Debian into the user's cache, through the system's apt
    #[command(after_help = "Examples:\n  ifq rig fetch\n  ifq rig fetch 7.3 uml\n  \
        ifq rig fetch 7.3 --again")]
    Fetch {
        /// Series such as 7.3, uml, or qemu:SERIES+nic for a kernel with the module softnic, which is built
        /// for it [default: uml and all known series]
        #[arg(value_name = "SERIES", value_parser = fetchable)]
        machines: Vec<MachineSpec>,
        /// Download again if the machine is already in the cache
        #[arg(long)]
        again: bool,
    },
    /// Boot a machine; print the boot time and the features of its kernel
    #[command(after_help = "Examples:\n  ifq rig boot --on uml\n  \
        ifq rig boot --on qemu:7.2 --cpus 2 --json")]
    Boot {
        /// Machine: host, uml, qemu:SERIES, qemu:SERIES+nic or kernel:PATH
        #[arg(long, value_name = "MACHINE", value_parser = MachineSpec::argument)]
        on: MachineSpec,
        /// Number of processors of a QEMU guest
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
        cpus: u32,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Open a shell in a guest on this terminal, or run one command
    #[command(after_help = "Examples:\n  ifq rig shell --on qemu:7.3\n  \
        ifq rig shell --on uml -c 'uname -r; dmesg | tail'\n\n\
        The guest powers off when its shell ends. It has busybox, and this program as /ifq.")]
    Shell {
        /// Machine: uml, qemu:SERIES, qemu:SERIES+nic or kernel:PATH
        #[arg(long, value_name = "MACHINE", value_parser = guest)]
        on: MachineSpec,
        /// Number of processors of a QEMU guest
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
        cpus: u32,
        /// Run this command instead of an interactive shell; ifq exits with its exit code
        #[arg(short, long, value_name = "COMMAND")]
        command: Option<String>,
    },
    /// Say line by line what a hardware rig has and what is missing; change nothing
    #[command(after_help = "Examples:\n  ifq rig check rig.toml\n\n\
        Exits with 1 if something is missing. docs/RIGS.md describes the file.")]
    Check(OfFile),
    /// Set a hardware rig up, and restore it at Ctrl-C
    #[command(after_help = "Examples:\n  ifq rig hold rig.toml")]
    Hold(OfFile),
    /// Undo what a run that was killed has changed on a hardware rig
    #[command(after_help = "Examples:\n  ifq rig restore rig.toml")]
    Restore(OfFile),
    /// Print the complete state of the interfaces of a hardware rig
    #[command(after_help = "Examples:\n  ifq rig state rig.toml --json")]
    State(OfFile),
    /// Boot a guest with the soft NIC and an ssh server on loopback, as a hardware rig without hardware
    #[command(
        after_help = "Examples:\n  ifq rig guest FOLDER &\n  ifq rig check FOLDER/rig.toml\n\n\
        It runs until Ctrl-C, and boots again when its kernel has crashed."
    )]
    Guest {
        /// Where the rig file, a key for ssh and the console are written
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        /// The series of its kernel
        #[arg(long, value_name = "SERIES", default_value = "7.3")]
        series: Series,
        /// The port of 127.0.0.1 that leads to its ssh server
        #[arg(long, default_value_t = 2222)]
        port: u16,
    },
    /// Check the NIC of a machine: its counters, flow rules and faults, with and without a memory provider
    #[command(after_help = "Examples:\n  ifq rig selftest qemu:7.3+nic")]
    Selftest {
        /// Machine: qemu:SERIES+nic
        #[arg(value_name = "MACHINE", value_parser = with_nic)]
        on: MachineSpec,
    },
}

/// A hardware rig.
#[derive(Debug, ClapArgs)]
pub struct OfFile {
    /// The rig file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON objects, one per line
    #[arg(long)]
    pub json: bool,
}

/// Runs the subcommand; returns the exit code.
#[must_use]
pub fn rig(args: &Args) -> u8 {
    match &args.command {
        Command::List { json } => exit_code(list(*json), *json),
        Command::Fetch { machines, again } => fetch(machines, *again),
        Command::Boot { on, cpus, json } => exit_code(boot(on, *cpus, *json), *json),
        Command::Shell { on, cpus, command } => match shell(on, *cpus, command.as_deref()) {
            Ok(code) => code,
            Err(failure) => exit_code(Err(failure), false),
        },
        Command::Check(of) => rig_file(&of.file, Wish::Check, of.json),
        Command::Hold(of) => rig_file(&of.file, Wish::Hold, of.json),
        Command::Restore(of) => rig_file(&of.file, Wish::Restore, of.json),
        Command::State(of) => rig_file(&of.file, Wish::State, of.json),
        Command::Guest { folder, series, port } => {
            exit_code(ssh_guest(*series, folder, *port), false)
        }
        Command::Selftest { on } => match shell(on, 1, Some(&format!("/ifq {GUEST_SELFTEST}"))) {
            Ok(code) => code,
            Err(failure) => exit_code(Err(failure), false),
        },
    }
}

/// The subcommand of `ifq` that checks the NIC inside a guest.
pub(super) const GUEST_SELFTEST: &str = "guest-selftest";

/// Parses a machine that can be downloaded. A series means Debian's kernel of that series.
fn fetchable(text: &str) -> Result<MachineSpec, String> {
    let on = match text.parse::<Series>() {
        Ok(series) => MachineSpec::Qemu(series),
        Err(_) => text.parse().map_err(|error: ParseError| error.to_string())?,
    };
    match on {
        MachineSpec::Uml | MachineSpec::Qemu(_) | MachineSpec::QemuNic(_) => Ok(on),
        MachineSpec::Host
        | MachineSpec::Kernel(_)
        | MachineSpec::Built { .. }
        | MachineSpec::Rig(_) => {
            Err(format!("`{text}` cannot be fetched; expected a series or uml"))
        }
    }
}

/// Parses a machine that has a NIC.
fn with_nic(text: &str) -> Result<MachineSpec, String> {
    match MachineSpec::argument(text) {
        Ok(on @ (MachineSpec::QemuNic(_) | MachineSpec::Built { nic: true, .. })) => Ok(on),
        Ok(on) => Err(format!("{on} has no NIC; expected qemu:SERIES+nic, such as qemu:7.3+nic")),
        Err(error) => Err(error.to_string()),
    }
}

/// Parses a machine that is a guest.
fn guest(text: &str) -> Result<MachineSpec, String> {
    match MachineSpec::argument(text) {
        Ok(MachineSpec::Rig(_)) => Err("a rig is reached with ssh; expected a guest".into()),
        Ok(MachineSpec::Host) => Err("the host cannot run a guest shell; expected a guest".into()),
        Ok(on) => Ok(on),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(target_os = "linux")]
fn list(json: bool) -> Result<(), Failure> {
    for machine in crate::machine::inventory()? {
        if json {
            outln!("{}", json!(machine));
            continue;
        }
        let kernel = match (&machine.kernel, machine.cached) {
            (Some(kernel), _) => kernel.as_str(),
            (None, true) => "unknown",
            (None, false) => "not fetched",
        };
        let how = match machine.accelerated {
            Some(true) => "accelerated",
            Some(false) => "emulated",
            None => "",
        };
        outln!("{:<13} {kernel:<42} {how}", machine.machine);
        if let Some(reason) = &machine.reason {
            outln!("{:<13} {reason}", "");
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn list(_: bool) -> Result<(), Failure> {
    MachineSpec::Host.machine().map(drop)
}

#[cfg(target_os = "linux")]
fn fetch(machines: &[MachineSpec], again: bool) -> u8 {
    let all =
        || std::iter::once(MachineSpec::Uml).chain(Series::KNOWN.map(MachineSpec::Qemu)).collect();
    let machines: Vec<MachineSpec> = if machines.is_empty() { all() } else { machines.to_vec() };
    let mut code = EXIT_OK;
    for on in machines {
        match crate::machine::fetch(&on, again) {
            Ok(()) => outln!("{on}: fetched"),
            Err(Failure::Interrupted) => return EXIT_INTERRUPTED,
            Err(Failure::NotRun(reason)) => {
                outln!("{on}: not fetched: {reason}");
                code = EXIT_NOT_RUN;
            }
        }
    }
    code
}

#[cfg(not(target_os = "linux"))]
fn fetch(_: &[MachineSpec], _: bool) -> u8 {
    exit_code(MachineSpec::Host.machine().map(drop), false)
}

#[cfg(target_os = "linux")]
fn shell(on: &MachineSpec, cpus: u32, command: Option<&str>) -> Result<u8, Failure> {
    let ifq = std::env::current_exe()
        .map_err(|error| Failure::NotRun(format!("cannot find the path of ifq: {error}")))?;
    crate::machine::shell(&ifq, on, cpus, command)
}

#[cfg(not(target_os = "linux"))]
fn shell(on: &MachineSpec, cpus: u32, _: Option<&str>) -> Result<u8, Failure> {
    on.machine_with(cpus).map(|_| EXIT_OK)
}

#[cfg(target_os = "linux")]
fn ssh_guest(series: Series, folder: &std::path::Path, port: u16) -> Result<(), Failure> {
    let ifq = std::env::current_exe()
        .map_err(|error| Failure::NotRun(format!("cannot find the path of ifq: {error}")))?;
    crate::machine::ssh_guest(&ifq, series, folder, port)
}

#[cfg(not(target_os = "linux"))]
fn ssh_guest(_: Series, _: &std::path::Path, _: u16) -> Result<(), Failure> {
    MachineSpec::Host.machine().map(drop)
}

fn boot(on: &MachineSpec, cpus: u32, json: bool) -> Result<(), Failure> {
    let reply = on.machine_with(cpus)?.run(&Job::probe(), &mut |_| {})?;
    if json {
        outln!("{}", json!({ "machine": on.to_string(), "how": reply.how, "probe": reply.probe }));
        return Ok(());
    }
    let RunInfo { boot_ms, notes, .. } = &reply.how;
    let how = match reply.how.to_string() {
        how if how.is_empty() => how,
        how => format!(" ({how})"),
    };
    outln!("{on}{how} booted in {:.1} s", *boot_ms as f64 / 1000.0);
    for note in notes {
        outln!("  {note}");
    }
    out!("{}", reply.probe);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_can_be_fetched_and_the_host_cannot() {
        assert_eq!(fetchable("7.3"), Ok(MachineSpec::Qemu(Series::new(7, 3))));
        assert_eq!(fetchable("qemu:7.3"), fetchable("7.3"));
        assert_eq!(fetchable("uml"), Ok(MachineSpec::Uml));
        assert_eq!(fetchable("qemu:7.3+nic"), Ok(MachineSpec::QemuNic(Series::new(7, 3))));
        for (text, says) in [("host", "cannot be fetched"), ("7", "qemu:SERIES")] {
            let error = fetchable(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn only_a_machine_with_a_nic_has_a_self_test() {
        assert!(with_nic("qemu:7.3+nic").is_ok());
        for text in ["qemu:7.3", "uml", "host", "qemu:7.3+nick"] {
            let error = with_nic(text).unwrap_err();
            assert!(error.contains("+nic, such as qemu:7.3+nic"), "{text}: {error}");
        }
    }
}
