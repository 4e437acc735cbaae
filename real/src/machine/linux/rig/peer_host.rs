//! The host of a rig's peer: the program there is the far end of the connections.

use std::time::{Duration, Instant};

use super::super::guest_channel::GuestChannel;
use super::super::process::{KillOnDrop, POLL_INTERVAL, interrupted};
use super::converse::restore_peer;
use super::remote::Remote;
use crate::machine::Failure;
use crate::rig::RigFile;
use crate::rig::agent::{Action, Answer, PeerAction, Request};

/// Time limit for the set-up of the peer.
const START: Duration = Duration::from_secs(60);

/// The program on the peer's host. Dropping this restores the peer.
#[derive(Debug)]
pub(super) struct PeerHost {
    _child: KillOnDrop,
    _channel: GuestChannel,
}

impl PeerHost {
    /// Starts it, if the peer is on another host, and waits until the peer is set up.
    ///
    /// # Errors
    ///
    /// [`Failure`]: the host does not answer, or refuses.
    pub(super) fn start(file: &RigFile, remote: Option<&Remote>) -> Result<Option<Self>, Failure> {
        let Some(remote) = remote else { return Ok(None) };
        let of_peer = |why: String| Failure::NotRun(format!("the peer's host: {why}"));
        remote.bring().map_err(of_peer)?;
        // A run that lost its connection may have left it.
        restore_peer(file, remote).map_err(of_peer)?;
        let channel = GuestChannel::new(|_| Ok(())).map_err(of_peer)?;
        let action = Action::<()>::Peer(PeerAction::Serve);
        let request = Request { rig: file.rig.clone(), action };
        let mut child = remote.start(&request, &channel).map_err(of_peer)?;
        let start = Instant::now();
        loop {
            let ended = child.exit_status();
            for line in channel.answer(0).split(|byte| *byte == b'\n') {
                match serde_json::from_slice(line) {
                    Ok(Answer::Ready) => {
                        return Ok(Some(PeerHost { _child: child, _channel: channel }));
                    }
                    Ok(Answer::Refused { complaint }) => {
                        return Err(Failure::NotRun(file.error(*complaint).to_string()));
                    }
                    Ok(Answer::Failed { why }) => return Err(of_peer(why)),
                    _ => {}
                }
            }
            if let Some(status) = ended {
                return Err(of_peer(format!("no answer ({status}): {}", channel.tail())));
            }
            if interrupted() {
                return Err(Failure::Interrupted);
            }
            if start.elapsed() > START {
                return Err(of_peer(format!("it is not set up after {} s", START.as_secs())));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}
