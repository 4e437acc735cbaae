//! A process that runs a job: started, watched and always ended.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::Failure;
use crate::job::{Job, Line, Reply, Report};
use crate::sys;

/// Time between two looks at the answer.
const LOOK: Duration = Duration::from_millis(20);
/// Time for the first line: a kernel boots and probes in it.
const BOOT: Duration = Duration::from_secs(60);
/// Lines of the console that are shown when something went wrong.
const TAIL: usize = 25;

/// A child in its own process group. The group is killed when this is dropped, and the child when
/// we die.
#[derive(Debug)]
struct Guarded(Child);

impl Guarded {
    fn start(mut command: Command) -> Result<Self, Failure> {
        sys::bind_life(&mut command);
        let child = command.spawn().map_err(|error| {
            Failure::NotRun(format!("starting {}: {error}", command.get_program().display()))
        })?;
        Ok(Guarded(child))
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // The group may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Whether the user asked us to end. The first call installs the handlers.
pub(super) fn interrupted() -> bool {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let flag = FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            // Without a handler the signal ends us at once, which is no worse than before.
            let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
        }
        flag
    });
    flag.load(Ordering::Relaxed)
}

/// The answer as it grows.
#[derive(Debug)]
struct Answer<'a> {
    path: &'a Path,
    read: u64,
    rest: String,
}

impl Answer<'_> {
    /// The lines that came since the last call.
    fn lines(&mut self) -> Vec<Line> {
        let Ok(mut file) = File::open(self.path) else {
            return Vec::new();
        };
        let mut text = Vec::new();
        if file.seek(SeekFrom::Start(self.read)).is_err() || file.read_to_end(&mut text).is_err() {
            return Vec::new();
        }
        self.read += text.len() as u64;
        self.rest.push_str(&String::from_utf8_lossy(&text));
        let Some(end) = self.rest.rfind('\n') else {
            return Vec::new();
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        // A line that is none is the machine dying while it wrote; the missing `End` says so.
        whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Starts `command`, which runs `job` and writes its [`Line`]s to `answer` and anything else to
/// `console`.
pub(super) fn supervise(
    command: Command,
    job: &Job,
    answer: &Path,
    console: &Path,
    progress: &mut dyn FnMut(&Line),
) -> Result<Reply, Failure> {
    if interrupted() {
        return Err(Failure::Interrupted);
    }
    let mut child = Guarded::start(command)?;
    let mut answer = Answer { path: answer, read: 0, rest: String::new() };
    let mut gathered = Gathered::new(job.tests.len());
    let mut last = Instant::now();
    // The guest's own watchdog speaks first; this one is for a guest that is silent altogether.
    let waits = job.tests.iter().map(|test| test.steps().count()).max().unwrap_or(0);
    let patience = BOOT + Duration::from_millis(job.quiet_ms) * u32::try_from(waits).unwrap_or(1);
    let end = loop {
        let ended = child.ended();
        for line in answer.lines() {
            last = Instant::now();
            progress(&line);
            gathered.take(line);
        }
        if gathered.over {
            break "it ended";
        }
        if ended.is_some() {
            break "it died";
        }
        if interrupted() {
            return Err(Failure::Interrupted);
        }
        if last.elapsed() > patience {
            break "it is silent";
        }
        std::thread::sleep(LOOK);
    };
    if gathered.complete() {
        // It has nothing left to do but to end; this also reaps what it started.
        let start = Instant::now();
        while child.ended().is_none() && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(LOOK);
        }
    }
    drop(child);
    gathered.reply(end, console)
}

/// The answer so far.
#[derive(Debug)]
struct Gathered {
    probe: Option<crate::probe::Probe>,
    reports: Vec<Option<Report>>,
    over: bool,
}

impl Gathered {
    fn new(tests: usize) -> Self {
        Gathered { probe: None, reports: vec![None; tests], over: false }
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Ready { probe } => self.probe = Some(probe),
            Line::Beat { .. } => {}
            Line::Test { test, report } => self.set(test, report),
            Line::Stuck { test, done, tasks } => {
                let tasks = tasks.join("\n");
                let reason = format!("it hangs after {done} repetitions:\n{tasks}");
                self.set(test, Report::Broken { reason });
                self.over = true;
            }
            Line::End => self.over = true,
        }
    }

    fn set(&mut self, test: usize, report: Report) {
        if let Some(place) = self.reports.get_mut(test) {
            *place = Some(report);
        }
    }

    fn complete(&self) -> bool {
        self.over && self.reports.iter().all(Option::is_some)
    }

    /// What is missing is the fault of the first test without a report; those behind it never had
    /// their turn.
    fn reply(self, end: &str, console: &Path) -> Result<Reply, Failure> {
        let Some(probe) = self.probe else {
            let tail = tail(console);
            return Err(Failure::NotRun(format!("{end} before it was up; its console:\n{tail}")));
        };
        let mut broken = self.reports.iter().flatten().any(|r| matches!(r, Report::Broken { .. }));
        let reports = self
            .reports
            .into_iter()
            .map(|report| match report {
                Some(report) => report,
                None if broken => {
                    Report::NotRun { reason: "the machine broke down in an earlier test".into() }
                }
                None => {
                    broken = true;
                    let reason = format!("{end} in this test; its console:\n{}", tail(console));
                    Report::Broken { reason }
                }
            })
            .collect();
        Ok(Reply { probe, reports })
    }
}

fn tail(console: &Path) -> String {
    let text = std::fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    // What follows a panic is long; the panic itself says most.
    let panic = lines.iter().position(|line| line.contains("Kernel panic"));
    let start = panic.unwrap_or(lines.len().saturating_sub(TAIL));
    lines[start..lines.len().min(start + TAIL)].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, dir: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).current_dir(dir);
        command
    }

    fn supervised(script: &str, tests: usize) -> Result<Reply, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let test = || serde_json::from_value(sample_test()).unwrap();
        let tests = (0..tests).map(|_| test()).collect();
        let job = Job::new(tests);
        let command = shell(script, dir.path());
        let answer = dir.path().join("answer");
        supervise(command, &job, &answer, &dir.path().join("console"), &mut |_| {})
    }

    fn sample_test() -> serde_json::Value {
        serde_json::json!({
            "name": "empty", "about": "Nothing.", "revisions": ["import-7.3"], "rings": [],
            "sockets": [], "queues": 0, "vars": [], "setup": [], "threads": [], "finally": [],
            "faults": [], "max_faults": 0, "observe": [], "expect": [], "schedule": null
        })
    }

    fn ready() -> String {
        serde_json::to_string(&Line::Ready { probe: crate::probe::Probe::default() }).unwrap()
    }

    #[test]
    fn a_machine_that_dies_before_it_is_up_was_not_run_and_its_console_is_shown() {
        let failure = supervised("echo no disk > console; exit 3", 1).unwrap_err();
        let Failure::NotRun(reason) = failure else { panic!("{failure:?}") };
        assert!(reason.contains("no disk"), "{reason}");
    }

    #[test]
    fn a_machine_that_dies_in_a_test_breaks_that_test_and_those_behind_are_not_run() {
        let script = format!("echo '{}' > answer; echo Kernel panic > console", ready());
        let reply = supervised(&script, 2).unwrap();
        let Report::Broken { reason } = &reply.reports[0] else { panic!("{reply:?}") };
        assert!(reason.contains("Kernel panic"), "{reason}");
        assert!(matches!(reply.reports[1], Report::NotRun { .. }));
    }

    #[test]
    fn what_the_child_started_is_gone_afterwards() {
        let end = serde_json::to_string(&Line::End).unwrap();
        let script =
            format!("sleep 1000 & echo $! > pid; echo '{}\n{end}' > answer; exit", ready());
        let dir = tempfile::tempdir().unwrap();
        let job = Job::probe();
        let answer = dir.path().join("answer");
        let console = dir.path().join("console");
        supervise(shell(&script, dir.path()), &job, &answer, &console, &mut |_| {}).unwrap();
        let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap();
        let start = Instant::now();
        let stat = format!("/proc/{}/stat", pid.trim());
        // The orphan stays a zombie until its new parent looks at it.
        let alive = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        while alive() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(LOOK);
        }
        assert!(!alive(), "process {pid} is still there");
    }
}
