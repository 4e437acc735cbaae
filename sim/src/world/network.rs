//! Peers, the network and the device: messages in bursts and held back, ends and resets of streams, queues that
//! are restarted, a device that goes down.
//!
//! The model has TCP's receive side only. A packet that is lost is one for which the device has no buffer, or
//! that comes while the device is down: the peer's send fails, and the stream goes on with the next one.
//! Reordering below TCP changes nothing that a receiver can see, so it is not drawn.

use ifq_model::test::{Layout, Op, SocketId};

use super::draft::{Draft, Section};
use super::feature::Feature;

/// What a peer does next.
#[derive(Clone, Copy, Debug)]
enum Action {
    Send,
    Burst,
    Shutdown,
    Reset,
    CloseSocket,
}

/// Bytes of a page.
const PAGE: u32 = 4096;

/// One operation of a peer; `false` if there is no connection to use.
pub(super) fn draw(draft: &mut Draft<'_>) -> bool {
    let connections = (0..).zip(&draft.connections);
    let live: Vec<SocketId> = connections
        .filter(|(_, connection)| connection.reader.is_some() && !connection.ended)
        .map(|(socket, _)| socket)
        .collect();
    let Some(socket) = draft.one_of(&live) else { return false };
    let weight = |feature| draft.weight(feature);
    let actions = [
        (Action::Send, 24),
        (Action::Burst, weight(Feature::Bursts)),
        (Action::Shutdown, weight(Feature::Shutdown).div_ceil(4)),
        (Action::Reset, weight(Feature::Reset).div_ceil(4)),
        (Action::CloseSocket, weight(Feature::CloseSocket).div_ceil(4)),
    ];
    let peers = &draft.peers;
    let peer = Section::Thread(peers.start + usize::from(socket) % peers.len());
    match draft.weighted(&actions) {
        Some(Action::Burst) => {
            for _ in 0..3 + draft.below(4) {
                send(draft, peer, socket);
            }
            true
        }
        Some(Action::Shutdown) => end(draft, peer, socket, Op::Shutdown { socket }),
        Some(Action::Reset) => end(draft, peer, socket, Op::Reset { socket }),
        Some(Action::CloseSocket) => {
            let closer = Section::Thread(draft.closer);
            end(draft, closer, socket, Op::CloseSocket { socket })
        }
        Some(Action::Send) | None => send(draft, peer, socket),
    }
}

fn end(draft: &mut Draft<'_>, section: Section, socket: SocketId, op: Op) -> bool {
    draft.connections[usize::from(socket)].ended = true;
    expect(draft, socket, 1);
    draft.push(section, op).is_some()
}

/// The reader is likely to get completions.
fn expect(draft: &mut Draft<'_>, socket: SocketId, completions: u32) {
    if let Some(ring) = draft.connections[usize::from(socket)].reader {
        draft.application(ring).credit += completions;
    }
}

fn send(draft: &mut Draft<'_>, section: Section, socket: SocketId) -> bool {
    let lengths = [1, 100, 1000, PAGE, 5000, 2 * PAGE];
    let len = match draft.has(Feature::Bursts) && draft.one_in(16) {
        true => 32767,
        false => lengths[draft.below(6) as usize],
    };
    let on_queue = draft.connections[usize::from(socket)].queue.is_some();
    let layout = match draft.below(4) {
        0 if on_queue && draft.has(Feature::Layouts) && (2..=2 * PAGE).contains(&len) => {
            Layout::Frags(2)
        }
        1 if on_queue && draft.has(Feature::Layouts) && (3..=PAGE).contains(&len) => {
            Layout::Packets(3)
        }
        _ => Layout::Pages,
    };
    let pieces = if layout.is_pages() { len.div_ceil(PAGE) } else { 2 };
    expect(draft, socket, pieces);
    let mut after = Vec::new();
    if draft.has(Feature::HeldBack) && draft.one_in(4) {
        let recent = draft.recent.len();
        let near: Vec<_> = draft.recent[recent.saturating_sub(20)..].to_vec();
        after.extend(draft.one_of(&near));
    }
    draft.push_step(section, Op::Send { socket, len, layout }, false, after).is_some()
}

/// One operation on the device; `false` if none is on.
pub(super) fn draw_device(draft: &mut Draft<'_>) -> bool {
    let queues = draft.options.queues;
    let weights = [
        (Op::NetdevDown, draft.weight(Feature::DownUp)),
        (Op::NetdevUp, draft.weight(Feature::DownUp)),
        (Op::RestartQueue { queue: 0 }, draft.weight(Feature::Restart)),
        (Op::UnregisterNetdev, draft.weight(Feature::Unregister).div_ceil(8)),
    ];
    let Some(op) = draft.weighted(&weights) else { return false };
    let op = match op {
        Op::RestartQueue { .. } => Op::RestartQueue { queue: draft.below(queues) },
        op => op,
    };
    draft.push(Section::Thread(draft.closer), op).is_some()
}

/// One descriptor is closed; `false` if none is exported.
pub(super) fn draw_close(draft: &mut Draft<'_>) -> bool {
    if draft.exported.is_empty() {
        return false;
    }
    let at = draft.below(draft.exported.len() as u32) as usize;
    let fd = draft.exported.swap_remove(at).fd;
    draft.push(Section::Thread(draft.closer), Op::Close { fd }).is_some()
}
