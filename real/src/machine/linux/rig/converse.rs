//! Requests to the program on a rig, and to the one on its peer's host.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::guest_channel::GuestChannel;
use super::super::process::{POLL_INTERVAL, interrupted};
use super::remote::Remote;
use crate::machine::Failure;
use crate::rig::RigFile;
use crate::rig::agent::{Action, Answer, PeerAction, Request};

/// Time in which a rig that another process has let go is restored.
const RESTORED: Duration = Duration::from_secs(60);

/// Restores the rig, when the process that used it has noticed that it is alone.
pub(super) fn restore(file: &RigFile, remote: &Remote) -> Result<(), String> {
    restored(file, remote, &Action::Restore)
}

/// The same for the peer, on its own host.
pub(super) fn restore_peer(file: &RigFile, remote: &Remote) -> Result<(), String> {
    restored(file, remote, &Action::Peer(PeerAction::Restore))
}

fn restored(file: &RigFile, remote: &Remote, action: &Action<()>) -> Result<(), String> {
    let limit = RESTORED + Duration::from_secs(file.machine.silence_seconds.into());
    let start = Instant::now();
    loop {
        let answers = lines(file, remote, action.clone())?;
        let why = answers.into_iter().find_map(|line| match serde_json::from_value(line) {
            Ok(Answer::Failed { why }) => Some(why),
            _ => None,
        });
        match why {
            None => return Ok(()),
            Some(why) if start.elapsed() > limit || interrupted() => {
                return Err(format!("the rig is not restored: {why}"));
            }
            Some(_) => std::thread::sleep(50 * POLL_INTERVAL),
        }
    }
}

/// The lines of an answer.
pub(super) fn lines(
    file: &RigFile,
    remote: &Remote,
    action: Action<()>,
) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    converse(file, remote, action, &mut |line| all.push(line))
        .map_err(|error| error.to_string())?;
    Ok(all)
}

/// Makes a request, and passes on each line of the answer.
pub(super) fn converse(
    file: &RigFile,
    remote: &Remote,
    action: Action<()>,
    each: &mut dyn FnMut(Value),
) -> Result<(), Failure> {
    let channel = GuestChannel::new(|_| Ok(())).map_err(Failure::NotRun)?;
    let held = matches!(action, Action::Hold);
    let request = Request { rig: file.rig.clone(), action };
    let mut child = Some(remote.start(&request, &channel).map_err(Failure::NotRun)?);
    let mut printed = 0;
    loop {
        let status = child.as_mut().and_then(|child| child.exit_status());
        let gone = child.is_none();
        let bytes = channel.answer(printed);
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        printed += end as u64;
        for line in bytes[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let Ok(line) = serde_json::from_slice(line) {
                each(line);
            }
        }
        if let Some(status) = status {
            if printed == 0 && !status.success() {
                let console = channel.tail();
                return Err(Failure::NotRun(format!(
                    "the rig gave no answer ({status}): {console}"
                )));
            }
            return Ok(());
        }
        if gone {
            return Ok(());
        }
        if interrupted() {
            // Waits until the rig is restored.
            drop(child.take());
            if !held {
                return Err(Failure::Interrupted);
            }
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
