//! One run of a test on the model: set-up, threads, the end, and what must hold then.

use std::rc::Rc;

use crate::conform::check_spec;
use crate::fault::FaultPoint;
use crate::fs::FileOps;
use crate::invariant::Invariant;
use crate::io_uring::ctx::{RingFlags, io_uring_setup};
use crate::io_uring::zcrx::area::area_offset;
use crate::kernel::{Kernel, Task};
use crate::net::netdev::netdev_alloc;
use crate::net::sock::{Sock, sock_alloc, sock_fput};
use crate::outcome::{Outcome, Value};
use crate::platform::{Kind, Label, PlainWord, Platform, Ptr, Rmw, WaitWord};
use crate::revision::Variant;
use crate::test::{Op, RingId, RingSetup, Step, Test, VarId};
use crate::user::app::run_step;
use crate::user::completion::{Receive, Told, check_given_back};
use crate::user::mem::{AreaMem, RqMem};
use crate::work::Work;

/// What a step bound to a name.
#[derive(Debug)]
pub struct Bound<P: Platform> {
    /// 1 when bound; only raised if another thread waits for it.
    gate: P::WaitQueue,
    shared: bool,
    set: P::Plain,
    result: P::Plain,
    /// Of a completion: the buffer's offset plus one; 0: it has none.
    pub off: P::Plain,
    /// Of a completion: the step that made the area its buffer is in, plus one; 0: it has none.
    pub area: P::Plain,
    /// Of a completion: the position in the stream that was found in the buffer.
    pub seq: P::Plain,
    /// Of a completion: the step that submitted its request, plus one; 0: it has no buffer.
    pub request: P::Plain,
    /// Of a completion: 1 when its buffer was given back.
    pub returned: P::Atomic,
}

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
    /// What is run.
    pub test: Rc<Test>,
    /// The kernel.
    pub kernel: Ptr<P, Kernel<P>>,
    /// The connections.
    pub socks: Vec<Ptr<P, Sock<P>>>,
    /// Results, by variable.
    pub vars: Vec<Bound<P>>,
    /// By step, for the `register` and `add-area` steps.
    pub regions: Vec<Option<Region<P>>>,
    /// By step, for the `export` steps: the descriptor's number as the kernel wrote it into the
    /// argument, plus one.
    pub zcrx_fds: Vec<Option<P::Atomic>>,
    /// By step, for the `register` steps that ask for events.
    pub told: Vec<Option<Told<P>>>,
    /// By step, for the `recv` steps.
    pub receives: Vec<Option<Receive<P>>>,
    /// Next byte expected of each connection, if one request at a time reads from it.
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
    /// Makes what [`parts`] says, in that order.
    fn new(test: &Rc<Test>, variant: &Variant) -> Ptr<P, Self> {
        let fds = test.steps().filter(|step| exports(&step.op)).count();
        let netdev = (test.queues > 0).then(|| netdev_alloc(test.queues));
        let kernel = Kernel::alloc(variant, (test.rings.len(), fds), netdev.as_ref());
        for ring in 0..test.rings.len() {
            let (id, number) = (ring as RingId, ring as u32);
            P::op_boundary();
            let ctx = io_uring_setup(&kernel, number, Self::task(test, id), ring_flags(test, id));
            let file = kernel.files.alloc(ring as u32, FileOps::IoUring(ctx));
            kernel.files.install_first(ring, &file);
        }
        let socks =
            (0u32..).zip(&test.sockets).map(|(i, s)| part::<P, _>(|| sock_alloc(i, s.queue)));
        let socks = socks.collect();
        let region =
            |(i, step): (u32, &Step)| part_of::<P, _>(step, has_region, || Self::region(i, step));
        let regions = (0u32..).zip(test.steps()).map(region).collect();
        let zcrx_fd =
            |step: &Step| part_of::<P, _>(step, exports, || Some(P::atomic("zcrx_fd", 0)));
        let bound = |v: usize| part::<P, _>(|| Self::bound(test, v as VarId));
        let receive = |step: &Step| part_of::<P, _>(step, receives, || Receive::new(test, step));
        P::op_boundary();
        let world = Ptr::alloc(Kind::Harness, 1, || ModelRun {
            test: test.clone(),
            kernel: kernel.clone(),
            socks,
            regions,
            told: test.steps().map(Told::new).collect(),
            zcrx_fds: test.steps().map(zcrx_fd).collect(),
            vars: (0..test.vars.len()).map(bound).collect(),
            receives: test.steps().map(receive).collect(),
            rx_pos: test.sockets.iter().map(|_| part::<P, _>(|| P::plain("rx_pos", 0))).collect(),
            counts_syscalls: test.faults.contains(&FaultPoint::PageFaultWaits),
        });
        P::op_boundary();
        world
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
                rq: Some(RqMem::alloc(number, entries)),
            }),
            Op::AddArea { buffers, .. } => {
                Some(Region { area: AreaMem::alloc(number, buffers), rq: None })
            }
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
            gate: P::wait_queue("bound", 0),
            shared,
            set: P::plain("bound", 0),
            result: P::plain("result", 0),
            off: P::plain(Label::plain("result.off").names_buffer(area_offset(1)), 0),
            area: P::plain(Label::step("result.area", 1), 0),
            seq: P::plain("result.seq", 0),
            request: P::plain(Label::step("result.request", 1), 0),
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
            bound.gate.wait_event(1).await;
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

    /// The refill ring of the ifq that a variable goes back to.
    #[must_use]
    pub fn rq_of(&self, ifq: VarId) -> Option<&Ptr<P, RqMem<P>>> {
        let step = self.test.origin(ifq).and_then(|var| self.step_of(var))?;
        self.regions[step].as_ref()?.rq.as_ref()
    }

    /// What a step has bound. Only while nothing else runs.
    #[must_use]
    pub fn seen(&self, var: VarId) -> Value {
        let bound = &self.vars[usize::from(var)];
        if bound.set.get() == 0 {
            return Value::Unbound;
        }
        let kind = self.test.vars[usize::from(var)].kind;
        Value::from_raw(kind, bound.result.get().cast_signed())
    }

    fn outcome(&self) -> Outcome {
        Outcome(self.test.observe.iter().map(|var| self.seen(*var)).collect())
    }

    /// Closes what the test left open, one thing at a time, what was opened last first.
    async fn close_all(&self) {
        let files = &self.kernel.files;
        for fd in files.open().into_iter().rev() {
            let _ = files.close(fd as i64).await;
            self.kernel.work.wait_quiescent().await;
        }
        for sock in &self.socks {
            sock_fput(sock).await;
        }
        self.kernel.work.flush().await;
        self.kernel.page_pools.flush().await;
    }

    /// I3: nothing is left.
    fn check_nothing_left(&self) {
        for kind in
            [Kind::Ctx, Kind::Ifq, Kind::Proxy, Kind::Area, Kind::Req, Kind::PagePool, Kind::Sock]
        {
            let left = P::live(kind);
            if left != 0 {
                leak::<P>(format_args!("{left} {} left when everything is closed", kind.name()));
            }
        }
        if self.kernel.files.live() != 0 {
            leak::<P>(format_args!("a file is left when everything is closed"));
        }
        let pins =
            |r: &Region<P>| r.area.pins.count() + r.rq.as_ref().map_or(0, |rq| rq.pins.count());
        if self.regions.iter().flatten().any(|r| pins(r) != 0) {
            leak::<P>(format_args!("memory is still pinned when everything is closed"));
        }
        if let Some(netdev) = &self.kernel.netdev
            && !netdev.bound().is_empty()
        {
            leak::<P>(format_args!("a device queue is still bound when everything is closed"));
        }
        if self.kernel.netdev.as_ref().is_some_and(|netdev| netdev.held()) {
            leak::<P>(format_args!("the device is still held when everything is closed"));
        }
    }
}

/// What the first thread does in one of its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The kernel.
    Kernel,
    /// The descriptor of a ring or of an export.
    Fd(usize),
    /// A ring and its file.
    Ring(usize),
    /// A connection.
    Socket(usize),
    /// Memory for a `register` or `add-area` step, by its position in [`Test::steps`].
    Region(usize),
    /// What a test knows of a run.
    Run,
    /// The argument of an `export` step.
    ZcrxFd(usize),
    /// What a step binds to a name.
    Var(usize),
    /// What an application knows of a `recv` step.
    Receive(usize),
    /// What it knows of a connection.
    Position(usize),
    /// A step of the set-up.
    Setup(usize),
    /// The test's threads run.
    Threads,
}

/// The operations of a run's first thread, in order, up to the one in which the test's threads run.
///
/// The deterministic engines know what a thread makes by the number of the operation in which it does: so
/// what differs by name only in a test is made in operations that differ by number only.
#[must_use]
pub fn parts(test: &Test) -> Vec<Part> {
    let steps = |wanted: fn(&Op) -> bool| {
        let steps = test.steps().enumerate().filter(move |(_, step)| wanted(&step.op));
        steps.map(|(position, _)| position)
    };
    let mut parts = vec![Part::Kernel];
    parts.extend((0..test.rings.len() + steps(exports).count()).map(Part::Fd));
    parts.extend((0..test.rings.len()).map(Part::Ring));
    parts.extend((0..test.sockets.len()).map(Part::Socket));
    parts.extend(steps(has_region).map(Part::Region));
    parts.push(Part::Run);
    parts.extend(steps(exports).map(Part::ZcrxFd));
    parts.extend((0..test.vars.len()).map(Part::Var));
    parts.extend(steps(receives).map(Part::Receive));
    parts.extend((0..test.sockets.len()).map(Part::Position));
    parts.extend((0..test.setup.len()).map(Part::Setup));
    parts.push(Part::Threads);
    parts
}

fn exports(op: &Op) -> bool {
    matches!(op, Op::Export { .. })
}

fn has_region(op: &Op) -> bool {
    matches!(op, Op::Register { .. } | Op::AddArea { .. })
}

fn receives(op: &Op) -> bool {
    matches!(op, Op::Recv { .. })
}

/// Makes one of [`parts`].
fn part<P: Platform, T>(make: impl FnOnce() -> T) -> T {
    P::op_boundary();
    make()
}

/// Makes one of [`parts`] for a step that is wanted; `None` for others.
fn part_of<P: Platform, T>(
    step: &Step,
    wanted: fn(&Op) -> bool,
    make: impl FnOnce() -> Option<T>,
) -> Option<T> {
    if wanted(&step.op) { part::<P, _>(make) } else { None }
}

/// How a test sets up a ring.
fn ring_flags(test: &Test, ring: RingId) -> RingFlags {
    RingFlags {
        defer_taskrun: !test.is_set_up(ring, RingSetup::NoDefer),
        cqe32: !test.is_set_up(ring, RingSetup::NoCqe32),
        clamp: test.is_set_up(ring, RingSetup::Clamp),
    }
}

/// The number of the ifq that a `register` step makes, see [`crate::io_uring::zcrx::Ifq::number`].
#[must_use]
pub fn ifq_number(test: &Test, step: usize, ring: RingId) -> u32 {
    let same = |s: &&Step| matches!(s.op, Op::Register { ring: other, .. } if other == ring);
    u32::from(ring) + 32 * test.steps().take(step).filter(same).count() as u32
}

fn leak<P: Platform>(what: std::fmt::Arguments<'_>) {
    P::violation(Invariant::I3, what);
}

/// The steps of one thread of the test.
pub async fn run_thread<P: Platform>(world: &ModelRun<P>, index: usize) {
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
    let world = ModelRun::<P>::new(&test, &variant);
    for (i, step) in test.setup.iter().enumerate() {
        run_step(&*world, None, i, step).await;
        P::op_boundary();
    }
    world.kernel.work.wait_quiescent().await;
    for index in 0..test.threads.len() {
        world.kernel.queue_work(Work::TestThread(world.clone(), index));
    }
    world.kernel.threads.flush().await;
    world.kernel.work.wait_quiescent().await;
    P::op_boundary();
    let first = test.steps().count() - test.finally.len();
    for (i, step) in test.finally.iter().enumerate() {
        run_step(&*world, None, first + i, step).await;
        world.kernel.work.wait_quiescent().await;
        P::op_boundary();
    }
    check_spec(&world);
    check_given_back(&world);
    P::op_boundary();
    world.close_all().await;
    world.check_nothing_left();
    world.outcome()
}
