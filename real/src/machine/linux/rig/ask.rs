//! Questions to a rig that need no job.

use std::path::Path;

use super::super::process::interrupted;
use super::converse::converse;
use super::peer_host::PeerHost;
use super::remote::Remote;
use crate::machine::Failure;
use crate::rig::RigFile;
use crate::rig::agent::{Action, Answer, PeerAction};

/// Asks the rig of a file, and passes on each answer. Ends with the rig's answers, or, if the rig is held, when
/// the user interrupts.
///
/// # Errors
///
/// [`Failure`]: the file cannot be read, the rig does not answer or refuses.
pub fn ask(
    ifq: &Path,
    path: &Path,
    action: Action<()>,
    each: &mut dyn FnMut(Answer),
) -> Result<(), Failure> {
    interrupted();
    let file = RigFile::load(path).map_err(Failure::NotRun)?;
    let (remote, peer) = (Remote::new(ifq, &file), Remote::to_peer(ifq, &file));
    remote.bring().map_err(Failure::NotRun)?;
    let mut refused = None;
    let held = matches!(action, Action::Hold);
    let of_peer = match action {
        Action::Check => Some(PeerAction::Check),
        Action::Restore => Some(PeerAction::Restore),
        _ => None,
    };
    let _peer = if held { PeerHost::start(&file, peer.as_ref())? } else { None };
    let mut line = |line| match serde_json::from_value(line) {
        Ok(Answer::Refused { complaint }) => refused = Some(file.error(*complaint).to_string()),
        Ok(Answer::Failed { why }) => refused = Some(why),
        Ok(answer) => each(answer),
        Err(_) => {}
    };
    converse(&file, &remote, action, &mut line)?;
    if let (Some(peer), Some(action)) = (&peer, of_peer) {
        peer.bring().map_err(Failure::NotRun)?;
        converse(&file, peer, Action::Peer(action), &mut line)?;
    }
    match refused {
        Some(why) => Err(Failure::NotRun(why)),
        None if interrupted() && !held => Err(Failure::Interrupted),
        None => Ok(()),
    }
}
