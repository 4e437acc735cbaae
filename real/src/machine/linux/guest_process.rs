//! A process that runs a job: started, watched and always ended.

use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use super::guest_channel::GuestChannel;
use super::process::{KillOnDrop, LOOK, interrupted};
use crate::job::{Job, JobLine, Report};
use crate::kernels::probe::Probe;
use crate::machine::Failure;

/// Time that a machine has to end by itself when everything is done.
const END: Duration = Duration::from_secs(5);
/// How much longer than the guest's own watchdog ours waits.
const SLACK: Duration = Duration::from_secs(20);

/// What came of one start of a machine.
#[derive(Debug)]
pub(super) struct BootResult {
    /// `None`: it never was up.
    pub(super) probe: Option<Probe>,
    /// From the start to the first line.
    pub(super) up: Duration,
    /// One for each test of the job; those behind the one that broke it have none.
    pub(super) reports: Vec<Option<Report>>,
    /// Why there is no more, with the end of the console.
    pub(super) end: String,
}

/// The answer as it grows.
#[derive(Debug)]
struct Answer<'a> {
    channel: &'a GuestChannel,
    read: u64,
    rest: Vec<u8>,
}

impl Answer<'_> {
    /// The lines that came since the last call.
    fn lines(&mut self) -> Vec<JobLine> {
        let bytes = self.channel.answer(self.read);
        self.read += bytes.len() as u64;
        self.rest.extend(bytes);
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        // A line that is none is the machine dying while it wrote; the missing `End` says so.
        whole
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

/// Starts `command`, which runs `job`, and gathers its answer. `boot`: how long it may take to be up.
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
    let start = Instant::now();
    let mut child = KillOnDrop::start(command).map_err(Failure::NotRun)?;
    let mut answer = Answer { channel, read: 0, rest: Vec::new() };
    let mut gathered = AnswerState::new(job.tests.len());
    let (mut last, mut up) = (start, None);
    // The guest's own watchdog speaks first; this one is for a guest that is silent altogether.
    let waits = job.tests.iter().map(|test| test.steps().count()).max().unwrap_or(0);
    let quiet = Duration::from_millis(job.idle_timeout_ms) * u32::try_from(waits).unwrap_or(1);
    let patience = Duration::from_millis(job.stuck_timeout_ms) + quiet + SLACK;
    let end = loop {
        let ended = child.ended();
        for line in answer.lines() {
            last = Instant::now();
            up.get_or_insert(start.elapsed());
            progress(&line);
            gathered.take(line);
        }
        if gathered.over {
            break "it ended".to_owned();
        }
        if let Some(status) = ended {
            break died(status);
        }
        if interrupted() {
            return Err(Failure::Interrupted);
        }
        let limit = if up.is_some() { patience } else { boot };
        if last.elapsed() > limit {
            break format!("it has been silent for {} s", limit.as_secs());
        }
        std::thread::sleep(LOOK);
    };
    if gathered.complete() {
        // It has nothing left to do but to end; this also reaps what it started.
        let start = Instant::now();
        while child.ended().is_none() && start.elapsed() < END {
            std::thread::sleep(LOOK);
        }
    }
    drop(child);
    let end = match channel.tail() {
        tail if tail.is_empty() => format!("{end}; its console is empty"),
        tail => format!("{end}; its console:\n{tail}"),
    };
    let AnswerState { probe, reports, .. } = gathered;
    Ok(BootResult { probe, up: up.unwrap_or_else(|| start.elapsed()), reports, end })
}

fn died(status: ExitStatus) -> String {
    format!("it died ({status})")
}

/// The answer so far.
#[derive(Debug)]
struct AnswerState {
    probe: Option<Probe>,
    reports: Vec<Option<Report>>,
    over: bool,
}

impl AnswerState {
    fn new(tests: usize) -> Self {
        AnswerState { probe: None, reports: vec![None; tests], over: false }
    }

    fn take(&mut self, line: JobLine) {
        match line {
            JobLine::Ready { probe } => self.probe = Some(probe),
            JobLine::Beat { .. } => {}
            JobLine::Test { test, report } => self.set(test, report),
            JobLine::Stuck { test, done, tasks } => {
                let tasks = tasks.join("\n");
                let reason = format!("it hangs after {done} repetitions:\n{tasks}");
                self.set(test, Report::Broken { reason });
                self.over = true;
            }
            JobLine::End => self.over = true,
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
    fn a_machine_that_dies_before_it_is_up_has_no_probe_and_its_console_is_shown() {
        let boot = supervised("echo no disk >&2; exit 3", 1);
        assert_eq!(boot.probe, None);
        assert!(boot.end.contains("exit status: 3") && boot.end.contains("no disk"), "{boot:?}");
    }

    #[test]
    fn a_machine_that_dies_in_a_test_leaves_the_reports_of_those_before() {
        let report = Report::NotRun { reason: "why".into() };
        let done =
            serde_json::to_string(&JobLine::Test { test: 0, report: report.clone() }).unwrap();
        let boot = supervised(&format!("echo '{}\n{done}'; echo Kernel panic >&2", ready()), 3);
        assert_eq!(boot.reports, [Some(report), None, None]);
        assert!(boot.end.contains("Kernel panic"), "{boot:?}");
    }

    #[test]
    fn a_machine_that_is_never_up_is_ended_at_its_time_limit() {
        let start = Instant::now();
        let boot = supervised("exec sleep 1000", 1);
        assert!(boot.end.contains("silent for 1 s"), "{boot:?}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn what_the_child_started_is_gone_afterwards() {
        let end = serde_json::to_string(&JobLine::End).unwrap();
        let boot = supervised(&format!("sleep 1000 & echo $! >&2; echo '{}\n{end}'", ready()), 0);
        let pid = boot.end.lines().next_back().unwrap();
        let start = Instant::now();
        let stat = format!("/proc/{pid}/stat");
        // The orphan stays a zombie until its new parent looks at it.
        let alive = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        while alive() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(LOOK);
        }
        assert!(!alive(), "process {pid} is still there");
    }
}
