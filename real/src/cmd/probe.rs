//! `ifq probe`: prints which features a kernel supports.

use clap::Args as ClapArgs;
use serde::Serialize;
use serde_json::json;

use super::exit::{EXIT_INTERRUPTED, EXIT_NOT_RUN, EXIT_OK};
use crate::job::Job;
use crate::kernels::probe::Probe;
use crate::kernels::series::{compared_with, is_base, is_newer, note};
use crate::machine::{Failure, MachineSpec};

/// The arguments of `ifq probe`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  ifq probe --on host\n  ifq probe --on qemu:7.3 --json")]
pub struct Args {
    /// Machine to probe: host, uml, qemu:SERIES, qemu:SERIES+nic, kernel:PATH or rig:FILE
    #[arg(long, value_name = "MACHINE", default_value = "host", value_parser = MachineSpec::argument)]
    pub on: MachineSpec,
    /// Number of processors of a QEMU guest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub cpus: u32,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// The probe, and the revision of the model that the kernel is compared with.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    probe: &'a Probe,
    revision: Option<&'static str>,
    /// The proposal that the kernel is the base of.
    base_of: Option<&'static str>,
    newer_than_model: bool,
    revision_note: Option<String>,
}

impl<'a> Line<'a> {
    fn of(probe: &'a Probe) -> Self {
        let revision = compared_with(&probe.kernel);
        let name = |base| {
            revision.filter(|_| is_base(&probe.kernel) == base).map(|revision| revision.name())
        };
        Line {
            probe,
            revision: name(false),
            base_of: name(true),
            newer_than_model: is_newer(&probe.kernel),
            revision_note: note(&probe.kernel),
        }
    }
}

/// Probes the kernel and prints the result; returns the exit code.
#[must_use]
pub fn probe(args: &Args) -> u8 {
    let answer =
        args.on.machine_with(args.cpus).and_then(|machine| machine.run(&Job::probe(), &mut |_| {}));
    match answer {
        Ok(reply) if args.json => match serde_json::to_string(&Line::of(&reply.probe)) {
            Ok(text) => {
                outln!("{text}");
                EXIT_OK
            }
            Err(error) => {
                errln!("ifq: {error}");
                EXIT_NOT_RUN
            }
        },
        Ok(reply) => {
            out!("{}", reply.probe);
            EXIT_OK
        }
        Err(Failure::Interrupted) => EXIT_INTERRUPTED,
        Err(Failure::NotRun(reason)) => {
            if args.json {
                outln!("{}", json!({ "result": "not-run", "reason": reason }));
            } else {
                outln!("not run: {reason}");
            }
            EXIT_NOT_RUN
        }
    }
}
