//! The process that runs a job: starts it, reads its answer, and always ends it.

use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use super::guest_channel::GuestChannel;
use super::process::{KillOnDrop, POLL_INTERVAL, interrupted};
use crate::job::{Job, JobLine, Report};
use crate::kernels::probe::Probe;
use crate::machine::Failure;

/// Time that a machine has to exit after the end of the job.
const EXIT_TIME: Duration = Duration::from_secs(5);
/// Time that this process waits longer than the watchdog of the guest.
const SLACK: Duration = Duration::from_secs(20);

/// The result of one boot of a machine.
#[derive(Debug)]
pub(super) struct BootResult {
    /// `None`: it did not boot.
    pub(super) probe: Option<Probe>,
    /// From the start to the first line.
    pub(super) up: Duration,
    /// One for each test of the job; `None` for the tests that did not end.
    pub(super) reports: Vec<Option<Report>>,
    /// Why the answer ended, with the end of the console.
    pub(super) end: String,
    /// Whether the answer has its last line.
    pub(super) complete: bool,
    /// Whether the kernel is damaged by a test that may crash it, and the others need a new boot.
    pub(super) damaged: bool,
    /// Whether the connection to the machine was lost, and the kernel runs on. It says nothing about the test that
    /// ran.
    pub(super) lost: bool,
}

/// Reads the answer while it is written.
#[derive(Debug)]
struct Answer<'a> {
    channel: &'a GuestChannel,
    read: u64,
    rest: Vec<u8>,
}

impl Answer<'_> {
    /// The lines that were added since the last call.
    fn lines(&mut self) -> Vec<JobLine> {
        let bytes = self.channel.answer(self.read);
        self.read += bytes.len() as u64;
        self.rest.extend(bytes);
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        // An invalid line means that the machine crashed while writing; `End` is missing, too.
        whole
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

/// Starts `command`, which runs `job`, and collects its answer. `boot`: time limit of the boot.
pub(super) fn supervise(
    command: Command,
    job: &Job,
    channel: &GuestChannel,
    boot: Duration,
    progress: &mut dyn FnMut(&JobLine),
) -> Result<BootResult, Failure> {
    if interrupted() {
        return Err(Failure::Interrupted);
    }
    let child = KillOnDrop::start(command).map_err(Failure::NotRun)?;
    supervise_child(child, job, channel, boot, progress)
}

/// Like [`supervise`], for a process that has been started.
pub(super) fn supervise_child(
    mut child: KillOnDrop,
    job: &Job,
    channel: &GuestChannel,
    boot: Duration,
    progress: &mut dyn FnMut(&JobLine),
) -> Result<BootResult, Failure> {
    let start = Instant::now();
    let mut answer = Answer { channel, read: 0, rest: Vec::new() };
    let mut gathered = AnswerState::new(job.tests.len());
    let (mut last, mut up) = (start, None);
    // The watchdog of the guest is faster. This limit is for a guest without any output.
    let waits = job.tests.iter().map(|test| test.steps().count()).max().unwrap_or(0);
    let idle = Duration::from_millis(job.idle_timeout_ms) * u32::try_from(waits).unwrap_or(1);
    let silence = Duration::from_millis(job.stuck_timeout_ms) + idle + SLACK;
    let end = loop {
        let ended = child.exit_status();
        for line in answer.lines() {
            last = Instant::now();
            up.get_or_insert(start.elapsed());
            progress(&line);
            gathered.add(line);
        }
        if gathered.ended {
            break "the job ended".to_owned();
        }
        if let Some(status) = ended {
            break exit_reason(status);
        }
        if interrupted() {
            return Err(Failure::Interrupted);
        }
        let limit = if up.is_some() { silence } else { boot };
        if last.elapsed() > limit {
            break format!("no output for {} s", limit.as_secs());
        }
        std::thread::sleep(POLL_INTERVAL);
    };
    if gathered.complete() {
        // Let it exit by itself, so that it reaps its own children.
        let start = Instant::now();
        while child.exit_status().is_none() && start.elapsed() < EXIT_TIME {
            std::thread::sleep(POLL_INTERVAL);
        }
    }
    drop(child);
    let end = match channel.tail() {
        tail if tail.is_empty() => format!("{end}; its console is empty"),
        tail => format!("{end}; its console:\n{tail}"),
    };
    let complete = gathered.complete();
    let AnswerState { probe, reports, damaged, .. } = gathered;
    let up = up.unwrap_or_else(|| start.elapsed());
    Ok(BootResult { probe, up, reports, end, complete, damaged, lost: false })
}

fn exit_reason(status: ExitStatus) -> String {
    format!("it exited ({status})")
}

/// The state of the answer.
#[derive(Debug)]
struct AnswerState {
    probe: Option<Probe>,
    reports: Vec<Option<Report>>,
    ended: bool,
    damaged: bool,
}

impl AnswerState {
    fn new(tests: usize) -> Self {
        AnswerState { probe: None, reports: vec![None; tests], ended: false, damaged: false }
    }

    fn add(&mut self, line: JobLine) {
        match line {
            JobLine::Ready { probe } => self.probe = Some(probe),
            JobLine::Beat { .. } | JobLine::Controlled { .. } | JobLine::Coverage { .. } => {}
            JobLine::Test { test, report } => self.set(test, report),
            JobLine::Stuck { test, done, tasks } => {
                let tasks = tasks.join("\n");
                let reason = format!("it hangs after {done} repetitions:\n{tasks}");
                self.set(test, Report::Broken { reason });
                self.ended = true;
            }
            JobLine::Damaged => (self.ended, self.damaged) = (true, true),
            JobLine::End => self.ended = true,
        }
    }

    fn set(&mut self, test: usize, report: Report) {
        if let Some(place) = self.reports.get_mut(test) {
            *place = Some(report);
        }
    }

    fn complete(&self) -> bool {
        self.ended && self.reports.iter().all(Option::is_some)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::machine) fn sample_job(tests: usize) -> Job {
        let test = || {
            serde_json::from_value(serde_json::json!({
                "name": "empty", "about": "Nothing.", "revisions": ["import-7.3"], "rings": [],
                "sockets": [], "queues": 0, "vars": [], "setup": [], "threads": [], "finally": [],
                "faults": [], "max_faults": 0, "observe": [], "expect": [], "schedule": null
            }))
            .unwrap()
        };
        Job::new((0..tests).map(|_| test()).collect())
    }

    fn supervised(script: &str, tests: usize) -> BootResult {
        let channel = GuestChannel::new(|_| Ok(())).unwrap();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        channel.connect(&mut command).unwrap();
        let boot = Duration::from_secs(1);
        supervise(command, &sample_job(tests), &channel, boot, &mut |_| {}).unwrap()
    }

    fn ready() -> String {
        serde_json::to_string(&JobLine::Ready { probe: Probe::default() }).unwrap()
    }

    #[test]
    fn a_machine_that_exits_during_boot_has_no_probe_and_its_console_is_shown() {
        let boot = supervised("echo no disk >&2; exit 3", 1);
        assert_eq!(boot.probe, None);
        assert!(boot.end.contains("exit status: 3") && boot.end.contains("no disk"), "{boot:?}");
    }

    #[test]
    fn a_machine_that_crashes_in_a_test_keeps_the_earlier_reports() {
        let report = Report::NotRun { reason: "why".into() };
        let done =
            serde_json::to_string(&JobLine::Test { test: 0, report: report.clone() }).unwrap();
        let boot = supervised(&format!("echo '{}\n{done}'; echo Kernel panic >&2", ready()), 3);
        assert_eq!(boot.reports, [Some(report), None, None]);
        assert!(boot.end.contains("Kernel panic"), "{boot:?}");
    }

    #[test]
    fn a_machine_that_never_boots_is_killed_at_the_time_limit() {
        let start = Instant::now();
        let boot = supervised("exec sleep 1000", 1);
        assert!(boot.end.contains("no output for 1 s"), "{boot:?}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn processes_started_by_the_child_are_gone_afterwards() {
        let end = serde_json::to_string(&JobLine::End).unwrap();
        let boot = supervised(&format!("sleep 1000 & echo $! >&2; echo '{}\n{end}'", ready()), 0);
        let pid = boot.end.lines().next_back().unwrap();
        let start = Instant::now();
        let stat = format!("/proc/{pid}/stat");
        // The orphan stays a zombie until its new parent reaps it.
        let alive = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        while alive() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(POLL_INTERVAL);
        }
        assert!(!alive(), "process {pid} is still there");
    }
}
