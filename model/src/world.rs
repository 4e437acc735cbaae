//! One run of a test on the model: set-up, threads, the end, and what must hold then.

use std::rc::Rc;

use crate::fs::{FileOps, Files};
use crate::invariant::Invariant;
use crate::io_uring::ctx::io_ring_ctx_alloc;
use crate::kernel::{Kernel, Task, WorkCount};
use crate::net::netdev::netdev_alloc;
use crate::net::sock::{Sock, sock_alloc, sock_fput};
use crate::outcome::{Outcome, Value};
use crate::platform::{Kind, PlainWord, Platform, Ptr, Rmw, WaitWord};
use crate::revision::Variant;
use crate::scenario::{Op, RingId, Step, Test, VarId};
use crate::user::app::{Receive, run_step};
use crate::user::mem::{AreaMem, RqMem};
use crate::work::Work;

/// What a step bound to a name.
#[derive(Debug)]
pub struct Bound<P: Platform> {
    /// 1 when bound; only raised if another thread waits for it.
    gate: P::Gate,
    shared: bool,
    set: P::Plain,
    result: P::Plain,
    /// Of a completion: the buffer's offset plus one; 0: it has none.
    pub off: P::Plain,
    /// Of a completion: the position in the stream that was found in the buffer.
    pub seq: P::Plain,
    /// Of a completion: the step that submitted its request.
    pub request: P::Plain,
    /// Of a completion: 1 when its buffer was given back.
    pub returned: P::Atomic,
}

/// Memory that user space prepared for one `register` step.
#[derive(Debug)]
pub struct Region<P: Platform> {
    /// For packets.
    pub area: Ptr<P, AreaMem<P>>,
    /// For the refill ring.
    pub rq: Ptr<P, RqMem<P>>,
}

/// The state of one run.
pub struct World<P: Platform> {
    /// What is run.
    pub test: Rc<Test>,
    /// The kernel.
    pub kernel: Ptr<P, Kernel<P>>,
    /// The connections.
    pub socks: Vec<Ptr<P, Sock<P>>>,
    /// Results, by variable.
    pub vars: Vec<Bound<P>>,
    /// By step, for the `register` steps.
    pub regions: Vec<Option<Region<P>>>,
    /// By step, for the `recv` steps.
    pub receives: Vec<Option<Receive<P>>>,
    /// Next byte expected of each connection, if one request at a time reads from it.
    pub rx_pos: Vec<P::Plain>,
}

impl<P: Platform> std::fmt::Debug for World<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("test", &self.test.name).finish_non_exhaustive()
    }
}

impl<P: Platform> World<P> {
    fn new(test: &Rc<Test>, variant: &Variant) -> Ptr<P, Self> {
        let exports = test.steps().filter(|s| matches!(s.op, Op::Export { .. })).count();
        let netdev = (test.queues > 0).then(|| netdev_alloc(test.queues));
        let kernel = Ptr::alloc(Kind::World, 0, || Kernel {
            variant: variant.clone(),
            files: Files::new(test.rings.len() + exports),
            netdev: netdev.clone(),
            work: WorkCount::new(),
            page_pools: WorkCount::new(),
        });
        for ring in 0..test.rings.len() {
            let ctx = io_ring_ctx_alloc(&kernel, ring as u32, Self::task(test, ring as RingId));
            let file = kernel.files.alloc(ring as u32, FileOps::IoUring(ctx));
            kernel.files.install_first(ring, &file);
        }
        let socks = (0u32..).zip(&test.sockets).map(|(i, s)| sock_alloc(i, s.queue)).collect();
        let regions = (0u32..).zip(test.steps()).map(|(i, s)| Self::region(i, s)).collect();
        Ptr::alloc(Kind::World, 1, || World {
            test: test.clone(),
            kernel: kernel.clone(),
            socks,
            vars: (0..test.vars.len()).map(|v| Self::bound(test, v as VarId)).collect(),
            regions,
            receives: test.steps().map(|s| Receive::new(test, s)).collect(),
            rx_pos: test.sockets.iter().map(|_| P::plain("rx_pos", 0)).collect(),
        })
    }

    /// The thread that drives a ring.
    #[must_use]
    pub fn task(test: &Test, ring: RingId) -> Task {
        test.driver(ring).map_or(Task::MAIN, |thread| Task(thread as u32))
    }

    fn region(number: u32, step: &Step) -> Option<Region<P>> {
        match step.op {
            Op::Register { buffers, entries, .. } => Some(Region {
                area: AreaMem::alloc(number, buffers),
                rq: RqMem::alloc(number, entries),
            }),
            _ => None,
        }
    }

    fn bound(test: &Test, var: VarId) -> Bound<P> {
        let needs = |s: &Step| s.after.contains(&var) || s.op.uses().any(|v| v == var);
        let binder = test.threads.iter().position(|t| t.steps.iter().any(|s| s.bind == Some(var)));
        let shared = binder.is_some_and(|binder| {
            (0..).zip(&test.threads).any(|(i, t)| i != binder && t.steps.iter().any(needs))
        });
        Bound {
            gate: P::gate("bound", 0),
            shared,
            set: P::plain("bound", 0),
            result: P::plain("result", 0),
            off: P::plain("result.off", 0),
            seq: P::plain("result.seq", 0),
            request: P::plain("result.request", 0),
            returned: P::atomic("result.returned", 0),
        }
    }

    /// Waits until a variable is bound, and returns its result.
    pub async fn value(&self, var: VarId, thread: Option<usize>) -> i64 {
        let bound = &self.vars[usize::from(var)];
        let own = thread.is_none_or(|thread| {
            self.test.threads[thread].steps.iter().any(|s| s.bind == Some(var))
        });
        if bound.shared && !own {
            bound.gate.wait_until(1).await;
        }
        bound.result.get().cast_signed()
    }

    /// Binds a result.
    pub async fn bind(&self, var: VarId, result: i64) {
        let bound = &self.vars[usize::from(var)];
        bound.result.set(result.cast_unsigned());
        bound.set.set(1);
        if bound.shared {
            bound.gate.rmw(Rmw::Add(1)).await;
        }
    }

    /// Position in [`Test::steps`] of the step that binds a variable.
    #[must_use]
    pub fn step_of(&self, var: VarId) -> Option<usize> {
        self.test.steps().position(|s| s.bind == Some(var))
    }

    fn outcome(&self) -> Outcome {
        let value = |var: &VarId| {
            let bound = &self.vars[usize::from(*var)];
            if bound.set.get() == 0 {
                return Value::Unbound;
            }
            let kind = self.test.vars[usize::from(*var)].kind;
            Value::from_raw(kind, bound.result.get().cast_signed())
        };
        Outcome(self.test.observe.iter().map(value).collect())
    }

    /// Closes what the test left open, one thing at a time.
    async fn close_all(&self) {
        let files = &self.kernel.files;
        for fd in files.open() {
            let _ = files.close(fd as i64).await;
            self.kernel.work.flush().await;
        }
        for sock in &self.socks {
            sock_fput(sock).await;
        }
        self.kernel.page_pools.flush().await;
    }

    /// I3: nothing is left.
    fn check_nothing_left(&self) {
        for kind in [Kind::Ctx, Kind::Ifq, Kind::Area, Kind::Req, Kind::PagePool, Kind::Sock] {
            let left = P::live(kind);
            if left != 0 {
                leak::<P>(format_args!("{left} {} left when everything is closed", kind.name()));
            }
        }
        if self.kernel.files.live() != 0 {
            leak::<P>(format_args!("a file is left when everything is closed"));
        }
        if self.regions.iter().flatten().any(|r| r.area.pins.count() + r.rq.pins.count() != 0) {
            leak::<P>(format_args!("memory is still pinned when everything is closed"));
        }
        if let Some(netdev) = &self.kernel.netdev
            && !netdev.bound().is_empty()
        {
            leak::<P>(format_args!("a device queue is still bound when everything is closed"));
        }
    }
}

fn leak<P: Platform>(what: std::fmt::Arguments<'_>) {
    P::violation(Invariant::I3, what);
}

/// The steps of one thread of the test.
pub async fn run_thread<P: Platform>(world: &World<P>, index: usize) {
    let before: usize = world.test.threads[..index].iter().map(|t| t.steps.len()).sum();
    let first = world.test.setup.len() + before;
    for (i, step) in world.test.threads[index].steps.iter().enumerate() {
        run_step(world, Some(index), first + i, step).await;
        P::op_boundary();
    }
}

/// A whole run. The engine calls it once, in the first thread; all else starts from here through
/// [`Platform::queue_work`].
pub async fn run<P: Platform>(test: Rc<Test>, variant: Variant) -> Outcome {
    let world = World::<P>::new(&test, &variant);
    for (i, step) in test.setup.iter().enumerate() {
        run_step(&*world, None, i, step).await;
        P::op_boundary();
    }
    world.kernel.work.flush().await;
    for index in 0..test.threads.len() {
        world.kernel.queue_work(Work::TestThread(world.clone(), index));
    }
    world.kernel.work.flush().await;
    let first = test.steps().count() - test.finally.len();
    for (i, step) in test.finally.iter().enumerate() {
        run_step(&*world, None, first + i, step).await;
        world.kernel.work.flush().await;
        P::op_boundary();
    }
    let outcome = world.outcome();
    P::op_boundary();
    world.close_all().await;
    world.check_nothing_left();
    outcome
}
