//! A world while it is drawn: the test, and what the drawn steps are likely to have done.

use ifq_model::revision::Revision;
use ifq_model::test::limits::{ALL_BUFFERS, ALL_ENTRIES, ALL_STEPS, EXPORTS, STEPS, VARS};
use ifq_model::test::{Expect, Op, RingId, Socket, SocketId, Step, Test, Thread, VarId, VarKind};

use super::feature::Feature;
use super::options::Options;
use crate::executor::rng::Rng;
use crate::generate::numbered;

/// Where a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Setup,
    /// A thread of the test, by its index.
    Thread(usize),
    Finally,
}

/// What an application does with one ring.
#[derive(Clone, Debug, Default)]
pub(super) struct Application {
    /// The thread that drives the ring.
    pub(super) thread: usize,
    /// The ifq that its requests receive into. One for the ring's life, so that each buffer goes back to
    /// the ifq that it came from.
    pub(super) ifq: Option<VarId>,
    /// The queue of that ifq.
    pub(super) queue: Option<u32>,
    /// All ids of the ring.
    pub(super) ids: Vec<VarId>,
    /// Requests, with their connections.
    pub(super) requests: Vec<(VarId, SocketId)>,
    /// Completions that are likely to come.
    pub(super) credit: u32,
    /// Completions whose buffers are returned in batches, or late.
    pub(super) held: Vec<VarId>,
    /// Completions whose buffers are kept.
    pub(super) kept: Vec<VarId>,
    /// Completions whose buffers are returned once more.
    pub(super) again: Vec<VarId>,
    /// The ring has exited.
    pub(super) gone: bool,
    /// The ring registered its ifq with events.
    pub(super) events: bool,
}

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// The ring that receives from it.
    pub(super) reader: Option<RingId>,
    /// The device queue of its packets.
    pub(super) queue: Option<u32>,
    /// The peer has ended the stream.
    pub(super) ended: bool,
}

/// An exported descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exported {
    pub(super) fd: VarId,
    /// The queue of the ifq.
    pub(super) queue: Option<u32>,
}

/// A world while it is drawn.
#[derive(Debug)]
pub(super) struct Draft<'o> {
    pub(super) rng: Rng,
    pub(super) options: &'o Options,
    /// By feature: its weight.
    weights: Vec<u32>,
    pub(super) test: Test,
    pub(super) applications: Vec<Application>,
    pub(super) connections: Vec<Connection>,
    pub(super) exported: Vec<Exported>,
    /// Threads of the applications come first, then those that return buffers of others, those of the
    /// peers, and one that closes things.
    pub(super) helpers: std::ops::Range<usize>,
    pub(super) peers: std::ops::Range<usize>,
    pub(super) closer: usize,
    /// Queues that no drawn registration uses.
    pub(super) free_queues: Vec<u32>,
    buffers: u32,
    entries: u32,
    exports: usize,
    steps: usize,
    /// The last steps with names, as candidates for `after`.
    pub(super) recent: Vec<VarId>,
}

/// Most threads that drive rings.
const APPLICATION_THREADS: usize = 48;

impl<'o> Draft<'o> {
    pub(super) fn new(rng: Rng, options: &'o Options) -> Self {
        let rings = options.rings as usize;
        let drivers = rings.min(APPLICATION_THREADS);
        let helpers = drivers..drivers + if options.weight(Feature::Foreign) > 0 { 2 } else { 0 };
        let peers = helpers.end..helpers.end + 1 + (rings / 8).min(7);
        let closer = peers.end;
        let mut names: Vec<String> = (0..drivers).map(|i| format!("app{i}")).collect();
        names.extend(helpers.clone().map(|i| format!("helper{}", i - helpers.start)));
        names.extend(peers.clone().map(|i| format!("peer{}", i - peers.start)));
        names.push("closer".to_owned());
        let application =
            |ring: usize| Application { thread: ring % drivers, ..Application::default() };
        let variant = &options.variant;
        let expect = Expect {
            defects: variant.defects.clone(),
            without: variant.without.clone(),
            ..Expect::default()
        };
        let test = Test {
            revisions: vec![variant.revision],
            rings: (0..rings).map(|i| format!("R{i}")).collect(),
            queues: options.queues,
            threads: names.into_iter().map(|name| Thread { name, steps: Vec::new() }).collect(),
            faults: options.fault_points(),
            expect: vec![expect],
            ..Test::default()
        };
        let mut draft = Draft {
            rng,
            options,
            weights: Feature::ALL.iter().map(|feature| options.weight(*feature)).collect(),
            test,
            applications: (0..rings).map(application).collect(),
            connections: Vec::new(),
            exported: Vec::new(),
            helpers,
            peers,
            closer,
            free_queues: (0..options.queues).collect(),
            buffers: 0,
            entries: 0,
            exports: 0,
            steps: 0,
            recent: Vec::new(),
        };
        for _ in 0..options.connections {
            let queues = options.queues;
            let on_queue = queues > 0 && draft.below(4) > 0;
            let queue = on_queue.then(|| draft.below(queues));
            draft.connection(queue);
        }
        draft
    }

    /// Adds a connection.
    pub(super) fn connection(&mut self, queue: Option<u32>) -> SocketId {
        let name = format!("s{}", self.connections.len());
        self.test.sockets.push(Socket { name, queue });
        self.connections.push(Connection { reader: None, queue, ended: false });
        (self.connections.len() - 1) as SocketId
    }

    pub(super) fn revision(&self) -> Revision {
        self.options.variant.revision
    }

    pub(super) fn weight(&self, feature: Feature) -> u32 {
        self.weights[feature as usize]
    }

    pub(super) fn has(&self, feature: Feature) -> bool {
        self.weight(feature) > 0
    }

    pub(super) fn below(&mut self, n: u32) -> u32 {
        self.rng.below(u64::from(n.max(1))) as u32
    }

    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// One of several values; `None` if there is none.
    pub(super) fn one_of<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let at = self.below(from.len() as u32) as usize;
        from.get(at).copied()
    }

    /// One of several values by their weights; `None` if all weights are zero.
    pub(super) fn weighted<T: Copy>(&mut self, from: &[(T, u32)]) -> Option<T> {
        let all: u32 = from.iter().map(|(_, weight)| weight).sum();
        let mut at = self.below(all);
        let mut values = from.iter().filter(|(_, weight)| *weight > 0);
        values.find_map(|(value, weight)| match at.checked_sub(*weight) {
            Some(rest) => {
                at = rest;
                None
            }
            None => Some(*value),
        })
    }

    fn section(&mut self, section: Section) -> &mut Vec<Step> {
        match section {
            Section::Setup => &mut self.test.setup,
            Section::Thread(thread) => &mut self.test.threads[thread].steps,
            Section::Finally => &mut self.test.finally,
        }
    }

    /// Whether the limits of a test allow one more step with this operation. Some room is left for the
    /// end of the world.
    fn has_room(&mut self, section: Section, op: &Op) -> bool {
        const ROOM: usize = 600;
        let room = if section == Section::Finally { 0 } else { ROOM };
        let (buffers, entries) = match *op {
            Op::Register { buffers, entries, .. } => (buffers, entries),
            Op::AddArea { buffers, .. } => (buffers, 0),
            _ => (0, 0),
        };
        let export = matches!(op, Op::Export { .. });
        let fits = self.steps + room < ALL_STEPS
            && self.section(section).len() < STEPS
            && self.test.vars.len() + room < VARS
            && self.buffers + buffers < ALL_BUFFERS
            && self.entries + entries < ALL_ENTRIES
            && !(export && self.exports == EXPORTS);
        if fits {
            self.steps += 1;
            self.buffers += buffers;
            self.entries += entries;
            self.exports += usize::from(export);
        }
        fits
    }

    /// Appends a step; `None` if the limits of a test do not allow it. The result has a name if other steps
    /// can use it.
    pub(super) fn push(&mut self, section: Section, op: Op) -> Option<Option<VarId>> {
        let named = op.yields() != VarKind::Status || matches!(op, Op::Recv { .. });
        self.push_step(section, op, named, Vec::new())
    }

    /// As [`Draft::push`], and binds the result, waits for `after`.
    pub(super) fn push_step(
        &mut self,
        section: Section,
        op: Op,
        named: bool,
        after: Vec<VarId>,
    ) -> Option<Option<VarId>> {
        if !self.has_room(section, &op) {
            return None;
        }
        let number = self.test.vars.len();
        let bind = named.then_some(number as VarId);
        if named {
            self.test.vars.push(numbered(op.yields(), number));
        }
        if let (Some(var), Section::Thread(_)) = (bind, section) {
            self.recent.push(var);
        }
        self.section(section).push(Step { op, bind, after });
        Some(bind)
    }

    /// Appends a step and returns the name of its result.
    pub(super) fn named(&mut self, section: Section, op: Op) -> Option<VarId> {
        self.push_step(section, op, true, Vec::new()).flatten()
    }

    /// The rings that have not exited.
    pub(super) fn open(&self) -> Vec<RingId> {
        let rings = (0..).zip(&self.applications);
        rings.filter(|(_, application)| !application.gone).map(|(ring, _)| ring).collect()
    }

    /// The section of the thread that drives a ring.
    pub(super) fn driver(&self, ring: RingId) -> Section {
        Section::Thread(self.applications[usize::from(ring)].thread)
    }

    pub(super) fn application(&mut self, ring: RingId) -> &mut Application {
        &mut self.applications[usize::from(ring)]
    }

    /// Removes threads without steps, and numbers the results.
    pub(super) fn finish(mut self) -> Test {
        self.test.threads.retain(|thread| !thread.steps.is_empty());
        crate::format::renumber(&mut self.test);
        self.test
    }
}
