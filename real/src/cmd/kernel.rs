//! `ifq kernel`: builds kernels from source.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use ifq_model::revision::Revision;
use ifq_sim::format::Input;
use serde_json::json;

use super::exit::exit_code;
use super::kernel_faults;
use super::selection::revision;
use crate::kernel_build::{Feature, Request, Source, name};
use crate::machine::{BuildProgress, Failure, Plan};

/// The arguments of `ifq kernel`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq kernel build --source debian:7.3 --with kasan,lockdep --name sanitized\n  \
    ifq kernel build --source ~/linux --patch my.patch --with kasan\n  \
    ifq kernel list\n  \
    ifq conform --on kernel:sanitized+nic")]
pub struct Args {
    /// The subcommand
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a small kernel with zcrx and the module softnic, for --on kernel:NAME and kernel:NAME+nic
    #[command(after_help = "Examples:\n  \
        ifq kernel build --source debian:7.3 --with kasan,lockdep\n  \
        ifq kernel build --source ~/linux --patch my.patch --with kasan --name mine\n  \
        ifq kernel build --source debian:6.18 --patch docs/proxy-v1.patch --revision proxy-v1 --with kasan\n  \
        ifq kernel build --source https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git#v7.3 --dry-run\n\n\
        A build takes about a quarter of an hour on two processors. One that was interrupted goes on where it \
        stopped.\nWhat has been built from the same source, patches and features is not built again.")]
    Build(Build),
    /// Print the lines of io_uring/zcrx.c that no boot of a kernel has run so far
    #[command(after_help = "Examples:\n  \
        ifq kernel build --source debian:7.3 --with gcov --name counted\n  \
        ifq conform --on kernel:counted --on kernel:counted+nic\n  \
        ifq kernel coverage counted\n\n\
        Every command that boots the kernel adds to it.")]
    Coverage {
        /// A kernel that was built --with gcov
        name: String,
        /// Forget what has run so far
        #[arg(long)]
        clear: bool,
        /// Print one JSON object
        #[arg(long, conflicts_with = "clear")]
        json: bool,
    },
    /// Make each call of a test fail at each place at which the kernel can inject a failure
    #[command(after_help = "Examples:\n  \
        ifq kernel build --source debian:7.3 --with kasan,lockdep,fault-injection --name sanitized\n  \
        ifq kernel faults tests/library/faults --on kernel:sanitized\n\n\
        A place that is a fault point of the model must lead to an outcome that the model allows. The others\n\
        are listed.")]
    Faults(kernel_faults::Args),
    /// List the kernels that are built
    List {
        /// Print one JSON object per kernel, one per line
        #[arg(long)]
        json: bool,
    },
}

/// The arguments of `ifq kernel build`.
#[derive(Debug, ClapArgs)]
pub struct Build {
    /// debian:SERIES, a folder, or the URL of a git repository with #BRANCH
    #[arg(long, value_name = "SOURCE")]
    pub source: Source,
    /// Patch for the source, for patch -p1; can be given several times
    #[arg(long = "patch", value_name = "FILE")]
    pub patches: Vec<PathBuf>,
    /// What is added, separated by commas
    #[arg(long = "with", value_name = "FEATURE", value_delimiter = ',')]
    pub features: Vec<Feature>,
    /// Revision of the model that it is compared with, if not that of its series
    #[arg(long, value_name = "REVISION", value_parser = revision())]
    pub revision: Option<Revision>,
    /// Name for --on kernel:NAME [default: made of source, patches and features]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,
    /// Compilers that run at the same time [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Say what would be built, and build nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print a JSON object at the end
    #[arg(long)]
    pub json: bool,
}

/// Runs the subcommand; returns the exit code.
#[must_use]
pub fn kernel(args: &Args, library: &[Input]) -> u8 {
    let (result, json) = match &args.command {
        Command::Build(args) => (build(args), args.json),
        Command::Coverage { name, clear: true, .. } => {
            (crate::machine::clear_coverage(name), false)
        }
        Command::Coverage { name, json, .. } => (coverage(name, *json), *json),
        Command::Faults(args) => return kernel_faults::faults(args, library),
        Command::List { json } => (list(*json), *json),
    };
    exit_code(result, json)
}

fn build(args: &Build) -> Result<(), Failure> {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let request = Request {
        source: args.source.clone(),
        patches: args.patches.clone(),
        features: args.features.iter().copied().collect(),
        revision: args.revision,
        name: args.name.clone(),
        jobs: args.jobs.map_or_else(processors, usize::from),
    };
    if args.dry_run {
        print_plan(&crate::machine::plan(&request)?, args.json);
        return Ok(());
    }
    let bar = indicatif::ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let built = crate::machine::build(&request, &mut |progress| bar.set_message(words(progress)));
    bar.finish_and_clear();
    let built = built?;
    if args.json {
        outln!("{}", json!({ "name": built.name, "kernel": built, "folder": built.folder }));
    } else {
        outln!("kernel:{}: {} of {}", built.name, built.release, built.source);
    }
    Ok(())
}

fn words(progress: &BuildProgress) -> String {
    match progress {
        BuildProgress::Unpacking => "unpacking the source".into(),
        BuildProgress::Patching(patch) => format!("applying {}", patch.display()),
        BuildProgress::Configuring => "making the configuration".into(),
        BuildProgress::Compiling(steps, file) => format!("step {steps}: {file}"),
    }
}

fn print_plan(plan: &Plan, json: bool) {
    let patches: Vec<String> =
        plan.patches.iter().map(|(path, _)| path.display().to_string()).collect();
    if json {
        let symbols: Vec<String> =
            plan.symbols.iter().map(|symbol| format!("{}={}", symbol.name, symbol.value)).collect();
        outln!(
            "{}",
            json!({ "name": plan.name, "source": plan.source, "patches": patches, "configuration": symbols,
                "hash": format!("{:016x}", plan.hash), "built": plan.built })
        );
        return;
    }
    outln!("name           {}", plan.name);
    outln!("source         {}", plan.source);
    for (path, bytes) in &plan.patches {
        outln!("patch          {} ({bytes} bytes)", path.display());
    }
    let mut fragments: Vec<&str> = plan.symbols.iter().map(|symbol| &*symbol.fragment).collect();
    fragments.dedup();
    for fragment in fragments {
        let count = plan.symbols.iter().filter(|symbol| symbol.fragment == fragment).count();
        outln!("configuration  {fragment}: {count} lines");
    }
    let built = if plan.built { "in the cache" } else { "to be built" };
    outln!("hash           {:016x}, {built}", plan.hash);
}

fn coverage(name: &str, json: bool) -> Result<(), Failure> {
    let coverage = crate::machine::coverage(name)?;
    let (reached, all) = (coverage.reached(), coverage.lines.len());
    if json {
        outln!(
            "{}",
            json!({ "kernel": name, "reached": reached, "lines": all, "coverage": coverage })
        );
        return Ok(());
    }
    let recordings = coverage.recordings;
    let percent = 100.0 * reached as f64 / all as f64;
    outln!(
        "io_uring/zcrx.c: {reached} of {all} lines ran, {percent:.1} %, in {recordings} recordings"
    );
    for (function, lines) in coverage.unreached() {
        // gcov names no function for code that was only inlined.
        outln!("\n{}", if function.is_empty() { "inlined" } else { function });
        for line in lines {
            outln!("{:6} {}", line.number, line.text);
        }
    }
    Ok(())
}

fn list(json: bool) -> Result<(), Failure> {
    for built in crate::machine::built()? {
        if json {
            outln!("{}", json!({ "name": built.name, "kernel": built, "folder": built.folder }));
            continue;
        }
        let features: Vec<String> = built.features.iter().map(ToString::to_string).collect();
        let patches = built.patches.iter().map(|patch| format!(" + {patch}")).collect::<String>();
        outln!("kernel:{:<24} {} {}", built.name, built.release, features.join(","));
        outln!("{:31} {}{patches}", "", built.source);
    }
    Ok(())
}
