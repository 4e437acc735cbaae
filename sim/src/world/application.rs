//! Applications: rings that acquire an ifq, share it, receive, hold and return buffers, and exit.

use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::literal::{self, Literal};
use ifq_model::test::{Event, Op, RingId, RingSetup, Source, VarId};

use super::buffers::{completion, return_late};
use super::draft::{Draft, Exported, Section};
use super::feature::Feature;

/// What an application does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Register,
    Import,
    Clone,
    Recv,
    Wait,
    Return,
    Export,
    Flush,
    AddArea,
    Arm,
    Mmap,
    Cancel,
    Exit,
    Scribble,
}

/// Sets up rings with other flags.
pub(super) fn draw_setups(draft: &mut Draft<'_>) {
    if !draft.has(Feature::Setups) {
        return;
    }
    for ring in 0..draft.applications.len() as RingId {
        if draft.one_in(4) {
            let setup = RingSetup::ALL[draft.below(RingSetup::ALL.len() as u32) as usize];
            draft.test.setups.push((ring, setup));
            if setup == RingSetup::Disabled && draft.one_in(2) {
                let section = draft.driver(ring);
                draft.push(section, Op::Enable { ring });
            }
        }
    }
}

/// The first registrations and, in half of the worlds, the first shares: before the storm, so that no fault
/// prevents them.
pub(super) fn draw_setup(draft: &mut Draft<'_>) {
    let rings = draft.applications.len() as u32;
    let owners = 1 + draft.below(rings.div_ceil(2));
    for ring in 0..owners as RingId {
        register(draft, Section::Setup, ring);
    }
    for ring in 0..owners as RingId {
        if draft.has(Feature::Share) && draft.revision().has_ctrl() {
            export(draft, Section::Setup, ring);
        }
    }
    if draft.one_in(2) {
        for ring in owners as RingId..rings as RingId {
            share(draft, Section::Setup, ring);
        }
    }
}

/// One operation of the application of a ring; `false` if there was none to draw.
pub(super) fn draw(draft: &mut Draft<'_>, ring: RingId) -> bool {
    let section = draft.driver(ring);
    match choose(draft, ring) {
        None => false,
        Some(Action::Register) => register(draft, section, ring),
        Some(Action::Import | Action::Clone) => share(draft, section, ring),
        Some(Action::Recv) => receive(draft, section, ring),
        Some(Action::Wait) => completion(draft, section, ring),
        Some(Action::Return) => return_late(draft, section, ring),
        Some(Action::Export) => export(draft, section, ring),
        Some(Action::Exit) => exit(draft, ring),
        Some(action) => with_ifq(draft, section, ring, action),
    }
}

fn choose(draft: &mut Draft<'_>, ring: RingId) -> Option<Action> {
    let (revision, application) = (draft.revision(), &draft.applications[usize::from(ring)]);
    let sharing = draft.weight(Feature::Share);
    let device = draft.options.queues > 0;
    let registers = !draft.free_queues.is_empty() || revision.has_nodev() || !device;
    let (has, on) = (application.ifq.is_some(), |feature| draft.weight(feature));
    let if_has = |weight: u32| if has { weight } else { 0 };
    let requests = application.requests.len() as u32;
    let lazy = if on(Feature::Lazy) > 0 { 12 } else { 1 };
    let late = application.held.len() + application.again.len() > 0;
    let exits = has && application.requests.len() + application.held.len() > 0;
    let weights = [
        (Action::Register, if has { 0 } else { u32::from(registers) * 2 }),
        (
            Action::Import,
            u32::from(revision.has_ctrl()) * if has { sharing / 4 } else { 2 * sharing },
        ),
        (
            Action::Clone,
            u32::from(revision.has_clone()) * if has { sharing / 4 } else { 2 * sharing },
        ),
        (Action::Recv, if_has(if requests == 0 { 16 } else { 4 / requests.min(8) })),
        (Action::Wait, if requests == 0 { 0 } else { 1 + application.credit.min(20) / lazy }),
        (Action::Return, if late { 6 } else { 0 }),
        (Action::Export, if_has(u32::from(revision.has_ctrl()) * sharing / 2)),
        (Action::Flush, if_has(u32::from(revision.has_ctrl()) * on(Feature::Flush) / 2)),
        (Action::AddArea, if_has(u32::from(revision.has_add_area()) * on(Feature::AddArea) / 4)),
        (Action::Arm, if application.events { on(Feature::Events) } else { 0 }),
        (Action::Mmap, if_has(on(Feature::Mmap) / 3)),
        (Action::Cancel, if requests > 0 { on(Feature::Cancel) / 2 } else { 0 }),
        (Action::Exit, u32::from(exits) * on(Feature::Exit) / 3),
        (Action::Scribble, if_has(on(Feature::Scribble) / 2)),
    ];
    draft.weighted(&weights)
}

/// Modifiers that break a rule, sometimes.
fn bad(draft: &mut Draft<'_>, verb: &str) -> ArgModifiers {
    const HARMLESS: [ArgModifier; 4] = [
        ArgModifier::KernelRegion,
        ArgModifier::StaleRing,
        ArgModifier::Events,
        ArgModifier::PollFirst,
    ];
    if !draft.has(Feature::BadArguments) || !draft.one_in(6) {
        return ArgModifiers::NONE;
    }
    let fits = |modifier: &ArgModifier| modifier.fits(verb) && !HARMLESS.contains(modifier);
    let fitting: Vec<ArgModifier> = ArgModifier::ALL.iter().copied().filter(fits).collect();
    draft.one_of(&fitting).into_iter().collect()
}

fn register(draft: &mut Draft<'_>, section: Section, ring: RingId) -> bool {
    let nodev = draft.revision().has_nodev();
    let queue = if nodev && draft.one_in(4) { None } else { draft.free_queues.pop() };
    let queue = match (queue, nodev) {
        (None, false) if draft.options.queues > 0 => Some(draft.below(draft.options.queues)),
        (queue, _) => queue,
    };
    let mut modifiers = bad(draft, "register");
    let refused = !modifiers.is_empty();
    let events = draft.has(Feature::Events) && draft.revision().has_events();
    if events {
        modifiers = modifiers.and(ArgModifier::Events);
    }
    if draft.has(Feature::Mmap) && draft.one_in(2) {
        modifiers = modifiers.and(ArgModifier::KernelRegion);
    }
    let (buffers, entries) = (draft.options.buffers, draft.options.entries);
    let (buffers, entries) = (1 + draft.below(buffers), 1 + draft.below(entries));
    let source = queue.map_or(Source::Nodev, Source::Queue);
    let op = Op::Register { ring, source, buffers, entries, modifiers };
    let Some(Some(ifq)) = draft.push(section, op) else { return false };
    if refused {
        draft.free_queues.extend(queue);
        return true;
    }
    let application = draft.application(ring);
    (application.ifq, application.queue, application.events) = (Some(ifq), queue, events);
    application.ids.push(ifq);
    true
}

/// Imports an exported ifq, or clones one of another ring.
fn share(draft: &mut Draft<'_>, section: Section, ring: RingId) -> bool {
    if draft.revision().has_clone() {
        return clone(draft, section, ring);
    }
    if !draft.revision().has_ctrl() {
        return false;
    }
    let exported = draft.exported.clone();
    let (fd, queue) = match draft.one_of(&exported) {
        Some(Exported { fd, queue }) => (fd, queue),
        None => return false,
    };
    let mut modifiers = bad(draft, "import");
    let refused = !modifiers.is_empty();
    if refused && draft.one_in(2) {
        modifiers = ArgModifiers::NONE;
    }
    let fd = match draft.has(Feature::BadArguments) && draft.one_in(12) {
        true => Literal::Number(literal::MAX).to_var(),
        false => fd,
    };
    if let Some(Some(ifq)) = draft.push(section, Op::Import { ring, fd, modifiers }) {
        let wrong = !modifiers.is_empty() || Literal::of(fd).is_some();
        acquired(draft, ring, ifq, queue, wrong);
    }
    true
}

fn clone(draft: &mut Draft<'_>, section: Section, ring: RingId) -> bool {
    let open: Vec<RingId> = draft.open();
    let strange = draft.has(Feature::BadArguments) && draft.one_in(6);
    let sources: Vec<RingId> = open
        .into_iter()
        .filter(|from| !draft.applications[usize::from(*from)].ids.is_empty())
        .filter(|from| strange || *from != ring)
        .collect();
    let Some(from) = draft.one_of(&sources) else { return false };
    let ids = draft.applications[usize::from(from)].ids.clone();
    let Some(id) = draft.one_of(&ids) else { return false };
    let queue = draft.applications[usize::from(from)].queue;
    let unknown = strange && draft.one_in(2);
    let ifq = if unknown { Literal::Number(literal::MAX).to_var() } else { id };
    let modifiers = bad(draft, "clone");
    if let Some(Some(new)) = draft.push(section, Op::Clone { ring, from, ifq, modifiers }) {
        acquired(draft, ring, new, queue, unknown || !modifiers.is_empty() || from == ring);
    }
    true
}

/// A ring has a new id. `wrong`: the system call is likely to have failed.
fn acquired(draft: &mut Draft<'_>, ring: RingId, ifq: VarId, queue: Option<u32>, wrong: bool) {
    if wrong {
        return;
    }
    let application = draft.application(ring);
    application.ids.push(ifq);
    if application.ifq.is_none() {
        (application.ifq, application.queue) = (Some(ifq), queue);
    }
}

fn export(draft: &mut Draft<'_>, section: Section, ring: RingId) -> bool {
    let application = draft.applications[usize::from(ring)].clone();
    let Some(ifq) = draft.one_of(&application.ids) else { return false };
    let modifiers = bad(draft, "export");
    let Some(Some(fd)) = draft.push(section, Op::Export { ring, ifq, modifiers }) else {
        return false;
    };
    if modifiers.is_empty() {
        draft.exported.push(Exported { fd, queue: application.queue });
    }
    true
}

/// Submits a request on a connection of its own, so that the position in the stream is known.
fn receive(draft: &mut Draft<'_>, section: Section, ring: RingId) -> bool {
    let application = draft.applications[usize::from(ring)].clone();
    let Some(ifq) = application.ifq else { return false };
    let unread: Vec<u8> = (0..draft.connections.len() as u8)
        .filter(|socket| draft.connections[usize::from(*socket)].reader.is_none())
        .collect();
    let same = |socket: &u8| draft.connections[usize::from(*socket)].queue == application.queue;
    let near: Vec<u8> = unread.iter().copied().filter(same).collect();
    let from = if near.is_empty() || draft.one_in(8) { &unread } else { &near };
    let Some(socket) = draft.one_of(from) else { return false };
    let mut modifiers = bad(draft, "recv");
    let mut len = 0;
    if draft.has(Feature::Limited) && draft.one_in(3) {
        len = [1, 4096, 6000, 20000][draft.below(4) as usize];
    }
    if draft.has(Feature::Limited) && draft.one_in(3) {
        modifiers = modifiers.and(ArgModifier::PollFirst);
    }
    let op = Op::Recv { ring, ifq, socket, len, modifiers };
    let Some(Some(request)) = draft.push(section, op) else { return false };
    draft.connections[usize::from(socket)].reader = Some(ring);
    draft.application(ring).requests.push((request, socket));
    true
}

fn with_ifq(draft: &mut Draft<'_>, section: Section, ring: RingId, action: Action) -> bool {
    let application = draft.applications[usize::from(ring)].clone();
    let Some(ifq) = draft.one_of(&application.ids) else { return false };
    let op = match action {
        Action::Flush => Op::Flush { ring, ifq, modifiers: bad(draft, "flush") },
        Action::AddArea => {
            let buffers = 1 + draft.below(draft.options.buffers);
            Op::AddArea { ring, ifq, buffers, modifiers: bad(draft, "add-area") }
        }
        Action::Arm => {
            let event = if draft.one_in(2) { Event::Copy } else { Event::AllocFail };
            Op::Arm { ring, ifq, event, modifiers: bad(draft, "arm") }
        }
        Action::Scribble => super::buffers::scribble(draft, ifq),
        Action::Cancel => {
            let Some((request, socket)) = draft.one_of(&application.requests) else { return false };
            match draft.below(3) {
                0 => Op::Cancel { ring, request },
                1 => Op::CancelSocket { ring, socket },
                _ => Op::CancelAll { ring },
            }
        }
        _ => Op::Mmap { ring, ifq },
    };
    if matches!(op, Op::Cancel { .. } | Op::CancelSocket { .. } | Op::CancelAll { .. }) {
        draft.application(ring).credit += 1;
    }
    let section = match action {
        // At any time, also while the kernel reads the ring.
        Action::Scribble => Section::Thread(draft.closer),
        _ => section,
    };
    draft.push(section, op).is_some()
}

/// The ring exits: by its own thread, or by another one at any time.
fn exit(draft: &mut Draft<'_>, ring: RingId) -> bool {
    let own = draft.one_in(2);
    let section = if own { draft.driver(ring) } else { Section::Thread(draft.closer) };
    draft.application(ring).gone = own;
    draft.push(section, Op::Exit { ring }).is_some()
}
