//! After the storm: no fault occurs any more, and everything must end.
//!
//! The steps of `finally` drain the rings that are left, close everything and then do what a new application
//! does on each queue: register, receive, return, see the end of the stream, exit. Conditions of the test say
//! what its results must be. Each wait that ends without a completion makes the model check that no armed
//! request has unread bytes.

use ifq_model::errno::ENODEV;
use ifq_model::fault::FaultPoint;
use ifq_model::test::arg_modifier::ArgModifiers;
use ifq_model::test::condition::{Comparison, Operand};
use ifq_model::test::{Condition, Formula, Layout, Op, Quantifier, RingId, Source, VarId};
use ifq_model::value::Value;

use super::buffers::return_all;
use super::draft::{Draft, Section};
use super::feature::Feature;

/// Rings that are drained.
const CORE: usize = 6;
/// Waits of a ring that is drained.
const WAITS: usize = 3;
/// Bytes of a message of two pages.
const MESSAGE: u32 = 5000;
/// The parts in which a message arrives.
const PARTS: [i64; 2] = [4096, MESSAGE as i64 - 4096];

/// Draws `finally` and the conditions.
pub(super) fn draw(draft: &mut Draft<'_>) {
    let last = Section::Finally;
    let dead = |draft: &Draft<'_>, ring: RingId| {
        let Section::Thread(thread) = draft.driver(ring) else { return false };
        let steps = &draft.test.threads[thread].steps;
        steps.last().is_some_and(|step| step.op == Op::Exec)
    };
    let alive: Vec<RingId> = draft.open().into_iter().filter(|r| !dead(draft, *r)).collect();
    for ring in alive.iter().take(CORE) {
        for _ in 0..WAITS {
            draft.push_step(last, Op::Wait { ring: *ring }, false, Vec::new());
        }
        return_all(draft, last, *ring);
        draft.push_step(last, Op::Wait { ring: *ring }, false, Vec::new());
    }
    for ring in 0..draft.applications.len() as RingId {
        draft.push(last, Op::Exit { ring });
    }
    for exported in std::mem::take(&mut draft.exported) {
        draft.push(last, Op::Close { fd: exported.fd });
    }
    let mut must: Vec<Formula> = Vec::new();
    let gone = draft.test.steps().any(|step| step.op == Op::UnregisterNetdev);
    let queues = draft.options.queues;
    if queues > 0 {
        // A queue whose restart failed keeps its page pool until the device is down.
        if draft.test.faults.contains(&FaultPoint::RxqRestart) {
            draft.push(last, Op::NetdevDown);
        }
        let result = if gone { -ENODEV } else { 0 };
        must.extend(draft.named(last, Op::NetdevUp).map(|up| equal(up, result)));
    }
    heal(draft, gone, &mut must);
    let formula = if must.len() > 1 { Some(Formula::And(must)) } else { must.pop() };
    if let Some(mut formula) = formula {
        let variant = &draft.options.variant;
        formula.for_each_var(&mut |var| draft.test.observe.push(*var));
        draft.test.conditions.push(Condition {
            quantifier: Quantifier::Always,
            formula,
            revisions: Vec::new(),
            defects: variant.defects.clone(),
            without: variant.without.clone(),
        });
    }
}

fn equal(var: VarId, number: i64) -> Formula {
    let to = Operand::Value(Value::Number(number));
    Formula::Compare { var, is: Comparison::Equal, to }
}

/// A ring that did not take part in the storm uses each queue, or an ifq without device.
fn heal(draft: &mut Draft<'_>, gone: bool, must: &mut Vec<Formula>) {
    let ring = draft.test.rings.len() as RingId;
    draft.test.rings.push("healed".to_owned());
    let mut sources: Vec<Source> = Vec::new();
    if !gone {
        sources.extend((0..draft.options.queues).map(Source::Queue));
    }
    if draft.revision().has_nodev() {
        sources.push(Source::Nodev);
    }
    let served = draft.below(sources.len() as u32) as usize;
    for (id, source) in sources.into_iter().enumerate() {
        let modifiers = ArgModifiers::NONE;
        let op = Op::Register { ring, source, buffers: 4, entries: 4, modifiers };
        let Some(ifq) = draft.named(Section::Finally, op) else { return };
        must.push(equal(ifq, id as i64));
        if id == served {
            serve(draft, ring, ifq, source, must);
        }
    }
    draft.push(Section::Finally, Op::Exit { ring });
}

/// One message from its arrival to the return of its buffers, and the end of the stream.
fn serve(draft: &mut Draft<'_>, ring: RingId, ifq: VarId, source: Source, must: &mut Vec<Formula>) {
    let last = Section::Finally;
    let queue = if let Source::Queue(queue) = source { Some(queue) } else { None };
    let socket = draft.connection(queue);
    let modifiers = ArgModifiers::NONE;
    draft.push(last, Op::Recv { ring, ifq, socket, len: 0, modifiers });
    let sent = draft.named(last, Op::Send { socket, len: MESSAGE, layout: Layout::Pages });
    must.extend(sent.map(|sent| equal(sent, 0)));
    for part in PARTS {
        if let Some(cqe) = draft.named(last, Op::Wait { ring }) {
            must.push(equal(cqe, part));
            draft.push(last, Op::Return { cqe, ifq, locked: true, checked: true });
        }
    }
    draft.push(last, Op::Shutdown { socket });
    must.extend(draft.named(last, Op::Wait { ring }).map(|end| equal(end, 0)));
}

/// Some application threads end by executing another program.
pub(super) fn draw_execs(draft: &mut Draft<'_>) {
    if !draft.has(Feature::Exec) {
        return;
    }
    for thread in 0..draft.helpers.start {
        if draft.one_in(4) {
            draft.push(Section::Thread(thread), Op::Exec);
        }
    }
}
