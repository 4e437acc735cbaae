//! `ifq rig`: the machines that tests run on.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::{EXIT_INTERRUPTED, EXIT_NOT_RUN, EXIT_OK};
use crate::job::{Job, RunInfo};
use crate::machine::{Failure, MachineSpec, ParseError, Series};
use ifq_sim::{say, tell};

/// The arguments of `ifq rig`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq rig list                       what there is here\n  \
    ifq rig fetch 7.2 7.3              Debian's newest kernels of two series\n  \
    ifq rig boot --on qemu:7.3         start it, and say what it can do\n  \
    ifq rig boot --on kernel:arch/x86/boot/bzImage --cpus 2\n  \
    ifq rig shell --on qemu:7.3        look around in it")]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every machine: what is fetched, which kernel, accelerated or not and why not
    #[command(after_help = "Examples:\n  ifq rig list\n  ifq rig list --json")]
    List {
        /// One JSON object a line for each machine
        #[arg(long)]
        json: bool,
    },
    /// Fetch kernels from Debian into the user's cache, through the system's apt
    #[command(after_help = "Examples:\n  ifq rig fetch\n  ifq rig fetch 7.3 uml\n  \
        ifq rig fetch 7.3 --again")]
    Fetch {
        /// A series such as 7.3, or uml; none: all known ones
        #[arg(value_name = "SERIES", value_parser = fetchable)]
        machines: Vec<MachineSpec>,
        /// Fetch what is there already, too: the newest of its series
        #[arg(long)]
        again: bool,
    },
    /// Start a machine, say how long it takes and what its kernel can do
    #[command(after_help = "Examples:\n  ifq rig boot --on uml\n  \
        ifq rig boot --on qemu:7.2 --cpus 2 --json")]
    Boot {
        /// Which machine: host, uml, qemu:SERIES or kernel:PATH
        #[arg(long, value_name = "MACHINE", value_parser = MachineSpec::argument)]
        on: MachineSpec,
        /// Processors of a guest in QEMU
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
        cpus: u32,
        /// One JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// A shell in a guest, on this terminal, or one command
    #[command(after_help = "Examples:\n  ifq rig shell --on qemu:7.3\n  \
        ifq rig shell --on uml -c 'uname -r; dmesg | tail'\n\n\
        The guest ends with its shell. It has busybox, and this program as /ifq.")]
    Shell {
        /// Which machine: uml, qemu:SERIES or kernel:PATH
        #[arg(long, value_name = "MACHINE", value_parser = guest)]
        on: MachineSpec,
        /// Processors of a guest in QEMU
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
        cpus: u32,
        /// Run this instead of an interactive shell; its exit code is ours
        #[arg(short, long, value_name = "COMMAND")]
        command: Option<String>,
    },
}

/// Does it; the exit code.
#[must_use]
pub fn rig(args: &Args) -> u8 {
    match &args.command {
        Command::List { json } => done(list(*json), *json),
        Command::Fetch { machines, again } => fetch(machines, *again),
        Command::Boot { on, cpus, json } => done(boot(on, *cpus, *json), *json),
        Command::Shell { on, cpus, command } => match shell(on, *cpus, command.as_deref()) {
            Ok(code) => code,
            Err(failure) => done(Err(failure), false),
        },
    }
}

/// A machine that can be fetched; a series stands for Debian's kernel of it.
fn fetchable(text: &str) -> Result<MachineSpec, String> {
    let on = match text.parse::<Series>() {
        Ok(series) => MachineSpec::Qemu(series),
        Err(_) => text.parse().map_err(|error: ParseError| error.to_string())?,
    };
    match on {
        MachineSpec::Uml | MachineSpec::Qemu(_) => Ok(on),
        MachineSpec::Host | MachineSpec::Kernel(_) => {
            Err(format!("there is nothing to fetch for `{text}`; expected a series or uml"))
        }
    }
}

/// A machine that is a guest.
fn guest(text: &str) -> Result<MachineSpec, String> {
    match MachineSpec::argument(text) {
        Ok(MachineSpec::Host) => Err("this host has a shell of its own; expected a guest".into()),
        Ok(on) => Ok(on),
        Err(error) => Err(error.to_string()),
    }
}

fn done(result: Result<(), Failure>, json: bool) -> u8 {
    match result {
        Ok(()) => EXIT_OK,
        Err(Failure::Interrupted) => EXIT_INTERRUPTED,
        Err(Failure::NotRun(reason)) => {
            if json {
                say!("{}", json!({ "result": "not-run", "reason": reason }));
            } else {
                say!("not run: {reason}");
            }
            EXIT_NOT_RUN
        }
    }
}

#[cfg(target_os = "linux")]
fn list(json: bool) -> Result<(), Failure> {
    for machine in crate::machine::inventory()? {
        if json {
            say!("{}", json!(machine));
            continue;
        }
        let kernel = match (&machine.kernel, machine.cached) {
            (Some(kernel), _) => kernel.as_str(),
            (None, true) => "unknown",
            (None, false) => "not fetched yet",
        };
        let how = match machine.accelerated {
            Some(true) => "accelerated",
            Some(false) => "emulated",
            None => "",
        };
        say!("{:<10} {kernel:<42} {how}", machine.machine);
        if let Some(reason) = &machine.reason {
            say!("{:<10} {reason}", "");
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
    let mut worst = EXIT_OK;
    for on in machines {
        match crate::machine::fetch(&on, again) {
            Ok(()) => say!("{on}: fetched"),
            Err(Failure::Interrupted) => return EXIT_INTERRUPTED,
            Err(Failure::NotRun(reason)) => {
                say!("{on}: not fetched: {reason}");
                worst = EXIT_NOT_RUN;
            }
        }
    }
    worst
}

#[cfg(not(target_os = "linux"))]
fn fetch(_: &[MachineSpec], _: bool) -> u8 {
    done(MachineSpec::Host.machine().map(drop), false)
}

#[cfg(target_os = "linux")]
fn shell(on: &MachineSpec, cpus: u32, command: Option<&str>) -> Result<u8, Failure> {
    let ifq = std::env::current_exe()
        .map_err(|error| Failure::NotRun(format!("where ifq itself is: {error}")))?;
    crate::machine::shell(&ifq, on, cpus, command)
}

#[cfg(not(target_os = "linux"))]
fn shell(on: &MachineSpec, cpus: u32, _: Option<&str>) -> Result<u8, Failure> {
    on.machine_with(cpus).map(|_| EXIT_OK)
}

fn boot(on: &MachineSpec, cpus: u32, json: bool) -> Result<(), Failure> {
    let reply = on.machine_with(cpus)?.run(&Job::probe(), &mut |_| {})?;
    if json {
        say!("{}", json!({ "machine": on.to_string(), "how": reply.how, "probe": reply.probe }));
        return Ok(());
    }
    let RunInfo { boot_ms, notes, .. } = &reply.how;
    let how = match reply.how.to_string() {
        how if how.is_empty() => how,
        how => format!(" ({how})"),
    };
    say!("{on}{how} was up after {:.1} s", *boot_ms as f64 / 1000.0);
    for note in notes {
        say!("  {note}");
    }
    tell!("{}", reply.probe);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_alone_can_be_fetched_and_a_host_cannot() {
        assert_eq!(fetchable("7.3"), Ok(MachineSpec::Qemu(Series::new(7, 3))));
        assert_eq!(fetchable("qemu:7.3"), fetchable("7.3"));
        assert_eq!(fetchable("uml"), Ok(MachineSpec::Uml));
        for (text, says) in [("host", "nothing to fetch"), ("7", "qemu:SERIES")] {
            let error = fetchable(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
