//! Runs the checks against one mutant after the other, the cheapest check first, until one fails.
//!
//! A check that does not run the code of a mutant cannot notice it. So each check runs once without a mutant first and
//! records the mutants whose code it runs; later it is left out for all others.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::list::Verdict;

/// A check of one test file ends after so many states. The largest has fewer than a tenth of it.
const MAX_STATES: &str = "3000000";
/// Processor seconds that the check of one test file may use, and that any other check may use. The longest need a
/// twentieth. A search that a mutant makes endless ends so, whatever else the machine does.
const SECONDS: [u32; 2] = [20, 600];
/// Memory in KiB that a check may use.
const MEMORY: u32 = 8_000_000;

/// The test binaries that are part of the checks, with the tests that run.
const SUITES: [(&str, &str); 9] = [
    ("checks_can_fail", ""),
    ("large_counts", ""),
    ("loom_refcount", ""),
    ("loom_cq", ""),
    ("loom_whole_run", ""),
    ("loom_import_teardown", ""),
    ("loom_refill", ""),
    ("shuttle_whole_runs", ""),
    ("proptest_spec", "returns_the_specified_results"),
];

/// So many of the suites take about a second and run before the catalogue.
const QUICK_SUITES: usize = 5;

/// One command that a mutant can make fail.
#[derive(Clone, Debug)]
struct Check {
    /// How the list names it.
    name: String,
    program: PathBuf,
    args: Vec<String>,
    /// The test file that it reads, if it reads one.
    file: Option<PathBuf>,
}

/// All checks, and what each of them reaches.
#[derive(Debug)]
pub struct Checks {
    folder: PathBuf,
    checks: Vec<(Check, BTreeSet<usize>)>,
    /// The library, the quick suites and the catalogue come first.
    cheap: usize,
}

/// What a check said.
enum Ended {
    Passed,
    Failed,
    /// It met a limit.
    Limited,
}

impl Ended {
    fn of(status: ExitStatus) -> io::Result<Ended> {
        // `ifq`: 2 is a wrong command line, 3 a search that a limit ended.
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(Ended::Passed),
            (Some(2), _) => Err(io::Error::other("a check has a wrong command line")),
            // SIGXCPU and SIGKILL end a process at its limit of time, SIGABRT at that of memory.
            (Some(3), _) | (_, Some(6 | 9 | 24)) => Ok(Ended::Limited),
            _ => Ok(Ended::Failed),
        }
    }
}

impl Check {
    /// Runs it in the folder `scratch`.
    fn run(&self, scratch: &Path, variable: &str, value: &str) -> io::Result<Ended> {
        let seconds = SECONDS[usize::from(self.file.is_none())];
        let limits = format!("ulimit -t {seconds}; ulimit -v {MEMORY}; exec \"$@\"");
        let status = Command::new("sh")
            .args(["-c", &limits, "sh"])
            .arg(&self.program)
            .args(&self.args)
            .env(variable, value)
            .env("RUST_BACKTRACE", "0")
            .current_dir(scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        Ended::of(status)
    }
}

impl Check {
    /// Runs it without a mutant: the milliseconds that it takes, and the mutants that it reaches. The result of
    /// an earlier run is used if neither the program nor the test file has changed since.
    fn reached(
        &self,
        root: &Path,
        folder: &Path,
        worker: usize,
    ) -> io::Result<(u128, BTreeSet<usize>)> {
        let folder_of_results = folder.join("reached");
        std::fs::create_dir_all(&folder_of_results)?;
        let result = folder_of_results.join(self.name.replace(": ", "."));
        let modified = |path: &Path| path.metadata().and_then(|of| of.modified()).ok();
        let inputs = [Some(&self.program), self.file.as_ref()];
        let newest = inputs.into_iter().flatten().filter_map(|path| modified(path)).max();
        if modified(&result) < newest {
            let numbers = folder_of_results.join(format!("worker-{worker}"));
            std::fs::write(&numbers, "")?;
            let start = Instant::now();
            let scratch = self.scratch(root, folder, worker)?;
            let ended = self.run(&scratch, "IFQ_MUTANTS_REACHED", &numbers.to_string_lossy())?;
            if !matches!(ended, Ended::Passed) {
                return Err(io::Error::other(format!("{} fails without a mutant", self.name)));
            }
            let numbers = std::fs::read_to_string(&numbers)?;
            std::fs::write(&result, format!("{}\n{numbers}", start.elapsed().as_millis()))?;
        }
        let text = std::fs::read_to_string(&result)?;
        let mut lines = text.lines();
        let time = lines.next().and_then(|line| line.parse().ok()).unwrap_or_default();
        Ok((time, lines.filter_map(|line| line.parse().ok()).collect()))
    }

    /// The folder that it runs in. A suite finds the seeds of earlier failures there, and a new one does not stay
    /// for the next mutant.
    fn scratch(&self, root: &Path, folder: &Path, worker: usize) -> io::Result<PathBuf> {
        let scratch = folder.join(format!("scratch-{worker}"));
        let is_suite = SUITES.iter().any(|(suite, _)| *suite == self.name);
        if is_suite && scratch.exists() {
            std::fs::remove_dir_all(&scratch)?;
        }
        let seeds = scratch.join("proptest-regressions");
        std::fs::create_dir_all(&seeds)?;
        let kept = root.join("tests/proptest-regressions");
        if is_suite && kept.is_dir() {
            for entry in std::fs::read_dir(kept)? {
                let entry = entry?;
                std::fs::copy(entry.path(), seeds.join(entry.file_name()))?;
            }
        }
        Ok(scratch)
    }
}

/// Builds the copy of the workspace and finds the programs of the checks.
fn programs(copy: &Path, target: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    // One command, because the features of a package depend on the packages that are built with it, and other
    // features would compile everything twice.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--locked", "--message-format", "json-render-diagnostics"]);
    command.args(["--package", "ifq-real", "--package", "ifq-tests", "--bin", "ifq"]);
    command.args(SUITES.iter().flat_map(|(suite, _)| ["--test", suite]));
    command.current_dir(copy).env("CARGO_TARGET_DIR", target).stdin(Stdio::null());
    let output =
        command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?.wait_with_output()?;
    if !output.status.success() {
        return Err(io::Error::other("the copy with the mutants cannot be built"));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = |line: &str| -> Option<(String, PathBuf)> {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let path = message["executable"].as_str()?;
        Some((message["target"]["name"].as_str()?.to_owned(), path.into()))
    };
    Ok(messages.lines().filter_map(executable).collect())
}

/// Test files below a folder, sorted.
fn test_files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            test_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "ifq") {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

/// All commands, without what they reach.
fn commands(root: &Path, programs: &BTreeMap<String, PathBuf>) -> io::Result<[Vec<Check>; 2]> {
    let program = |name: &str| {
        let missing = || io::Error::other(format!("the build has no program {name}"));
        programs.get(name).cloned().ok_or_else(missing)
    };
    let ifq = program("ifq")?;
    let check = |name: String, args: &[&str]| {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Check { name, program: ifq.clone(), args, file: None }
    };
    let mut files = Vec::new();
    test_files(&root.join("tests/library"), &mut files)?;
    let (mut library, mut faults) = (Vec::new(), Vec::new());
    for file in &files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let path = file.to_string_lossy();
        let args = ["check", &path, "--jobs", "1", "--max-states", MAX_STATES, "--out", "out"];
        let file = Some(file.clone());
        library.push(Check { file: file.clone(), ..check(format!("library: {name}"), &args) });
        let args = [&args[..], &["--faults", "1", "--fixed"]].concat();
        faults.push(Check { file, ..check(format!("faults: {name}"), &args) });
    }
    let folder = root.join("tests/library");
    let args = ["check", "--catalogue", "--jobs", "1", &folder.to_string_lossy()];
    let mut rest = Vec::new();
    for (suite, filter) in SUITES {
        if suite == SUITES[QUICK_SUITES].0 {
            rest.push(check("catalogue".to_owned(), &args));
        }
        let args = ["--test-threads", "1", filter].map(str::to_owned).to_vec();
        let args = args.into_iter().filter(|arg| !arg.is_empty()).collect();
        rest.push(Check { name: suite.to_owned(), program: program(suite)?, args, file: None });
    }
    rest.append(&mut faults);
    let golden = root.join("tests/golden/enumeration");
    let golden = golden.to_string_lossy();
    let enumerate = ["enumerate", "--ops", "1", "--compare", &golden];
    rest.push(check("enumeration".to_owned(), &enumerate));
    Ok([library, rest])
}

/// Runs `job` for each item, on `jobs` threads.
fn parallel<T: Sync>(
    items: &[T],
    jobs: usize,
    job: impl Fn(usize, usize, &T) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for worker in 0..jobs {
            let (next, failed, job) = (&next, &failed, &job);
            scope.spawn(move || {
                while let Some((at, item)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    items.get(at).map(|item| (at, item))
                } {
                    if let Err(error) = job(worker, at, item) {
                        *failed.lock().expect("no thread panics") = Some(error);
                        next.store(items.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("no thread panics").map_or(Ok(()), Err)
}

impl Checks {
    /// Builds the copy and runs each check without a mutant.
    ///
    /// # Errors
    /// The copy cannot be built, or a check fails without a mutant.
    pub fn prepare(root: &Path, folder: &Path, jobs: usize) -> io::Result<Checks> {
        let programs = programs(&folder.join("source"), &folder.join("build"))?;
        let [library, rest] = commands(root, &programs)?;
        let all: Vec<_> = library.iter().chain(&rest).cloned().collect();
        let measured = Mutex::new(vec![(0, BTreeSet::new()); all.len()]);
        parallel(&all, jobs, |worker, at, check| {
            let found = check.reached(root, folder, worker)?;
            measured.lock().expect("no thread panics")[at] = found;
            Ok(())
        })?;
        let measured = measured.into_inner().expect("no thread panics");
        let mut checks: Vec<_> = all.into_iter().zip(measured).collect();
        checks[..library.len()].sort_by_key(|(_, (time, _))| *time);
        let checks = checks.into_iter().map(|(check, (_, reached))| (check, reached)).collect();
        Ok(Checks { folder: folder.to_owned(), checks, cheap: library.len() + QUICK_SUITES + 1 })
    }

    /// Runs the checks against the mutants with these numbers, and reports each verdict to `done`: first the cheap
    /// ones against all of them, then everything else against those that survive.
    ///
    /// # Errors
    /// A check cannot be started.
    pub fn judge(
        &self,
        root: &Path,
        numbers: &[usize],
        jobs: usize,
        done: impl Fn(usize, Verdict) + Sync,
    ) -> io::Result<()> {
        let mut open = numbers.to_vec();
        for checks in [&self.checks[..self.cheap], &self.checks[self.cheap..]] {
            let survivors = Mutex::new(Vec::new());
            parallel(&open, jobs, |worker, _, number| {
                let verdict = self.verdict(root, checks, *number, worker)?;
                if verdict.survived() {
                    survivors.lock().expect("no thread panics").push(*number);
                }
                let reached = self.checks.iter().any(|(_, reached)| reached.contains(number));
                done(*number, if reached { verdict } else { Verdict::NotReached });
                Ok(())
            })?;
            open = survivors.into_inner().expect("no thread panics");
        }
        Ok(())
    }

    fn verdict(
        &self,
        root: &Path,
        checks: &[(Check, BTreeSet<usize>)],
        number: usize,
        worker: usize,
    ) -> io::Result<Verdict> {
        for (check, _) in checks.iter().filter(|(_, reached)| reached.contains(&number)) {
            let scratch = check.scratch(root, &self.folder, worker)?;
            match check.run(&scratch, "IFQ_MUTANT", &number.to_string())? {
                Ended::Passed => {}
                Ended::Failed => return Ok(Verdict::Killed(check.name.clone())),
                Ended::Limited => return Ok(Verdict::NotEnded(check.name.clone())),
            }
        }
        Ok(Verdict::Survived)
    }
}
