//! `ifq run`: tests on a kernel, beside what the model allows.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use ifq_model::scenario::Test;
use ifq_sim::cmd::input::{self, Input};
use serde_json::json;

use super::{EXIT_DIFFERENCE, EXIT_INTERRUPTED, EXIT_NOT_RUN, EXIT_OK, allowed};
use crate::compare::{Comparison, Verdict, compare};
use crate::job::{How, Job, Line, Report};
use crate::machine::{Failure, Machine, On};
use crate::series::variant_for;
use crate::supported::unsupported;
use ifq_sim::say;

/// The arguments of `ifq run`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq run --on uml                                     the whole library\n  \
    ifq run tests/library/owner-leaves-first.ifq --on uml --times 1000 --seed 7\n  \
    ifq run tests/library/ --on host --json              one JSON object for each test\n  \
    ifq run --on qemu:7.3 --cpus 2                       Debian's newest 7.3, in QEMU\n  \
    ifq run --on kernel:arch/x86/boot/bzImage            a kernel that you have built")]
pub struct Args {
    /// Test files, or folders of them; none: the library that comes with ifq
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where to run them: host, uml, qemu:SERIES or kernel:PATH
    #[arg(long, value_name = "MACHINE", value_parser = On::argument)]
    pub on: On,
    /// Processors of a guest in QEMU
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub cpus: u32,
    /// Repetitions of each test
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub times: u32,
    /// Seed of the jitter between threads; drawn from the clock if not given, and printed
    #[arg(long)]
    pub seed: Option<u64>,
    /// A wait gives up after so many milliseconds in which nothing happened
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..60_000))]
    pub quiet_ms: u64,
    /// The search for what the model allows gives up after so many seconds for each test
    #[arg(long, default_value_t = 60)]
    pub search_seconds: u64,
    /// One JSON object a line for each test
    #[arg(long)]
    pub json: bool,
}

/// Runs the tests and prints the comparison; the exit code. `library`: what is run when no files
/// are named.
#[must_use]
pub fn run(args: &Args, library: &[Input]) -> u8 {
    let inputs = match input::read_or(&args.files, library) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    let tests: Vec<Test> = inputs.iter().map(|input| input.test.clone()).collect();
    let seed = args.seed.unwrap_or_else(clock_seed);
    let progress = Progress::new();
    let Ok(Ran { kernel, how, reports }) = reports(args, &tests, seed, &progress) else {
        progress.clear();
        eprintln!("ifq: interrupted");
        return EXIT_INTERRUPTED;
    };
    let comparisons = compare_all(args, &tests, &reports, &kernel, &progress);
    progress.clear();
    for note in &how.notes {
        eprintln!("ifq: {note}");
    }
    for (input, comparison) in inputs.iter().zip(&comparisons) {
        let shown = Shown { args, input, kernel: &kernel, how: &how, seed, comparison };
        if args.json {
            say!("{}", shown.json());
        } else {
            shown.print();
        }
    }
    exit_code(&comparisons.iter().map(|comparison| comparison.verdict).collect::<Vec<_>>())
}

struct Interrupted;

/// What a machine answered.
struct Ran {
    kernel: String,
    how: How,
    /// One for each test.
    reports: Vec<Report>,
}

/// Runs the tests. What cannot be run is not sent to the machine;
/// if that is everything, the machine is not started.
fn reports(
    args: &Args,
    tests: &[Test],
    seed: u64,
    progress: &Progress,
) -> Result<Ran, Interrupted> {
    let obstacles: Vec<Option<String>> = tests.iter().map(unsupported).collect();
    let able = tests.iter().zip(&obstacles).filter(|(_, obstacle)| obstacle.is_none());
    let able: Vec<Test> = able.map(|(test, _)| test.clone()).collect();
    let job = Job { times: args.times, seed, quiet_ms: args.quiet_ms, ..Job::new(able) };
    let unknown = || ("unknown".to_owned(), How::default());
    let ((kernel, how), ran) = if job.tests.is_empty() {
        (unknown(), Vec::new())
    } else {
        let ask =
            |machine: Box<dyn Machine>| machine.run(&job, &mut |line| progress.machine(&job, line));
        match args.on.machine_with(args.cpus).and_then(ask) {
            Ok(reply) => ((reply.probe.kernel, reply.how), reply.reports),
            Err(Failure::Interrupted) => return Err(Interrupted),
            Err(Failure::NotRun(reason)) => {
                (unknown(), vec![Report::NotRun { reason }; job.tests.len()])
            }
        }
    };
    let mut ran = ran.into_iter();
    let silent = || Report::NotRun { reason: "the machine has not answered".into() };
    let report = |obstacle: Option<String>| match obstacle {
        Some(reason) => Report::NotRun { reason },
        None => ran.next().unwrap_or_else(silent),
    };
    Ok(Ran { kernel, how, reports: obstacles.into_iter().map(report).collect() })
}

/// Asks the model about each test that ran, several at a time, and compares.
fn compare_all(
    args: &Args,
    tests: &[Test],
    reports: &[Report],
    kernel: &str,
    progress: &Progress,
) -> Vec<Comparison> {
    let time = Duration::from_secs(args.search_seconds);
    let one = |test: &Test, report: &Report| {
        let allowed = match report {
            Report::Seen { .. } => {
                variant_for(test, kernel).and_then(|variant| allowed::allowed(test, &variant, time))
            }
            _ => Err("there was nothing to compare".into()),
        };
        compare(test, report, &allowed)
    };
    let next = AtomicUsize::new(0);
    let results: Vec<OnceLock<Comparison>> = tests.iter().map(|_| OnceLock::new()).collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(tests.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(test), Some(report)) = (tests.get(at), reports.get(at)) else {
                        break;
                    };
                    progress.model(test, at, tests.len());
                    results[at].get_or_init(|| one(test, report));
                }
            });
        }
    });
    results.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// One difference decides; what was not run is never passed.
fn exit_code(verdicts: &[Verdict]) -> u8 {
    if verdicts.contains(&Verdict::Differs) {
        EXIT_DIFFERENCE
    } else if verdicts.contains(&Verdict::NotRun) {
        EXIT_NOT_RUN
    } else {
        EXIT_OK
    }
}

fn clock_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| u64::from(time.subsec_nanos()))
}

/// A test's result with everything that is printed about it.
struct Shown<'a> {
    args: &'a Args,
    input: &'a Input,
    kernel: &'a str,
    how: &'a How,
    seed: u64,
    comparison: &'a Comparison,
}

impl Shown<'_> {
    fn revision(&self) -> Option<&'static str> {
        variant_for(&self.input.test, self.kernel).ok().map(|variant| variant.revision.name())
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "test": self.input.test.name,
            "machine": self.args.on.to_string(),
            "kernel": self.kernel,
            "accelerated": self.how.accelerated,
            "cpus": self.how.cpus,
            "boots": self.how.boots,
            "notes": self.how.notes,
            "revision": self.revision(),
            "result": self.comparison.verdict,
            "reason": self.comparison.reason,
            "times": self.args.times,
            "seed": self.seed,
            "histogram": self.comparison.rows,
        })
    }

    fn print(&self) {
        let Comparison { verdict, reason, rows } = self.comparison;
        let name = &self.input.test.name;
        let (on, kernel) = (&self.args.on, self.kernel);
        let how = match self.how.to_string() {
            how if how.is_empty() => how,
            how => format!(" ({how})"),
        };
        say!("test {name} on {on}{how}, kernel {kernel}: {}", verdict.name());
        for line in reason.lines() {
            say!("  {line}");
        }
        if !rows.is_empty() {
            let revision = self.revision().unwrap_or("no revision");
            say!("  {:>8}  {:<8} outcome (allowed by {revision})", "seen", "allowed");
            for row in rows {
                let allowed = match row.allowed {
                    Some(true) => "yes",
                    Some(false) => "NO",
                    None => "?",
                };
                say!("  {:>8}  {allowed:<8} {}", row.count, row.outcome);
            }
        }
        let Args { cpus, times, .. } = self.args;
        let cpus = if *cpus == 1 { String::new() } else { format!(" --cpus {cpus}") };
        let (path, seed) = (&self.input.path, self.seed);
        say!("  again: ifq run {path} --on {on}{cpus} --times {times} --seed {seed}");
    }
}

/// A line on the terminal that says how far we are, once it takes long.
struct Progress {
    start: Instant,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Progress { start: Instant::now(), terminal: std::io::stderr().is_terminal() }
    }

    fn machine(&self, job: &Job, line: &Line) {
        if let Line::Beat { test, done } = line {
            let name = job.tests.get(*test).map_or("?", |test| &test.name);
            let (number, count, times) = (test + 1, job.tests.len(), job.times);
            self.show(&format!("running test {number}/{count} {name}: {done}/{times}"));
        }
    }

    fn model(&self, test: &Test, at: usize, count: usize) {
        self.show(&format!("asking the model, test {}/{count} {}", at + 1, test.name));
    }

    fn show(&self, text: &str) {
        if self.terminal && self.start.elapsed() > Duration::from_secs(2) {
            eprint!("\r\x1b[K{text}");
            // A terminal that takes no more text loses nothing.
            let _ = std::io::stderr().flush();
        }
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_decides_and_what_was_not_run_is_never_passed() {
        use Verdict::{Agrees, Differs, NotRun};
        assert_eq!(exit_code(&[Agrees, Agrees]), EXIT_OK);
        assert_eq!(exit_code(&[Agrees, NotRun]), EXIT_NOT_RUN);
        assert_eq!(exit_code(&[NotRun, Differs, Agrees]), EXIT_DIFFERENCE);
    }
}
