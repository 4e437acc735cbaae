//! The state of one run of a test on the model.

pub mod binding;
pub mod buffer;
pub mod parts;
pub mod requests;

use std::rc::Rc;

pub use self::binding::Binding;
pub use self::requests::{EventCounts, Receive};
use crate::fault::FaultPoint;
use crate::io_uring::ctx::{RingFlags, io_uring_fops, io_uring_setup};
use crate::io_uring::zcrx::notif::notif_number;
use crate::kernel::{Kernel, Task, WorkCounter};
use crate::mm::{AreaMem, Records, RqMem};
use crate::net::netdev::netdev_alloc;
use crate::net::tcp::{Sock, sock_alloc};
use crate::outcome::{Outcome, Value};
use crate::platform::{Kind, Platform, Ptr};
use crate::revision::{ExtraState, Variant};
use crate::run_state::parts::{exports, has_region, part, part_of, receives};
use crate::test::capacities::capacities;
use crate::test::index::TestIndex;
use crate::test::limits::RINGS;
use crate::test::{Op, RingId, RingSetup, Step, Test, VarId};
use crate::trace::Tracer;

/// Memory that user space prepared for one `register` or `add-area` step.
#[derive(Debug)]
pub struct Region<P: Platform> {
    /// For packets.
    pub area: Ptr<P, AreaMem<P>>,
    /// For the refill ring.
    pub rq: Option<Ptr<P, RqMem<P>>>,
}

/// The state of one run.
pub struct ModelRun<P: Platform> {
    /// The test.
    pub test: Rc<Test>,
    /// What follows from the text of the test.
    pub index: Rc<TestIndex>,
    /// The kernel.
    pub kernel: Ptr<P, Kernel<P>>,
    /// Counts the threads of the test that have not ended.
    pub threads: WorkCounter<P>,
    /// The connections.
    pub socks: Vec<Ptr<P, Sock<P>>>,
    /// Results, by variable.
    pub vars: Vec<Binding<P>>,
    /// By step: the memory of the `register` and `add-area` steps.
    pub regions: Vec<Option<Region<P>>>,
    /// By step: the argument of the `export` steps. The kernel writes the descriptor's number plus one.
    pub zcrx_fds: Vec<Option<P::Atomic>>,
    /// By step: the events of the `register` steps that ask for them.
    pub events: Vec<Option<EventCounts<P>>>,
    /// By step: the requests of the `recv` steps.
    pub receives: Vec<Option<Receive<P>>>,
    /// By connection: the position of the next byte, if one request reads from it.
    pub rx_pos: Vec<P::Plain>,
    /// Whether system calls are counted, because a page fault may wait for user space.
    pub counts_syscalls: bool,
}

impl<P: Platform> std::fmt::Debug for ModelRun<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelRun").field("test", &self.test.name).finish_non_exhaustive()
    }
}

impl<P: Platform> ModelRun<P> {
    /// Makes what [`parts::parts`] says, in that order.
    #[must_use]
    pub fn new(test: &Rc<Test>, variant: &Variant, tracer: Rc<dyn Tracer<P>>) -> Ptr<P, Self> {
        let index = Rc::new(TestIndex::new(test));
        let records = Records {
            owners: variant.needs(ExtraState::BufferOwners),
            unreturned: index.returns_twice(),
        };
        let netdev = (test.queues > 0).then(|| netdev_alloc(test.queues));
        let kernel = Kernel::alloc(variant, capacities(test, &index), netdev.as_ref(), tracer);
        for ring in 0..test.rings.len() {
            let (id, number) = (ring as RingId, ring as u32);
            P::op_boundary();
            let ctx =
                io_uring_setup(&kernel, number, Self::task_in(&index, id), ring_flags(test, id));
            let file = kernel.files.alloc(number, io_uring_fops::<P>(), &ctx);
            kernel.files.install_first(ring, &file);
        }
        let socks = (0u32..).zip(&test.sockets).zip(&kernel.capacities.socks);
        let socks = socks.map(|((i, s), c)| part::<P, _>(|| sock_alloc(i, s.queue, *c))).collect();
        let region = |(i, step): (u32, &Step)| {
            part_of::<P, _>(step, has_region, || Self::region(i, step, records))
        };
        let regions = (0u32..).zip(test.steps()).map(region).collect();
        let zcrx_fd =
            |step: &Step| part_of::<P, _>(step, exports, || Some(P::atomic("zcrx_fd", 0)));
        let binding = |v: usize| part::<P, _>(|| Binding::new(index.is_shared(v as VarId)));
        let receive = |step: &Step| part_of::<P, _>(step, receives, || Receive::new(&index, step));
        P::op_boundary();
        let run = Ptr::alloc(Kind::Harness, 1, || ModelRun {
            test: test.clone(),
            index: index.clone(),
            kernel: kernel.clone(),
            threads: WorkCounter::new(),
            socks,
            regions,
            events: test.steps().map(EventCounts::new).collect(),
            zcrx_fds: test.steps().map(zcrx_fd).collect(),
            vars: (0..test.vars.len()).map(binding).collect(),
            receives: test.steps().map(receive).collect(),
            rx_pos: test.sockets.iter().map(|_| part::<P, _>(|| P::plain("rx_pos", 0))).collect(),
            counts_syscalls: test.faults.contains(&FaultPoint::PageFaultWaits),
        });
        P::op_boundary();
        run
    }

    /// The task that sets up a ring.
    #[must_use]
    pub fn task(&self, ring: RingId) -> Task {
        Self::task_in(&self.index, ring)
    }

    fn task_in(index: &TestIndex, ring: RingId) -> Task {
        index.driver(ring).map_or(Task::MAIN, |thread| Task(thread as u32))
    }

    fn region(number: u32, step: &Step, records: Records) -> Option<Region<P>> {
        match step.op {
            Op::Register { buffers, entries, .. } => Some(Region {
                area: AreaMem::alloc_with(number, buffers, records),
                rq: Some(RqMem::alloc(number, entries)),
            }),
            Op::AddArea { buffers, .. } => {
                Some(Region { area: AreaMem::alloc_with(number, buffers, records), rq: None })
            }
            _ => None,
        }
    }

    /// Waits until a variable is bound, and returns its result.
    pub async fn value(&self, var: VarId, thread: Option<usize>) -> i64 {
        let own = thread.is_none_or(|thread| self.index.binding_thread(var) == Some(thread));
        self.vars[usize::from(var)].wait(own).await
    }

    /// The refill ring of the ifq that a variable goes back to.
    #[must_use]
    pub fn rq_of(&self, ifq: VarId) -> Option<&Ptr<P, RqMem<P>>> {
        let step = self.index.registration(ifq)?;
        self.regions[step].as_ref()?.rq.as_ref()
    }

    /// The events that a completion of a ring may belong to, by its `user_data`.
    #[must_use]
    pub fn events_of(&self, ring: Option<RingId>, user_data: u64) -> Option<&EventCounts<P>> {
        let number = notif_number(user_data)?;
        if ring.map(u32::from) != Some(number % RINGS as u32) {
            return None;
        }
        self.events[self.index.registration_of(number)?].as_ref()
    }

    /// The result of a variable. Only while nothing else runs.
    #[must_use]
    pub fn seen(&self, var: VarId) -> Value {
        let kind = self.test.vars[usize::from(var)].kind;
        self.vars[usize::from(var)]
            .result()
            .map_or(Value::Unbound, |result| Value::from_raw(kind, result))
    }

    /// The observed results. Only while nothing else runs.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome(self.test.observe.iter().map(|var| self.seen(*var)).collect())
    }
}

/// How a test sets up a ring.
fn ring_flags(test: &Test, ring: RingId) -> RingFlags {
    RingFlags {
        defer_taskrun: !test.is_set_up(ring, RingSetup::NoDefer),
        cqe32: !test.is_set_up(ring, RingSetup::NoCqe32)
            && !test.is_set_up(ring, RingSetup::CqeMixed),
        cqe_mixed: test.is_set_up(ring, RingSetup::CqeMixed),
        clamp: test.is_set_up(ring, RingSetup::Clamp),
        disabled: test.is_set_up(ring, RingSetup::Disabled),
    }
}
