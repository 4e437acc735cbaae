//! I9: each operation returns what the revision's specification says.

use super::interface::Check;
use crate::invariant::Invariant;
use crate::outcome::Value;
use crate::platform::{AtomicWord, Platform};
use crate::run_state::ModelRun;
use crate::spec;
use crate::test::{Op, Step, Test};

/// Results against the sequential specification.
pub(super) struct Results;

/// Whether user space can see only one order of events: no faults, at most one thread, and nothing after a
/// ring's exit, which goes on in the background.
fn is_sequential(test: &Test) -> bool {
    let is_exit = |step: &Step| matches!(step.op, Op::Exit { .. });
    let exits_last = |steps: &[Step]| steps.iter().skip_while(|step| !is_exit(step)).all(is_exit);
    test.max_faults == 0
        && test.threads.len() <= 1
        && exits_last(&test.setup)
        && test.threads.iter().all(|thread| exits_last(&thread.steps))
}

impl<P: Platform> Check<P> for Results {
    /// A failed export must not have written a descriptor.
    fn syscall_exit(&self, run: &ModelRun<P>, index: usize, ret: Result<i64, i64>) {
        if let (Some(zcrx_fd), Err(_)) = (&run.zcrx_fds[index], ret)
            && zcrx_fd.load_in_step() != 0
        {
            P::violation(Invariant::I9, format_args!("a failed export has published a descriptor"));
        }
    }

    fn before_close(&self, run: &ModelRun<P>) {
        let test = &run.test;
        if !is_sequential(test) {
            return;
        }
        let Some(answer) = spec::run(test, run.kernel.variant.revision) else { return };
        for (var, raw) in answer.results {
            let declared = &test.vars[usize::from(var)];
            let (seen, specified) = (run.seen(var), Value::from_raw(declared.kind, raw));
            if seen != specified {
                P::violation(
                    Invariant::I9,
                    format_args!(
                        "`{}` is {seen}; the specification says {specified}",
                        declared.name
                    ),
                );
            }
        }
    }
}
