//! A test as bytes: seeds for a corpus.

use std::collections::BTreeMap;

use ifq_model::test::{Socket, Step, Test, VarId};

use crate::app::{App, Part};
use crate::decode::{Header, MAX_OPS, SEPARATOR};
use crate::draw::{Draw, Word};

/// Bytes that [`crate::decode::World::decode`] makes into a test with the same steps, on the newest
/// of its revisions, apart from names, faults and what is looked at. `None` if no bytes do.
///
/// The words are found by trying them, which takes up to a second for a step.
#[must_use]
pub fn encode(test: &Test, schedule: &[u8]) -> Option<Vec<u8>> {
    let header = header(test)?;
    // Where threads race, one order may be decoded and the other not.
    [true, false].into_iter().find_map(|reverse| {
        let mut bytes = words(header, in_order(test, reverse)?)?;
        bytes.push(SEPARATOR);
        bytes.extend(schedule);
        Some(bytes)
    })
}

fn words(header: Header, steps: Vec<Placed<'_>>) -> Option<Vec<u8>> {
    let mut encoder = Encoder { app: App::new(header.test()), vars: BTreeMap::new() };
    let mut bytes = header.write().to_vec();
    for (part, thread, step) in steps {
        bytes.extend(encoder.word(part, thread, step)?);
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

type Placed<'t> = (Part, usize, &'t Step);

/// The steps in an order in which no step uses a result that is bound later. Threads are gone
/// through from the first one on, or from the last.
fn in_order(test: &Test, reverse: bool) -> Option<Vec<Placed<'_>>> {
    let mut order: Vec<Placed<'_>> = test.setup.iter().map(|s| (Part::Setup, 0, s)).collect();
    let mut next = vec![0; test.threads.len()];
    let bound = |order: &[Placed<'_>], var| order.iter().any(|(_, _, s)| s.bind == Some(var));
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
        order.push((Part::Threads, thread, step));
    }
    order.extend(test.finally.iter().map(|s| (Part::Finally, 0, s)));
    (order.len() == test.steps().count() && order.len() <= MAX_OPS).then_some(order)
}

struct Encoder {
    app: App,
    /// Results of the test by results of the application.
    vars: BTreeMap<VarId, VarId>,
}

impl Encoder {
    fn word(&mut self, part: Part, thread: usize, step: &Step) -> Option<[u8; 2]> {
        let wanted = self.translate(step);
        let kinds = 0..Draw::KINDS as u16;
        let words = (0..1_u16 << 11).flat_map(|rest| kinds.clone().map(move |kind| (rest, kind)));
        for (rest, kind) in words {
            let word: Word = [(rest >> 8 << 5 | kind) as u8, rest as u8];
            if word[0] == SEPARATOR {
                continue;
            }
            let mut app = self.app.clone();
            let done = app.next(part, word).and_then(|()| last(&app.test, part, thread));
            if done.is_some_and(|d| d.op == wanted.op && d.after == wanted.after) {
                self.vars.extend(step.bind.map(|var| (var, self.app.test.vars.len() as VarId)));
                self.app = app;
                return Some(word);
            }
        }
        None
    }

    /// The step with the application's results.
    fn translate(&self, step: &Step) -> Step {
        let mut step = step.clone();
        let rename = |var: &mut VarId| *var = self.vars.get(var).copied().unwrap_or(VarId::MAX);
        step.after.iter_mut().for_each(rename);
        step.op.for_each_var(rename);
        step
    }
}

/// The step that was decoded last, if it stands there.
fn last(test: &Test, part: Part, thread: usize) -> Option<&Step> {
    let newest = (test.vars.len() as VarId).checked_sub(1);
    let list = match part {
        Part::Setup => &test.setup,
        Part::Threads => &test.threads.get(thread)?.steps,
        Part::Finally => &test.finally,
    };
    list.last().filter(|step| step.bind == newest)
}
