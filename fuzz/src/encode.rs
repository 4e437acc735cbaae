//! Encoding of a test as bytes, for the seeds of a corpus.

use std::collections::BTreeMap;

use ifq_model::test::{Socket, Step, Test, VarId};

use crate::app::{App, Section};
use crate::choices::{Choices, OpBytes};
use crate::decode::{Header, MAX_OPS, SEPARATOR};

/// Bytes that [`crate::decode::FuzzInput::decode`] decodes to a test with the same steps on the newest of its
/// revisions. Names, faults and observed results may differ. `None` if no such bytes exist.
///
/// The encoder finds the bytes of a step by trying all of them, which takes up to a second.
#[must_use]
pub fn encode(test: &Test, schedule: &[u8]) -> Option<Vec<u8>> {
    let header = header(test)?;
    // If threads race, the decoder may accept only one of the two orders.
    [true, false].into_iter().find_map(|reverse| {
        let mut bytes = encode_steps(header, in_order(test, reverse)?)?;
        bytes.push(SEPARATOR);
        bytes.extend(schedule);
        Some(bytes)
    })
}

fn encode_steps(header: Header, steps: Vec<PlacedStep<'_>>) -> Option<Vec<u8>> {
    let mut encoder = Encoder { app: App::new(header.test()), vars: BTreeMap::new() };
    let mut bytes = header.write().to_vec();
    for (section, thread, step) in steps {
        bytes.extend(encoder.encode_step(section, thread, step)?);
    }
    Some(bytes)
}

fn header(test: &Test) -> Option<Header> {
    let number = |n: usize, max: u8| u8::try_from(n).ok().filter(|n| *n <= max);
    let on_queue = |(i, socket): (usize, &Socket)| u8::from(socket.queue.is_some()) << i;
    let header = Header {
        revision: *test.revisions.last()?,
        rings: number(test.rings.len(), 4)?,
        sockets: number(test.sockets.len(), 3)?,
        threads: number(test.threads.len().max(1), 4)?,
        queues: number(test.queues as usize, 3)?,
        faults: 0,
        max_faults: 0,
        on_queue: test.sockets.iter().enumerate().map(on_queue).sum(),
        setup: number(test.setup.len(), 15)?,
        finally: number(test.finally.len(), 7)?,
    };
    let queues = |test: &Test| test.sockets.iter().map(|s| s.queue).collect::<Vec<_>>();
    (queues(&header.test()) == queues(test)).then_some(header)
}

/// A step with its section and thread.
type PlacedStep<'t> = (Section, usize, &'t Step);

/// The steps in an order in which each step uses only results of earlier steps. Visits the threads from
/// the first one on, or in reverse.
fn in_order(test: &Test, reverse: bool) -> Option<Vec<PlacedStep<'_>>> {
    let mut order: Vec<PlacedStep<'_>> =
        test.setup.iter().map(|s| (Section::Setup, 0, s)).collect();
    let mut next = vec![0; test.threads.len()];
    let bound = |order: &[PlacedStep<'_>], var| order.iter().any(|(_, _, s)| s.bind == Some(var));
    let mut threads: Vec<_> = test.threads.iter().enumerate().collect();
    if reverse {
        threads.reverse();
    }
    while let Some((thread, step)) = threads.iter().find_map(|&(t, thread)| {
        let step: &Step = thread.steps.get(next[t])?;
        let mut needs = step.op.uses().chain(step.after.iter().copied());
        needs.all(|var| bound(&order, var)).then_some((t, step))
    }) {
        next[thread] += 1;
        order.push((Section::Threads, thread, step));
    }
    order.extend(test.finally.iter().map(|s| (Section::Finally, 0, s)));
    (order.len() == test.steps().count() && order.len() <= MAX_OPS).then_some(order)
}

struct Encoder {
    app: App,
    /// The application's result for each result of the test.
    vars: BTreeMap<VarId, VarId>,
}

impl Encoder {
    /// Finds bytes that the application decodes to this step, and lets it take the step.
    fn encode_step(&mut self, section: Section, thread: usize, step: &Step) -> Option<OpBytes> {
        let wanted = self.translate(step);
        let kinds = 0..Choices::KINDS as u16;
        let all = (0..1_u16 << 11).flat_map(|rest| kinds.clone().map(move |kind| (rest, kind)));
        for (rest, kind) in all {
            let bytes: OpBytes = [(rest >> 8 << 5 | kind) as u8, rest as u8];
            if bytes[0] == SEPARATOR {
                continue;
            }
            let mut app = self.app.clone();
            let done = app.next(section, bytes).and_then(|()| last(&app.test, section, thread));
            if done.is_some_and(|d| d.op == wanted.op && d.after == wanted.after) {
                self.vars.extend(step.bind.map(|var| (var, self.app.test.vars.len() as VarId)));
                self.app = app;
                return Some(bytes);
            }
        }
        None
    }

    /// The step with its results renamed to the application's results.
    fn translate(&self, step: &Step) -> Step {
        let mut step = step.clone();
        let rename = |var: &mut VarId| *var = self.vars.get(var).copied().unwrap_or(VarId::MAX);
        step.after.iter_mut().for_each(rename);
        step.op.for_each_var(rename);
        step
    }
}

/// The step that was decoded last, if it is the last one of this section or thread.
fn last(test: &Test, section: Section, thread: usize) -> Option<&Step> {
    let newest = (test.vars.len() as VarId).checked_sub(1);
    let list = match section {
        Section::Setup => &test.setup,
        Section::Threads => &test.threads.get(thread)?.steps,
        Section::Finally => &test.finally,
    };
    list.last().filter(|step| step.bind == newest)
}
