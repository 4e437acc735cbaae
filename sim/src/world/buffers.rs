//! What an application does with a completion and its buffer: returns it at once, in a batch, late, from another
//! thread, twice or never.

use ifq_model::test::{Op, RingId, RqWord, VarId};

use super::draft::{Draft, Section};
use super::feature::Feature;

/// What happens to a buffer.
#[derive(Clone, Copy, Debug)]
enum Policy {
    AtOnce,
    Hold,
    Batch,
    Foreign,
    Never,
    Twice,
}

/// Returned together.
const BATCH: usize = 4;

/// Waits for a completion, and decides what happens to its buffer.
pub(super) fn completion(draft: &mut Draft<'_>, section: Section, ring: RingId) -> bool {
    let Some(Some(cqe)) = draft.push(section, Op::Wait { ring }) else { return false };
    let application = draft.application(ring);
    application.credit = application.credit.saturating_sub(1);
    let weight = |feature| draft.weight(feature);
    let policies = [
        (Policy::AtOnce, 4),
        (Policy::Hold, weight(Feature::Hold)),
        (Policy::Batch, weight(Feature::Batch) + weight(Feature::Late)),
        (Policy::Foreign, weight(Feature::Foreign)),
        (Policy::Never, weight(Feature::Never)),
        (Policy::Twice, weight(Feature::Twice)),
    ];
    match draft.weighted(&policies) {
        Some(Policy::Hold) => draft.application(ring).kept.push(cqe),
        Some(Policy::Batch) => {
            draft.application(ring).held.push(cqe);
            let full = draft.applications[usize::from(ring)].held.len() >= BATCH;
            if full && !draft.has(Feature::Late) {
                return_batch(draft, section, ring);
            }
        }
        Some(Policy::Foreign) => {
            let helpers: Vec<usize> = draft.helpers.clone().collect();
            let helper = draft.one_of(&helpers).map_or(section, Section::Thread);
            give_back(draft, helper, ring, cqe);
        }
        Some(Policy::Never) => {}
        Some(Policy::Twice) => {
            give_back(draft, section, ring, cqe);
            if draft.one_in(2) {
                give_back(draft, section, ring, cqe);
            } else {
                draft.application(ring).again.push(cqe);
            }
        }
        Some(Policy::AtOnce) | None => give_back(draft, section, ring, cqe),
    }
    true
}

/// Returns one of the buffers that are held, or one a second time.
pub(super) fn return_late(draft: &mut Draft<'_>, section: Section, ring: RingId) -> bool {
    let (held, again) = {
        let application = &draft.applications[usize::from(ring)];
        (application.held.len() as u32, application.again.len() as u32)
    };
    let at = draft.below(held + again) as usize;
    let application = draft.application(ring);
    let cqe = match at.checked_sub(held as usize) {
        None => application.held.swap_remove(at),
        Some(at) => application.again.swap_remove(at),
    };
    give_back(draft, section, ring, cqe);
    true
}

fn return_batch(draft: &mut Draft<'_>, section: Section, ring: RingId) {
    for cqe in std::mem::take(&mut draft.application(ring).held) {
        give_back(draft, section, ring, cqe);
    }
}

/// Returns all buffers that the application still has.
pub(super) fn return_all(draft: &mut Draft<'_>, section: Section, ring: RingId) {
    let application = draft.application(ring);
    let mut all = std::mem::take(&mut application.held);
    all.append(&mut application.kept);
    for cqe in all {
        give_back(draft, section, ring, cqe);
    }
}

fn give_back(draft: &mut Draft<'_>, section: Section, ring: RingId, cqe: VarId) {
    let Some(ifq) = draft.applications[usize::from(ring)].ifq else { return };
    let locked = !(draft.has(Feature::Unlocked) && draft.one_in(2));
    draft.push(section, Op::Return { cqe, ifq, locked, checked: true });
}

/// A write into the refill ring that no producer makes.
pub(super) fn scribble(draft: &mut Draft<'_>, ifq: VarId) -> Op {
    let entry = draft.below(draft.options.entries.min(16));
    let (word, value) = match draft.below(8) {
        0..=3 => {
            let page = u64::from(draft.below(16)) * 4096;
            let offsets = [page, page + 7, u64::MAX, 1 << 48 | page, 9 << 48, 1 << 24];
            (RqWord::Off(entry), offsets[draft.below(6) as usize])
        }
        4 => (RqWord::Pad(entry), 1),
        5 | 6 => (RqWord::Tail, [0, 1, 5, 17, u64::from(u32::MAX)][draft.below(5) as usize]),
        _ => (RqWord::Head, u64::from(draft.below(4))),
    };
    Op::Scribble { ifq, word, value }
}
