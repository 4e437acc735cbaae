//! `ifq report`: measures and prints what documents record.

use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use ifq_model::revision::Defect;
use ifq_model::test::Test;
use ifq_sim::commands::engines::{Budget, Campaigns, campaigns, percentile, search};
use ifq_sim::format::Input;
use ifq_sim::world::Profile;

use super::exit::EXIT_OK;

/// Arguments of `ifq report`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  ifq report engines > docs/ENGINES.md")]
pub struct Args {
    /// What to report
    #[command(subcommand)]
    pub what: What,
}

/// The reports.
#[derive(Clone, Debug, Subcommand)]
pub enum What {
    /// How long each engine takes to find each defect of the catalogue, as a Markdown table
    Engines(Engines),
}

/// Arguments of `ifq report engines`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Engines {
    /// Campaigns of the simulator for each defect and profile
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub campaigns: u64,
    /// Worlds of a campaign at most
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub worlds: u64,
    /// Milliseconds of a campaign at most
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub milliseconds: u64,
    /// Only these defects
    #[arg(long = "defect", value_name = "ID", value_parser = super::selection::defect())]
    pub defects: Vec<Defect>,
}

/// Measures and prints; returns the exit code.
#[must_use]
pub fn report(args: &Args, library: &[Input]) -> u8 {
    let What::Engines(args) = &args.what;
    let budget = Budget {
        campaigns: args.campaigns,
        worlds: args.worlds,
        time: Duration::from_millis(args.milliseconds),
    };
    let tests: Vec<&Test> = library.iter().map(|input| &input.test).collect();
    let seconds = args.milliseconds as f64 / 1000.0;
    out!("{}", introduction(args.campaigns, seconds));
    for defect in Defect::ALL {
        if args.defects.is_empty() || args.defects.contains(defect) {
            outln!("{}", line(*defect, &tests, budget));
        }
    }
    out!("{NOT_RUN}");
    EXIT_OK
}

/// The profiles that are measured.
const PROFILES: [Profile; 2] = [Profile::Smoke, Profile::Swarm];

fn introduction(campaigns: u64, seconds: f64) -> String {
    let header: Vec<String> =
        PROFILES.iter().map(|profile| format!("simulator, `{profile}`")).collect();
    format!(
        "# How long each engine takes to find each defect\n\n\
         Made by `ifq report engines`; the times depend on the machine. Each defect is planted alone, on a revision \
         with its code whose\nown defects are fixed. The [simulator](simulator.md) starts from nothing: {campaigns} \
         campaigns with seeds of their own, on one\nprocessor, each of at most {seconds} s. A cell has the \
         median and the 90th percentile of worlds and of seconds; a campaign without\na violation counts as longer \
         than all others. The explorer searches the file of the library that shows the defect, which\na person \
         wrote for it.\n\n\
         | defect | {} | explorer |\n|---|{}---|\n",
        header.join(" | "),
        "---|".repeat(header.len()),
    )
}

fn line(defect: Defect, tests: &[&Test], budget: Budget) -> String {
    let mut cells = vec![defect.to_string()];
    for profile in PROFILES {
        cells.push(cell(&campaigns(defect, profile, budget)));
    }
    cells.push(match search(defect, tests) {
        Some(seen) if seen.found => {
            let seconds = seen.time.as_secs_f64();
            format!("{} states, {seconds:.3} s: `{}`", seen.states, seen.test)
        }
        Some(seen) => format!("not found in {} states: `{}`", seen.states, seen.test),
        None => "not run, because no file shows it as a violation".to_owned(),
    });
    format!("| {} |", cells.join(" | "))
}

fn cell(campaigns: &Campaigns) -> String {
    let all = campaigns.campaigns;
    if campaigns.found.is_empty() {
        return format!("found in 0 of {all}");
    }
    let worlds: Vec<u64> = campaigns.found.iter().map(|(worlds, _)| *worlds).collect();
    let times: Vec<Duration> = campaigns.found.iter().map(|(_, time)| *time).collect();
    let count = |per_cent| percentile(&worlds, all, per_cent).map_or("-".into(), |n| n.to_string());
    let time = |per_cent| {
        percentile(&times, all, per_cent)
            .map_or("-".to_owned(), |time| format!("{:.3}", time.as_secs_f64()))
    };
    let found = if times.len() as u64 == all {
        String::new()
    } else {
        format!(" ({} of {all})", times.len())
    };
    format!("{} / {} worlds, {} / {} s{found}", count(50), count(90), time(50), time(90))
}

/// The engines that are not measured.
const NOT_RUN: &str = "\n\
    - shuttle: not run, because its suites have one program each and no generator of programs.\n\
    - proptest: not run, because its suites stop at the first failure and have no planted defects of their own.\n\
    - libFuzzer: not run, because the target for planted defects has one defect, and a build for each takes minutes.\n";
