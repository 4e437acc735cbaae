//! Which tests can run on a live kernel.

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::revision::{Revision, Variant};
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::{Expect, Op, RingSetup, Source, Step, Test};

use crate::kernels::series::is_released;

/// What a machine has beside its kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Equipment {
    /// Receive queues of a NIC with memory providers; 0: there is none.
    pub queues: u32,
    /// The far end is TCP of another interface or host, with segments of up to so many bytes: no test decides when
    /// a packet arrives. `None`: the packets are written one by one.
    pub segment: Option<u32>,
    /// The revision that its kernel was built as, if it was (`ifq kernel build --revision`).
    pub built_as: Option<Revision>,
}

/// Why a test cannot run on any live kernel of a machine. `None`: it can.
///
/// Faults do not matter: a fault *may* happen, and those that can be are injected.
#[must_use]
pub fn unsupported(test: &Test, equipment: Equipment) -> Option<String> {
    let runs =
        |revision: &Revision| is_released(*revision) || equipment.built_as == Some(*revision);
    if !test.revisions.iter().any(runs) {
        return Some("none of its revisions is a released kernel".into());
    }
    let queues = equipment.queues;
    if queues == 0 && test.sockets.iter().any(|socket| socket.queue.is_some()) {
        return Some("it needs a network device for its packets, and there is none here".into());
    }
    if queues > 0 && test.queues > queues {
        let wanted = test.queues;
        return Some(format!("it needs {wanted} receive queues, and the NIC here has {queues}"));
    }
    let closes = |step: &Step| match step.op {
        Op::CloseSocket { socket } => test.sockets[usize::from(socket)].queue.is_some(),
        _ => false,
    };
    if equipment.segment.is_some() && test.steps().any(closes) {
        return Some(
            "it closes the near end of a connection, and on a hardware rig the reset arrives later"
                .into(),
        );
    }
    test.steps().find_map(|step| unsupported_op(&step.op, equipment))
}

/// Why a ring cannot be set up in this way. `None`: it can.
#[must_use]
pub fn unsupported_setup(setup: RingSetup) -> Option<String> {
    match setup {
        RingSetup::NoDefer
        | RingSetup::NoCqe32
        | RingSetup::Clamp
        | RingSetup::CqeMixed
        | RingSetup::Disabled => None,
    }
}

/// Why an operation cannot be executed. `None`: it can.
#[must_use]
pub fn unsupported_op(op: &Op, equipment: Equipment) -> Option<String> {
    let no_device = equipment.queues == 0;
    if let Some(reason) = equipment.segment.and_then(|bytes| beyond_tcp(op, bytes)) {
        return Some(reason);
    }
    match op {
        Op::Register { source: Source::Queue(_), modifiers, .. }
            if no_device && !without_device(*modifiers) =>
        {
            Some("it needs a network device's receive queue, and there is none here".into())
        }
        op if no_device && op.acts_on_netdev() => {
            Some("it needs a network device, and there is none here".into())
        }
        Op::Send { layout, .. } if no_device && !layout.is_pages() => Some(
            "it needs a device that puts a packet into several buffers, or packets into one".into(),
        ),
        Op::Clone { .. } if !equipment.built_as.is_some_and(Revision::has_clone) => {
            Some("`clone` is in no released kernel".into())
        }
        Op::Die => {
            Some("`die` would end the process that runs the test and reports its results".into())
        }
        _ => None,
    }
}

/// Why an operation cannot be executed where the far end is TCP, with segments of so many bytes.
fn beyond_tcp(op: &Op, segment: u32) -> Option<String> {
    match op {
        Op::Send { layout, .. } if !layout.is_pages() => Some(
            "it decides how packets lie in buffers, which no far end on a hardware rig can".into(),
        ),
        Op::Send { len, .. } if *len > segment => Some(format!(
            "it sends {len} bytes in a packet for each page, and a packet on this rig has {segment} at most"
        )),
        op if op.acts_on_netdev() => {
            Some("it takes an interface down, unregisters it or restarts a queue, which no test does on a hardware rig".into())
        }
        _ => None,
    }
}

/// The invariant that a variant is expected to violate in a test. Of several expectations that apply, the one
/// for the variant with the most fixes counts.
#[must_use]
pub fn expected_violation(test: &Test, variant: &Variant) -> Option<Invariant> {
    let fits = |e: &&Expect| {
        let named = e.revisions.is_empty() || e.revisions.contains(&variant.revision);
        named && e.defects.is_empty() && e.without.iter().all(|d| variant.without.contains(d))
    };
    let expected = test.expect.iter().filter(fits);
    let closest = expected.max_by_key(|e| (e.without.len(), !e.revisions.is_empty()))?;
    closest.violates
}

/// The invariant that a variant is expected to violate in a test, so that a kernel with the same code may crash
/// (memory safety), or, with a proposal's clone, may hang or leave something behind.
#[must_use]
pub fn may_crash(test: &Test, variant: &Variant) -> Option<Invariant> {
    let clones = || test.steps().any(|step| matches!(step.op, Op::Clone { .. }));
    expected_violation(test, variant)
        .filter(|invariant| breaks_memory(*invariant) || leaves_something(*invariant) && clones())
}

/// Whether it is one of memory safety: a violation is an error in the kernel log.
#[must_use]
pub fn breaks_memory(invariant: Invariant) -> bool {
    matches!(invariant, Invariant::I1 | Invariant::I2)
}

/// Whether a violation is that something never ends or is left behind.
fn leaves_something(invariant: Invariant) -> bool {
    matches!(invariant, Invariant::I3 | Invariant::I4 | Invariant::I5 | Invariant::I6)
}

/// Whether a test may crash a kernel of one of its revisions.
#[must_use]
pub fn crashes_somewhere(test: &Test) -> bool {
    test.revisions.iter().any(|revision| may_crash(test, &Variant::of(*revision)).is_some())
}

/// Whether a test allows delayed page faults.
#[must_use]
pub fn delays_page_faults(test: &Test) -> bool {
    test.max_faults > 0 && test.faults.contains(&FaultPoint::PageFaultWaits)
}

/// Whether a registration of a device queue fails before it needs the device.
fn without_device(modifiers: ArgModifiers) -> bool {
    modifiers.has(ArgModifier::NoDevice) || modifiers.has(ArgModifier::NodevIdx)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(header: &str, steps: &str) -> Option<String> {
        let text = format!(
            "test t\n{header}\nexpect holds\nsetup\n ifq = A: register nodev buffers=1 entries=1\n{steps}"
        );
        let test = ifq_sim::format::parse("t.ifq", &text).expect("a test");
        unsupported(&test, Equipment::default())
    }

    #[test]
    fn a_test_of_a_device_runs_where_a_nic_has_as_many_queues() {
        let text = "test t\nrevision import-7.3\nring A\nsocket s@1\nqueues 2\nexpect holds\nsetup\n                     ifq = A: register queue=1 buffers=1 entries=1\n unregister-netdev\n";
        let test = ifq_sim::format::parse("t.ifq", text).expect("a test");
        let why = |queues| unsupported(&test, Equipment { queues, ..Equipment::default() });
        assert!(why(0).is_some_and(|why| why.contains("network device")));
        assert!(why(1).is_some_and(|why| why.contains("needs 2 receive queues")));
        assert_eq!(why(2), None);
    }

    #[test]
    fn a_test_may_crash_a_kernel_whose_variant_breaks_memory_safety() {
        use ifq_model::revision::{Defect, Revision};
        let text = "test t\nrevision import-7.2 import-7.3\nring A\nsetup\n A: exit\n\
                    expect violates I1\nexpect holds without disabled-ring-wake\n\
                    expect violates I4 on import-7.2\n";
        let test = ifq_sim::format::parse("t.ifq", text).expect("a test");
        let newest = Variant::of(Revision::Import73);
        assert_eq!(may_crash(&test, &newest), Some(Invariant::I1));
        assert_eq!(
            may_crash(&test, &newest.clone().without(&[Defect::AddAreaLock])),
            Some(Invariant::I1)
        );
        assert_eq!(may_crash(&test, &newest.without(&[Defect::DisabledRingWake])), None);
        assert_eq!(may_crash(&test, &Variant::of(Revision::Import72)), None, "it only hangs");
    }

    #[test]
    fn a_test_of_a_proposals_clone_may_also_leave_something_behind() {
        use ifq_model::revision::Revision;
        let test = |step: &str| {
            let text = format!(
                "test t\nrevision proxy-v1\nring A B\nsetup\n \
                 ifq = A: register nodev buffers=1 entries=1\n {step}\nexpect violates I3\n"
            );
            ifq_sim::format::parse("t.ifq", &text).expect("a test")
        };
        let variant = Variant::of(Revision::ProxyV1);
        assert_eq!(may_crash(&test("p = B: clone A ifq"), &variant), Some(Invariant::I3));
        assert_eq!(may_crash(&test("f = A: mmap ifq"), &variant), None);
    }

    #[test]
    fn only_tests_that_need_a_device_or_the_proposal_are_not_run() {
        let head = "revision proxy-v1 import-7.3\nring A B\nring C with no-defer";
        for step in [
            "A: flush ifq with resv",
            "A: add-area ifq buffers=1 with area-null",
            "A: arm ifq copy",
            "A: mmap ifq",
            "scribble ifq tail 1",
        ] {
            assert_eq!(why(head, step), None, "{step}");
        }
        assert!(why(head, "B: clone A ifq").is_some_and(|why| why.contains("`clone`")));
        let queue = format!("{head}\nqueues 1");
        for modifiers in ["no-device", "no-device resv", "nodev-idx"] {
            let step = format!("x = B: register queue=0 buffers=1 entries=1 with {modifiers}");
            assert_eq!(why(&queue, &step), None, "{modifiers}");
        }
        for (header, step) in [
            ("", "x = B: register queue=0 buffers=1 entries=1"),
            ("", "x = B: register queue=0 buffers=1 entries=1 with flags"),
            ("", "unregister-netdev"),
            ("\nsocket s@0", ""),
        ] {
            let why = why(&format!("{queue}{header}"), step).expect("not run");
            assert!(why.contains("network device"), "{why}");
        }
        let why_proposal = why("revision proxy-fixed\nring A", "");
        assert!(why_proposal.is_some_and(|why| why.contains("released")));
    }

    #[test]
    fn a_test_of_a_proposal_runs_on_a_kernel_that_was_built_as_the_proposal() {
        let text = "test t\nrevision proxy-v1 proxy-fixed\nring A B\nsetup\n \
                    ifq = A: register nodev buffers=1 entries=1\n p = B: clone A ifq\nexpect holds";
        let test = ifq_sim::format::parse("t.ifq", text).expect("a test");
        let why = |built_as| unsupported(&test, Equipment { built_as, ..Equipment::default() });
        assert_eq!(why(Some(Revision::ProxyV1)), None);
        assert_eq!(why(Some(Revision::ProxyFixed)), None);
        assert!(why(Some(Revision::Import73)).is_some_and(|why| why.contains("`clone`")));
        assert!(why(None).is_some_and(|why| why.contains("`clone`")));
    }

    #[test]
    fn a_near_end_is_closed_over_the_soft_nic_and_not_on_a_rig() {
        let text = "test t\nrevision import-7.3\nring A\nsocket s@0\nqueues 1\nsetup\n \
                    x = close-socket s\nexpect holds";
        let test = ifq_sim::format::parse("t.ifq", text).expect("a test");
        let nic = Equipment { queues: 1, ..Equipment::default() };
        assert_eq!(unsupported(&test, nic), None);
        let rig = Equipment { segment: Some(1448), ..nic };
        assert!(unsupported(&test, rig).is_some_and(|why| why.contains("reset arrives later")));
    }
}
