//! The faults that are injected into a live kernel: which one a repetition has.
//!
//! Each makes a call of the kernel fail that a fault point of the test names, and nothing else.

use ifq_model::fault::FaultPoint;
use ifq_model::test::arg_modifier::ArgModifier;
use ifq_model::test::schedule::{Schedule, ThreadName};
use ifq_model::test::{Op, Source, Step, Test};

use super::rng::Rng;
use crate::abi::syscall::fail_nth::FailAt;

/// A fault, and the step at which it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Injection<'t> {
    step: &'t Step,
    pub(super) how: How,
}

/// How the kernel gets a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The page with the argument cannot be written: `copy-to-user`.
    ReadOnlyArgument,
    /// The process may have no more descriptors: `get-unused-fd`.
    NoDescriptor,
    /// The system may have no more files: `anon-inode`.
    NoFile,
    /// The user may lock no more memory: `region-create` of a registration, `area-import` of another area.
    NoLockedMemory,
    /// The NIC has no memory for a queue, from this step on: `pp-init` and `mp-open-rxq` while a memory provider
    /// is bound, otherwise `rxq-restart`. `None`: any queue of the test.
    Nic { queue: Option<u32>, bound: bool },
    /// A place of the call at which the kernel can inject a failure.
    Nth(FailAt),
}

impl<'t> Injection<'t> {
    /// At a step.
    pub(super) fn at(step: &'t Step, how: How) -> Self {
        Injection { step, how }
    }
}

impl Injection<'_> {
    /// Whether it happens at this step.
    pub(super) fn is_at(&self, step: &Step) -> bool {
        std::ptr::eq(self.step, step)
    }

    /// Whether it is over when the step has ended. A ring and a descriptor close their queue later.
    pub(super) fn ends_with_step(&self) -> bool {
        !matches!(self.step.op, Op::Exit { .. } | Op::Close { .. })
    }
}

/// What of the machine can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Means {
    /// It has a NIC whose allocations fail if a test wants it.
    pub(super) nic: bool,
    /// It is a guest, whose settings are nobody else's.
    pub(super) guest: bool,
    /// The number of open files of the system can be limited (`CONFIG_SYSCTL`).
    pub(super) files: bool,
}

/// The fault of a repetition. The repetitions cycle through all steps and faults of the test that can be injected,
/// and none.
pub(super) fn choose(test: &Test, means: Means, seed: u64, at: u32) -> Option<Injection<'_>> {
    let mut choices: Vec<Option<Injection<'_>>> = all(test, means).map(Some).collect();
    choices.push(None);
    let first = Rng::new(seed, u64::MAX - 1).below(choices.len() as u64) as usize;
    choices[(first + at as usize) % choices.len()]
}

/// The fault that a line of the test's schedule names (`failing POINT`).
///
/// # Errors
///
/// A message for the user: this machine cannot inject it, or which call fails is not known.
pub(super) fn of_schedule(test: &Test, means: Means) -> Result<Option<Injection<'_>>, String> {
    let lines = test.schedule.as_ref().and_then(Schedule::switches).unwrap_or_default();
    let failing = lines.iter().flat_map(|line| line.failing.iter().map(|it| (line.thread, *it)));
    let (thread, fault) = match &*failing.collect::<Vec<_>>() {
        [] => return Ok(None),
        [one] => *one,
        _ => return Err("only one fault can be injected under a schedule".to_owned()),
    };
    let point = fault.point.name();
    let mut found = all(test, means).filter(|it| is_of(test, thread, it.step));
    match (found.next(), found.next()) {
        (Some(one), None) if fault.occurrence <= 1 => Ok(Some(one)),
        (None, _) => Err(format!("no call of this thread can be made to fail at {point} here")),
        _ => Err(format!("which call fails at {point} is not known")),
    }
}

/// Whether a thread executes a step, or does the work that it leaves behind.
fn is_of(test: &Test, thread: ThreadName, step: &Step) -> bool {
    let has = |steps: &[Step]| steps.iter().any(|own| std::ptr::eq(own, step));
    match (thread, &step.op) {
        (ThreadName::Exit(of), Op::Exit { ring }) => of == *ring,
        (_, Op::Exit { .. }) => false,
        (ThreadName::Test(at), _) => test.threads.get(at).is_some_and(|own| has(&own.steps)),
        (ThreadName::Main, _) => has(&test.setup) || has(&test.finally),
        _ => false,
    }
}

fn all(test: &Test, means: Means) -> impl Iterator<Item = Injection<'_>> {
    let injections = test
        .steps()
        .flat_map(|step| ways(test, step).into_iter().map(move |how| Injection { step, how }));
    injections.filter(move |injection| match injection.how {
        How::ReadOnlyArgument | How::NoDescriptor => true,
        // Only a sweep has them.
        How::Nth(_) => false,
        How::NoFile => means.guest && means.files,
        How::NoLockedMemory => means.guest,
        How::Nic { .. } => means.nic,
    })
}

/// The operations of the threads that run at the same time as a step. Nothing runs beside the set-up and the end.
fn others<'t>(test: &'t Test, step: &'t Step) -> impl Iterator<Item = &'t Op> {
    let has = |steps: &[Step]| steps.iter().any(|own| std::ptr::eq(own, step));
    let races = test.threads.iter().any(|thread| has(&thread.steps));
    let others = test.threads.iter().filter(move |thread| races && !has(&thread.steps));
    others.flat_map(|thread| &thread.steps).map(|step| &step.op)
}

/// How a step may fail.
fn ways(test: &Test, step: &Step) -> Vec<How> {
    let may = |point| test.max_faults > 0 && test.faults.contains(&point);
    let unreadable = [ArgModifier::ArgFault, ArgModifier::AreaFault];
    let writes = !unreadable.iter().any(|modifier| step.op.modifiers().has(*modifier))
        && may(FaultPoint::CopyToUser);
    // The NIC does not know whether it allocates for the first provider of a queue or for a restart.
    let restarts = || test.steps().any(|step| step.op.acts_on_netdev());
    let opens = may(FaultPoint::PpInit) || may(FaultPoint::MpOpenRxq) && !restarts();
    let nic = |queue, bound| How::Nic { queue, bound };
    // A limit holds for the whole process: what another thread does at the same time would fail, too.
    let may_alone = |point, uses| may(point) && !others(test, step).any(uses);
    let opens_file: fn(&Op) -> bool = |op| matches!(op, Op::Export { .. });
    let locks_memory: fn(&Op) -> bool =
        |op| matches!(op, Op::Register { .. } | Op::AddArea { .. } | Op::Import { .. });
    let mut ways = Vec::new();
    let mut add = |when: bool, how: How| {
        if when {
            ways.push(how);
        }
    };
    match step.op {
        Op::Register { source, .. } => {
            add(writes, How::ReadOnlyArgument);
            add(may_alone(FaultPoint::RegionCreate, locks_memory), How::NoLockedMemory);
            if let Source::Queue(queue) = source {
                add(opens, nic(Some(queue), true));
            }
        }
        Op::Import { .. } | Op::Clone { .. } => add(writes, How::ReadOnlyArgument),
        Op::AddArea { .. } => {
            add(writes, How::ReadOnlyArgument);
            add(may_alone(FaultPoint::AreaImport, locks_memory), How::NoLockedMemory);
        }
        Op::Export { .. } => {
            add(writes, How::ReadOnlyArgument);
            add(may_alone(FaultPoint::GetUnusedFd, opens_file), How::NoDescriptor);
            add(may_alone(FaultPoint::AnonInode, opens_file), How::NoFile);
        }
        Op::NetdevUp => add(may(FaultPoint::PpInit), nic(None, true)),
        Op::RestartQueue { queue } => {
            add(may(FaultPoint::PpInit), nic(Some(queue), true));
            add(may(FaultPoint::RxqRestart), nic(Some(queue), false));
        }
        Op::Exit { .. } | Op::Close { .. } if may(FaultPoint::RxqRestart) => {
            (0..test.queues).for_each(|queue| add(true, nic(Some(queue), false)));
        }
        _ => {}
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: Means = Means { nic: true, guest: true, files: true };

    fn test(fault: &str) -> Test {
        let text = format!(
            "test t\nrevision import-7.3\nring A B\nqueues 2\nsetup\n \
             ifq = A: register queue=1 buffers=1 entries=1\n box = A: export ifq\n imp = B: import box\n\
             thread a\n x = A: add-area ifq buffers=1\n A: exit\n\
             thread n\n netdev-down\n netdev-up\n restart-queue 1\n{fault}\nexpect holds"
        );
        ifq_sim::format::parse("t.ifq", &text).unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn names(test: &Test, means: Means, seed: u64) -> Vec<String> {
        let name = |it: Injection<'_>| format!("{} {:?}", it.step.op.verb(), it.how);
        let mut all: Vec<String> =
            (0..12).map(|at| choose(test, means, seed, at).map_or("none".into(), name)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    #[test]
    fn the_repetitions_cycle_through_the_steps_that_a_fault_of_the_test_can_hit_and_none() {
        for (fault, expected) in [
            ("copy-to-user", &["add-area", "export", "import", "register"][..]),
            ("region-create area-import", &["add-area", "register"]),
            ("get-unused-fd anon-inode", &["export", "export"]),
            ("pp-init", &["netdev-up", "register", "restart-queue"]),
            ("rxq-restart", &["exit", "exit", "restart-queue"]),
            // After a restart of the queue the NIC cannot tell.
            ("mp-open-rxq xa-alloc ifq-alloc", &[]),
        ] {
            let test = test(&format!("fault {fault}"));
            for seed in 0..5 {
                let all = names(&test, GUEST, seed);
                let verbs: Vec<&str> =
                    all.iter().map(|name| name.split(' ').next().unwrap()).collect();
                let (mut faults, none) = (expected.to_vec(), verbs.contains(&"none"));
                faults.push("none");
                faults.sort_unstable();
                assert!(none && verbs == faults, "{fault}: {all:?}");
            }
        }
        assert_eq!(names(&test(""), GUEST, 1), ["none"]);
    }

    #[test]
    fn a_limit_of_the_process_is_not_changed_while_another_thread_needs_what_it_limits() {
        let racing = |second: &str| {
            let text = format!(
                "test t\nrevision import-7.3\nring A\nsetup\n \
                 ifq = A: register nodev buffers=1 entries=1\nthread a\n x = A: export ifq\n\
                 thread b\n {second}\n\
                 fault get-unused-fd anon-inode area-import\nexpect holds"
            );
            let test = ifq_sim::format::parse("t.ifq", &text).unwrap();
            let mut all = names(&test, GUEST, 1);
            all.retain(|name| name != "none");
            all
        };
        assert_eq!(racing("y = A: export ifq"), Vec::<String>::new());
        let other = racing("y = A: add-area ifq buffers=1");
        assert_eq!(other, ["add-area NoLockedMemory", "export NoDescriptor", "export NoFile"]);
    }

    #[test]
    fn settings_of_a_machine_change_in_a_guest_only_and_a_rig_has_no_faults_of_its_nic() {
        let faulty = test("fault copy-to-user region-create anon-inode pp-init rxq-restart");
        let rig = names(&faulty, Means { nic: false, guest: false, files: true }, 1);
        assert_eq!(rig.len(), 5, "{rig:?}");
        let read_only = |name: &&String| name.ends_with("ReadOnlyArgument");
        assert_eq!(rig.iter().filter(read_only).count(), 4, "{rig:?}");
    }

    #[test]
    fn the_fault_of_a_schedule_is_at_the_only_step_of_its_thread_that_can_have_it() {
        let of = |steps: &str, faults: &str, lines: &str| {
            let text = format!(
                "test t\nrevision import-7.3\nring A B\nqueues 1\nsetup\n \
                 ifq = A: register queue=0 buffers=1 entries=1\nthread a\n {steps}\n\
                 thread b\n y = B: exit\nfault {faults}\nexpect holds\nschedule\n{lines}"
            );
            let test = ifq_sim::format::parse("t.ifq", &text).unwrap_or_else(|e| panic!("{e:?}"));
            let found = of_schedule(&test, GUEST)?;
            Ok::<_, String>(found.map(|it| format!("{} {:?}", it.step.op.verb(), it.how)))
        };
        let export = "box = A: export ifq";
        let files = " a until done failing anon-inode\n b until done";
        assert_eq!(of(export, "anon-inode", files), Ok(Some("export NoFile".into())));
        assert_eq!(of(export, "anon-inode", " b until done"), Ok(None));
        let restart = " a until done\n exit(A) until done failing rxq-restart";
        let nic = "exit Nic { queue: Some(0), bound: false }";
        assert_eq!(of("x = A: exit", "rxq-restart", restart), Ok(Some(nic.into())));
        let twice = of("box = A: export ifq\n two = A: export ifq", "anon-inode", files);
        assert!(twice.unwrap_err().contains("not known"));
        let other = of(export, "xa-alloc", " a until done failing xa-alloc");
        assert!(other.unwrap_err().contains("no call of this thread"));
        let both = " a until done failing anon-inode\n b until done failing rxq-restart";
        assert!(of(export, "anon-inode rxq-restart", both).unwrap_err().contains("only one"));
    }

    #[test]
    fn only_the_queue_that_a_ring_or_a_descriptor_closes_is_restarted_later() {
        for (fault, later) in [("pp-init", 0), ("rxq-restart", 2)] {
            let test = test(&format!("fault {fault}"));
            let later_ones = all(&test, GUEST).filter(|it| !it.ends_with_step()).count();
            assert_eq!(later_ones, later, "{fault}");
        }
    }
}
