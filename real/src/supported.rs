//! Which tests can be run on a live kernel.

use ifq_model::scenario::{Op, RingSetup, Source, Step, Test};
use ifq_sim::file::verb;

use crate::series::is_released;

/// Why a test cannot be run on any live kernel, if it cannot.
///
/// Faults are no obstacle: they *may* happen, and there none does.
#[must_use]
pub fn unsupported(test: &Test) -> Option<String> {
    if !test.revisions.iter().any(|revision| is_released(*revision)) {
        return Some("none of its revisions is a kernel that was released".into());
    }
    if let Some(reason) = test.setups.iter().find_map(|(_, setup)| unsupported_setup(*setup)) {
        return Some(reason);
    }
    let registers = |step: &Step| matches!(step.op, Op::Register { source: Source::Queue(_), .. });
    if test.steps().any(registers) || test.sockets.iter().any(|socket| socket.queue.is_some()) {
        return Some("it needs a network device's receive queue, and there is none here".into());
    }
    test.steps().find_map(|step| unsupported_op(&step.op))
}

/// Why a ring is not set up in this way, if it is not.
#[must_use]
pub fn unsupported_setup(setup: RingSetup) -> Option<String> {
    Some(format!("rings with `{}` are not run on live kernels", setup.name()))
}

/// Why an operation is not executed, if it is not.
#[must_use]
pub fn unsupported_op(op: &Op) -> Option<String> {
    if let Some(quirk) = op.quirks().iter().next() {
        return Some(format!("`{}` with `{quirk}` is not run on live kernels", verb(op)));
    }
    match op {
        Op::Clone { .. }
        | Op::AddArea { .. }
        | Op::Arm { .. }
        | Op::Mmap { .. }
        | Op::UnregisterNetdev
        | Op::Scribble { .. } => Some(format!("`{}` is not run on live kernels", verb(op))),
        Op::Register { .. }
        | Op::Export { .. }
        | Op::Import { .. }
        | Op::Flush { .. }
        | Op::Exit { .. }
        | Op::Close { .. }
        | Op::Recv { .. }
        | Op::Wait { .. }
        | Op::Return { .. }
        | Op::Send { .. }
        | Op::Shutdown { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(header: &str, steps: &str) -> Option<String> {
        let text = format!(
            "test t\n{header}\nexpect holds\nsetup\n ifq = A: register nodev buffers=1 entries=1\n{steps}"
        );
        unsupported(&ifq_sim::file::parse("t.ifq", &text).expect("a test"))
    }

    #[test]
    fn what_is_not_executed_is_named() {
        let head = "revision proxy-v1 import-7.3\nring A B";
        assert_eq!(why(head, "A: flush ifq"), None);
        for (steps, named) in [
            ("B: clone A ifq", "`clone`"),
            ("A: add-area ifq buffers=1", "`add-area`"),
            ("A: arm ifq copy", "`arm`"),
            ("A: mmap ifq", "`mmap`"),
            ("scribble ifq tail 1", "`scribble`"),
            ("A: flush ifq with resv", "`flush` with `resv`"),
        ] {
            let why = why(head, steps).expect("not run");
            assert_eq!(why, format!("{named} is not run on live kernels"));
        }
        let why_device = why(&format!("{head}\nsocket s@0\nqueues 1"), "");
        assert!(why_device.is_some_and(|why| why.contains("network device")));
        let why_setup = why(&format!("{head}\nring C with clamp"), "");
        assert!(why_setup.is_some_and(|why| why.contains("`clamp`")));
        let why_proposal = why("revision proxy-v1 proxy-fixed\nring A", "");
        assert!(why_proposal.is_some_and(|why| why.contains("released")));
    }
}
