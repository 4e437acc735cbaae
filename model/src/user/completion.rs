//! What an application does with a completion: checks it against what was asked for and sent,
//! reads the buffer, gives it back.

use crate::errno::ENODATA;
use crate::invariant::Invariant;
use crate::io_uring::cq::Cqe;
use crate::io_uring::zcrx::area::{AREA_SHIFT, NIOV_SHIFT};
use crate::io_uring::zcrx::events::notif_data;
use crate::platform::{AtomicWord, PlainWord, Platform, RawLock};
use crate::revision::Defect;
use crate::run::{ModelRun, ifq_number};
use crate::test::arg_modifier::ArgModifier;
use crate::test::{Event, Op, Step, Test, VarId};
use crate::user::refill::refill_push;

const AREA_MASK: u64 = !((1 << AREA_SHIFT) - 1);
const PAGE_MASK: u64 = !((1 << NIOV_SHIFT) - 1);

/// What an application knows of one `recv` step.
#[derive(Debug)]
pub struct Receive<P: Platform> {
    /// The connection.
    pub socket: usize,
    /// The steps that give its ifq an area; the bytes must be in one of these.
    pub areas: Vec<usize>,
    /// Whether no other request reads from the connection, so that the position is known.
    pub alone: bool,
    /// 1 after the last completion.
    pub done: P::Plain,
}

impl<P: Platform> Receive<P> {
    /// For a `recv` step; `None` for others.
    #[must_use]
    pub fn new(test: &Test, step: &Step) -> Option<Self> {
        let Op::Recv { ifq, socket, .. } = step.op else { return None };
        let reads = |s: &&Step| matches!(s.op, Op::Recv { socket: other, .. } if other == socket);
        Some(Receive {
            socket: usize::from(socket),
            areas: areas_of(test, ifq),
            alone: test.steps().filter(reads).count() == 1,
            done: P::plain("recv.done", 0),
        })
    }
}

/// The steps that give an ifq an area, by its variable: the registration, and `add-area`.
fn areas_of(test: &Test, ifq: VarId) -> Vec<usize> {
    let origin = test.origin(ifq);
    let gives = |step: &Step| match step.op {
        Op::Register { .. } => step.bind.is_some() && step.bind == origin,
        Op::AddArea { ifq, .. } => origin.is_some() && test.origin(ifq) == origin,
        _ => false,
    };
    (0..).zip(test.steps()).filter(|(_, step)| gives(step)).map(|(i, _)| i).collect()
}

/// What an application knows of the events of one `register` step that asked for them.
#[derive(Debug)]
pub struct Told<P: Platform> {
    /// By event: how often it came.
    came: [P::Atomic; 2],
    /// By event: how often it was armed again, or is being armed.
    armed: [P::Atomic; 2],
}

impl<P: Platform> Told<P> {
    /// For a `register` step with events; `None` for others.
    #[must_use]
    pub fn new(step: &Step) -> Option<Self> {
        let Op::Register { modifiers, .. } = step.op else { return None };
        let words = |label| [P::atomic(label, 0), P::atomic(label, 0)];
        modifiers
            .has(ArgModifier::Events)
            .then(|| Told { came: words("event.came"), armed: words("event.armed") })
    }
}

fn increment<P: Platform>(word: &P::Atomic) -> u64 {
    word.store_in_step(word.load_in_step() + 1);
    word.load_in_step()
}

/// The application is about to arm an event of an ifq.
pub fn arming<P: Platform>(run: &ModelRun<P>, ifq: VarId, event: Event) {
    let number = match event {
        Event::AllocFail => 0,
        Event::Copy => 1,
        Event::Unknown => return,
    };
    let origin = run.test.origin(ifq).and_then(|var| run.step_of(var));
    if let Some(told) = origin.and_then(|step| run.told[step].as_ref()) {
        increment::<P>(&told.armed[number]);
    }
}

/// Checks a completion against what was asked for and sent, and remembers its buffer.
pub fn received<P: Platform>(run: &ModelRun<P>, step: &Step, cqe: Cqe) {
    if check_event(run, step, cqe) {
        return;
    }
    let Some(Some(receive)) = run.receives.get(cqe.user_data as usize) else {
        P::violation(Invariant::I10, format_args!("a completion that nobody asked for"));
        return;
    };
    if receive.done.get() != 0 {
        P::violation(Invariant::I10, format_args!("a completion after the request's last one"));
    }
    if !cqe.more {
        receive.done.set(1);
        return;
    }
    let Some((area, seq)) = check_bytes(run, receive, cqe) else { return };
    if let Some(var) = step.bind {
        let bound = &run.vars[usize::from(var)];
        bound.off.set(cqe.off + 1);
        bound.area.set(area as u64 + 1);
        bound.seq.set(seq);
        bound.request.set(cqe.user_data + 1);
    }
}

/// Whether a completion is an event that its ring asked for. It must not come again before it was
/// armed again.
fn check_event<P: Platform>(run: &ModelRun<P>, step: &Step, cqe: Cqe) -> bool {
    let waits_for = step.op.ring();
    let asked = (0..).zip(run.test.steps()).find_map(|(i, s)| match s.op {
        Op::Register { ring, .. } if waits_for == Some(ring) => {
            let told = run.told[i].as_ref()?;
            (notif_data(ifq_number(&run.test, i, ring)) == cqe.user_data).then_some(told)
        }
        _ => None,
    });
    let Some(told) = asked else { return false };
    let number = usize::try_from(cqe.res).ok().filter(|number| *number < told.came.len());
    let Some(number) = number.filter(|_| !cqe.more) else {
        P::violation(Invariant::I10, format_args!("an event with the number {}", cqe.res));
        return true;
    };
    if increment::<P>(&told.came[number]) > told.armed[number].load_in_step() + 1 {
        P::violation(Invariant::I10, format_args!("an event that was not armed again"));
    }
    true
}

/// Returns the step that made the area, and the position in the stream that stands at the start of
/// the buffer.
fn check_bytes<P: Platform>(
    run: &ModelRun<P>,
    receive: &Receive<P>,
    cqe: Cqe,
) -> Option<(usize, u64)> {
    let area = area_of(run, receive, cqe.off);
    let found = area.and_then(|area| Some((area, read_buffer(run, area, cqe.off)?)));
    let Some((area, (stream, page_seq))) = found else {
        P::violation(Invariant::I7, format_args!("completion points to no bytes of a stream"));
        return None;
    };
    if stream as usize != receive.socket {
        P::violation(Invariant::I7, format_args!("bytes of another connection"));
    }
    if receive.alone {
        let seq = page_seq + (cqe.off & !PAGE_MASK);
        let pos = &run.rx_pos[receive.socket];
        if seq != pos.get() {
            P::violation(
                Invariant::I10,
                format_args!("stream goes on at byte {seq} instead of {}", pos.get()),
            );
        }
        pos.set(seq + cqe.res.cast_unsigned());
    }
    Some((area, page_seq))
}

/// The area that an offset points into: the one whose token the kernel has told. After an `add-area`
/// that failed another one may have been given the same token; memory that is not pinned is no area.
fn area_of<P: Platform>(run: &ModelRun<P>, receive: &Receive<P>, off: u64) -> Option<usize> {
    let mem = |step: usize| run.regions[step].as_ref().map(|region| &region.area);
    let told = |step: &usize| mem(*step).is_some_and(|mem| mem.token() == Some(off & AREA_MASK));
    let pinned = |step: &usize| mem(*step).is_some_and(|mem| mem.pins.count() != 0);
    let mut named = receive.areas.iter().copied().filter(told);
    named.clone().find(pinned).or_else(|| named.next())
}

fn read_buffer<P: Platform>(run: &ModelRun<P>, area: usize, off: u64) -> Option<(u32, u64)> {
    let mem = &run.regions.get(area)?.as_ref()?.area;
    mem.read(u32::try_from((off & !AREA_MASK) >> NIOV_SHIFT).ok()?)
}

/// The buffer of a completion goes into the refill ring. What it holds must still be what came.
///
/// # Errors
/// -ENODATA if the completion carried no buffer, -EAGAIN if the ring is full.
pub async fn give_back<P: Platform>(
    run: &ModelRun<P>,
    cqe: VarId,
    ifq: VarId,
    locked: bool,
) -> Result<i64, i64> {
    let _func = P::func("refill");
    let kernel = &run.kernel;
    let bound = &run.vars[usize::from(cqe)];
    let off = bound.off.get().checked_sub(1).ok_or(-ENODATA)?;
    // What was given back before may hold other bytes by now.
    let held = bound.returned.load_in_step() == 0;
    bound.returned.store_in_step(1);
    let step = |word: &P::Plain| word.get().wrapping_sub(1) as usize;
    if let (true, Some(Some(receive))) = (held, run.receives.get(step(&bound.request))) {
        let now = read_buffer(run, step(&bound.area), off);
        if now != Some((receive.socket as u32, bound.seq.get())) {
            P::violation(Invariant::I7, format_args!("a buffer was overwritten while held"));
        }
    }
    let ring = run.rq_of(ifq).ok_or(-ENODATA)?;
    let locked = locked && !kernel.has(Defect::S1);
    let _guard = if locked { Some(ring.producer_lock.lock().await) } else { None };
    refill_push(&**ring, off & PAGE_MASK).await?;
    increment::<P>(&ring.given_back);
    if kernel.has(Defect::S2) {
        refill_push(&**ring, off & PAGE_MASK).await?;
    }
    Ok(0)
}

/// I6: every buffer that was given back with the lock (S1: as if with it) stands in the ring. At the
/// end of a test that does nothing else to the ring's words.
pub fn check_given_back<P: Platform>(run: &ModelRun<P>) {
    let breaks_rules = |op: &Op| {
        let stale = op.modifiers().has(ArgModifier::StaleRing);
        stale || matches!(op, Op::Scribble { .. } | Op::Return { locked: false, .. })
    };
    if run.kernel.has(Defect::S2) || run.test.steps().any(|step| breaks_rules(&step.op)) {
        return;
    }
    let rings = run.regions.iter().flatten().filter_map(|region| region.rq.as_ref());
    for ring in rings {
        let (given, entries) = (ring.given_back.load_in_step(), ring.tail.load_in_step());
        if given != entries {
            P::violation(
                Invariant::I6,
                format_args!("{given} buffers were given back, {entries} stand in the ring"),
            );
        }
    }
}
