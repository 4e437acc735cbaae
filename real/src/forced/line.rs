//! The lines of a schedule that a controller makes a kernel follow, and where operations begin.

use ifq_model::test::schedule::{AccessKind, CodePlace, Place, Position, Switch, ThreadName};
use ifq_model::test::{Op, Test};

use crate::abi::marker::ProducerAccess;

/// Whether a controller orders a thread. All others are left to the kernel: what they do decides only when a thread
/// that waits for them goes on.
pub(super) fn is_ordered(thread: ThreadName) -> bool {
    matches!(thread, ThreadName::Test(_) | ThreadName::Exit(_))
}

/// The lines of a schedule that order something on a kernel: without RCU callbacks and other work items, without exit
/// work after the last step of the test unless a fault happens in it, and without an end of a line after which the same thread goes on.
#[must_use]
pub fn kernel_lines(lines: &[Switch]) -> Vec<Switch> {
    let mut kept: Vec<Switch> = Vec::new();
    for line in lines.iter().filter(|line| is_ordered(line.thread)) {
        let goes_on = kept.last().is_some_and(|last| last.thread == line.thread);
        let mut line = line.clone();
        // Occurrences are counted from the beginning of a line.
        if goes_on && !matches!(line.until, Place::At(_)) {
            let before = kept.pop().map(|last| last.failing).unwrap_or_default();
            line.failing.splice(..0, before);
        }
        kept.push(line);
    }
    while kept.last().is_some_and(|line| line.thread.is_kernel() && line.failing.is_empty()) {
        kept.pop();
    }
    kept
}

/// The lines of a schedule that a person wrote, and what the model does after them: the thread that ran last goes on to
/// its end, then the others do in their order.
#[must_use]
pub fn whole_lines(test: &Test, lines: &[Switch]) -> Vec<Switch> {
    let last = lines.last().map(|line| line.thread);
    let mut threads: Vec<ThreadName> = (0..test.threads.len()).map(ThreadName::Test).collect();
    threads.sort_by_key(|thread| Some(*thread) != last);
    let ends = |thread: &ThreadName| {
        let own = lines.iter().rfind(|line| line.thread == *thread);
        own.is_some_and(|line| line.until == Place::Done)
    };
    threads.retain(|thread| !ends(thread));
    let done = |thread| Switch { thread, or_any: false, until: Place::Done, failing: Vec::new() };
    let all: Vec<Switch> = lines.iter().cloned().chain(threads.into_iter().map(done)).collect();
    kernel_lines(&all)
}

/// The function of the model in which an operation begins and ends.
pub(super) fn entry(op: &Op) -> Option<&'static str> {
    Some(match op {
        Op::Recv { .. } | Op::Wait { .. } => "io_uring_enter",
        Op::Close { .. } | Op::Exit { .. } | Op::CloseSocket { .. } => "close",
        Op::Mmap { .. } => "io_uring_mmap",
        Op::Send { .. } => "tcp_rcv_established",
        Op::Shutdown { .. } => "tcp_fin",
        Op::Reset { .. } => "tcp_reset",
        Op::Return { .. } => "refill",
        Op::Register { .. }
        | Op::Export { .. }
        | Op::Import { .. }
        | Op::Flush { .. }
        | Op::AddArea { .. }
        | Op::Arm { .. }
        | Op::Enable { .. }
        | Op::Cancel { .. }
        | Op::CancelSocket { .. }
        | Op::CancelAll { .. } => "io_uring_register",
        _ => return None,
    })
}

/// The access of the producer of a refill ring that a place is before. The producer is the user space of the test.
pub(super) fn producer_access(place: &CodePlace) -> Option<ProducerAccess> {
    let access = place.access.as_ref()?;
    let known = [
        (AccessKind::Load, "rq.tail", ProducerAccess::LoadTail),
        (AccessKind::Load, "rq.head", ProducerAccess::LoadHead),
        (AccessKind::Store, "rqe.off", ProducerAccess::StoreEntry),
        (AccessKind::Store, "rq.tail", ProducerAccess::StoreTail),
    ];
    let here = place.function.as_deref() == Some("refill") && place.position == Position::Before;
    let fits = |(kind, name, _): &&(AccessKind, &str, ProducerAccess)| {
        *kind == access.kind && *name == access.object.name
    };
    known.iter().find(fits).filter(|_| here).map(|(.., access)| *access)
}

/// Whether a place is before a packet that a thread writes to the device. The far end is the test itself. The kernel
/// hands a packet to TCP in the NAPI poll that received it, so that no other packet of the queue comes between.
pub(super) fn is_packet(test: &Test, thread: usize, place: &CodePlace) -> bool {
    let over_device = |op: &Op| match op {
        Op::Send { socket, layout, .. } => {
            layout.is_pages() && test.sockets[usize::from(*socket)].queue.is_some()
        }
        _ => false,
    };
    let locks = place.access.as_ref().is_some_and(|access| {
        (access.kind, access.object.name.as_str()) == (AccessKind::Lock, "sk_lock")
    });
    locks
        && place.position == Position::Before
        && place.function.as_deref() == Some("tcp_rcv_established")
        && test.threads[thread].steps.iter().any(|step| over_device(&step.op))
}

/// The border of an operation that a place is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Border {
    /// Before its first access.
    Begin,
    /// It has ended.
    End,
}

/// Whether a place is where an operation begins or ends.
pub(super) fn border(place: &CodePlace) -> Option<Border> {
    let function = place.function.as_deref()?;
    let first = match function {
        "io_uring_register" | "io_uring_enter" | "io_uring_mmap" => "fd",
        "close" => "file_lock",
        "tcp_rcv_established" => "readable",
        "tcp_fin" | "tcp_reset" => "sk_lock",
        "refill" => "producer_lock",
        _ => return None,
    };
    match (place.position, &place.access) {
        (Position::Return, None) => Some(Border::End),
        (Position::Enter, None) => Some(Border::Begin),
        (Position::Before, Some(access)) if access.object.name == first => Some(Border::Begin),
        _ => None,
    }
}

/// The n-th step of a thread, from step `from` on, that begins in a function.
///
/// # Errors
///
/// A message for the user: there is none.
pub(super) fn step_in(
    test: &Test,
    thread: usize,
    from: usize,
    place: &CodePlace,
) -> Result<usize, String> {
    let steps = &test.threads[thread].steps;
    let function = place.function.as_deref();
    let fits = |step: &usize| entry(&steps[*step].op) == function;
    let number = place.occurrence.max(1) as usize - 1;
    (from..steps.len()).filter(fits).nth(number).ok_or_else(|| {
        let function = function.unwrap_or("any function");
        format!("the thread has no step left that begins in {function}")
    })
}

#[cfg(test)]
mod tests {
    use ifq_model::fault::FaultPoint;
    use ifq_model::test::schedule::FailingFault;

    use super::*;

    fn test() -> Test {
        let text = "test t\nrevision import-7.3\nring A B\nsetup\n \
                    ifq = A: register nodev buffers=1 entries=1\n box = A: export ifq\n\
                    thread a\n x = B: import box\n y = close box\n B: flush x\n\
                    thread b\n z = A: exit\nobserve x y z\nexpect holds\n";
        ifq_sim::format::parse("t.ifq", text).unwrap()
    }

    fn place(function: &str, position: Position, occurrence: u32) -> CodePlace {
        CodePlace { function: Some(function.to_owned()), position, access: None, occurrence }
    }

    #[test]
    fn a_border_names_the_step_of_the_thread() {
        let returns = place("io_uring_register", Position::Return, 2);
        assert_eq!(border(&returns), Some(Border::End));
        assert_eq!(step_in(&test(), 0, 0, &returns), Ok(2));
        let error = step_in(&test(), 0, 1, &returns).unwrap_err();
        assert!(error.contains("io_uring_register"), "{error}");
        assert_eq!(border(&place("io_zcrx_scrub", Position::Enter, 1)), None);
    }

    #[test]
    fn only_lines_that_order_something_are_kept() {
        let line = |thread, until| Switch { thread, or_any: false, until, failing: Vec::new() };
        let [a, exit] = [ThreadName::Test(0), ThreadName::Exit(0)];
        let border = || Place::At(place("io_uring_register", Position::Return, 1));
        let lines = [
            line(a, border()),
            line(ThreadName::Rcu(0), Place::Done),
            line(a, Place::Done),
            line(exit, Place::Done),
            line(ThreadName::Main, Place::Done),
        ];
        assert_eq!(kernel_lines(&lines), [line(a, Place::Done)]);
        let ordered = [line(a, border()), line(exit, Place::Blocked), line(a, Place::Done)];
        assert_eq!(kernel_lines(&ordered), ordered);
        let failing = vec![FailingFault { point: FaultPoint::RxqRestart, occurrence: 1 }];
        let fails = |line: Switch| Switch { failing: failing.clone(), ..line };
        let with_faults = [fails(line(a, border())), line(a, Place::Done)];
        assert_eq!(kernel_lines(&with_faults), [fails(line(a, Place::Done))]);
        let in_work = [line(a, Place::Done), fails(line(exit, Place::Done))];
        assert_eq!(kernel_lines(&in_work), in_work);
        let b = ThreadName::Test(1);
        let ends = [line(a, Place::Done), line(b, Place::Done)];
        assert_eq!(whole_lines(&test(), &[]), ends, "the first thread runs first");
        let begun = [line(b, border())];
        let whole = whole_lines(&test(), &begun);
        assert_eq!(whole, [line(b, Place::Done), line(a, Place::Done)], "the last one goes on");
        let exits = [line(b, Place::Done), line(exit, Place::Done)];
        let whole = whole_lines(&test(), &exits);
        assert_eq!(whole, [exits[0].clone(), exits[1].clone(), line(a, Place::Done)]);
    }
}
