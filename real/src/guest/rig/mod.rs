//! The program on a rig: checks, sets up, runs a job in a child process, restores.
//!
//! The tool's end of the connection can vanish at any time. Then the input ends, or no sign of life comes, and
//! the rig is restored.

mod check;
mod far_end;
mod kernel_messages;
mod lifeline;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::abi::syscall;
use crate::job::{Job, JobLine};
use crate::rig::Rig;
use crate::rig::agent::{Action, Answer, PeerAction, Request};
use crate::rig::journal::Journal;
use crate::rig::setup::{RigSetup, SetupError};
use crate::rig::state::RigState;
use lifeline::Lifeline;

/// Time between two looks at the child.
const POLL: Duration = Duration::from_millis(20);
/// Time that a child has to end after it was killed: rings are closed in it.
const KILL_TIME: Duration = Duration::from_secs(20);

/// Carries out the request on standard input; whether it could.
#[must_use]
pub fn run() -> bool {
    let result = Lifeline::start().and_then(|(lifeline, request)| answer(&lifeline, request));
    if let Err(error) = &result {
        say(error);
    }
    result.is_ok()
}

/// Writes a line of the answer. The reader may be gone.
fn say(line: &impl Serialize) {
    if let Ok(mut text) = serde_json::to_string(line) {
        text.push('\n');
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn failed(why: impl Into<String>) -> Answer {
    Answer::Failed { why: why.into() }
}

fn answer(lifeline: &Lifeline, request: Request<Job>) -> Result<(), Answer> {
    let Request { rig, action } = request;
    match action {
        Action::Check => {
            check::check(&rig, &mut |item| say(&Answer::Item(item)));
            Ok(())
        }
        Action::State => {
            say(&Answer::State { state: Box::new(RigState::read(&rig)) });
            Ok(())
        }
        Action::Restore => {
            let (journal, changes) = Journal::begin(&rig.nic.interface).map_err(failed)?;
            journal.restore().map_err(failed)?;
            say(&Answer::Restored { changes });
            Ok(())
        }
        Action::Hold => {
            let setup = set_up(&rig)?;
            say(&Answer::Ready);
            while !lifeline.is_cut() {
                std::thread::sleep(POLL);
            }
            restore(setup)
        }
        Action::Run { job, results } => run_job(lifeline, &rig, job, &results),
        Action::Results { results } => print_results(&results),
        Action::Peer(action) => peer(lifeline, &rig, action),
    }
}

/// What this machine does as the peer's host.
fn peer(lifeline: &Lifeline, rig: &Rig, action: PeerAction) -> Result<(), Answer> {
    match action {
        PeerAction::Check => check::peer(rig, &mut |item| say(&Answer::Item(item))),
        PeerAction::Restore => {
            let (journal, changes) = Journal::begin(&rig.peer.interface).map_err(failed)?;
            journal.restore().map_err(failed)?;
            say(&Answer::Restored { changes });
        }
        PeerAction::Serve => {
            let setup = begun(RigSetup::of_peer(rig))?;
            say(&Answer::Ready);
            let served = far_end::serve(lifeline, rig);
            restore(setup)?;
            served.map_err(|error| failed(format!("the peer: {error}")))?;
        }
    }
    Ok(())
}

fn set_up(rig: &Rig) -> Result<RigSetup, Answer> {
    begun(RigSetup::new(rig))
}

/// A set-up, with its notes said.
fn begun(setup: Result<RigSetup, SetupError>) -> Result<RigSetup, Answer> {
    let setup = setup.map_err(|error| match error {
        SetupError::Refused(complaint) => Answer::Refused { complaint: Box::new(complaint) },
        SetupError::Failed(why) => failed(why),
    })?;
    for text in &setup.notes {
        say(&Answer::Note { text: text.clone() });
    }
    Ok(setup)
}

fn restore(setup: RigSetup) -> Result<(), Answer> {
    setup.restore().map_err(failed)?;
    say(&Answer::Restored { changes: 0 });
    Ok(())
}

/// Results of an earlier run, with its complete lines.
fn print_results(results: &str) -> Result<(), Answer> {
    let text = match fs::read_to_string(results) {
        Ok(text) => text,
        // It had none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(format!("{results}: {error}"))),
    };
    let end = text.rfind('\n').map_or(0, |end| end + 1);
    let mut out = std::io::stdout().lock();
    out.write_all(&text.as_bytes()[..end])
        .and_then(|()| out.flush())
        .map_err(|error| failed(format!("the results: {error}")))
}

fn run_job(lifeline: &Lifeline, rig: &Rig, job: Job, results: &str) -> Result<(), Answer> {
    let setup = set_up(rig)?;
    kernel_messages::follow();
    let ran = run_child(lifeline, rig, job, results);
    // The queues can be changed again when the child is gone.
    setup.restore().map_err(failed)?;
    if ran? {
        // Now the tool may leave.
        say(&JobLine::End);
    }
    Ok(())
}

/// Runs the job in a process of its own, and forwards its answer; whether it came to its end.
fn run_child(lifeline: &Lifeline, rig: &Rig, job: Job, results: &str) -> Result<bool, Answer> {
    let context = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| failed(format!("{what}: {error}"))
    };
    let job = Job { device: Some(rig.clone()), ..job };
    let input = format!("{results}.job");
    let text = serde_json::to_vec(&job).map_err(|error| failed(format!("the job: {error}")))?;
    fs::write(&input, text).map_err(context(&input))?;
    let mut answer = File::create(results).and_then(|_| File::open(results));
    let answer = answer.as_mut().map_err(|error| failed(format!("{results}: {error}")))?;
    let mut command = Command::new("/proc/self/exe");
    command.args(["guest", &input, results]).stdin(Stdio::null()).stdout(Stdio::null());
    command.process_group(0);
    syscall::kill_with_parent(&mut command);
    let mut child = command.spawn().map_err(context("starting the job"))?;
    let mut forwarded = Forwarded::default();
    while !lifeline.is_cut() {
        let ended = child.try_wait().map_err(context("the job"))?;
        forwarded.forward(answer);
        if ended.is_some() || forwarded.ended {
            break;
        }
        std::thread::sleep(POLL);
    }
    let complete = forwarded.ended;
    end(&mut child, complete);
    let _ = fs::remove_file(&input);
    if complete {
        let _ = fs::remove_file(results);
    }
    Ok(complete)
}

/// Lets a child that is finished exit, and kills another.
fn end(child: &mut Child, complete: bool) {
    if !complete {
        let _ = child.kill();
    }
    let start = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if start.elapsed() > KILL_TIME {
            // It hangs in the kernel, or does not exit.
            let _ = child.kill();
            return;
        }
        std::thread::sleep(POLL);
    }
}

/// What of the answer of a job is forwarded.
#[derive(Debug, Default)]
struct Forwarded {
    rest: Vec<u8>,
    ended: bool,
}

impl Forwarded {
    /// Forwards the new lines, except the last one of the job.
    fn forward(&mut self, answer: &mut File) {
        let at = answer.stream_position().unwrap_or(0);
        let _ = answer.seek(SeekFrom::Start(at));
        let _ = answer.read_to_end(&mut self.rest);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            if matches!(serde_json::from_slice(&line), Ok(JobLine::End)) {
                self.ended = true;
                return;
            }
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(&line).and_then(|()| out.flush());
        }
    }
}
