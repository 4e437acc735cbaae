//! I9: what a test without concurrency returned against the sequential specification.

use crate::invariant::Invariant;
use crate::outcome::Value;
use crate::platform::Platform;
use crate::revision::Defect;
use crate::run::ModelRun;
use crate::spec;
use crate::test::{Op, Step, Test};

/// Whether only one order of things is possible, as far as user space can see: no faults, one thread
/// at most, and nothing else after a ring's exit, which goes on in the background.
#[must_use]
pub fn is_sequential(test: &Test) -> bool {
    let is_exit = |step: &Step| matches!(step.op, Op::Exit { .. });
    let exits_last = |steps: &[Step]| steps.iter().skip_while(|step| !is_exit(step)).all(is_exit);
    test.max_faults == 0
        && test.threads.len() <= 1
        && exits_last(&test.setup)
        && test.threads.iter().all(|thread| exits_last(&thread.steps))
}

/// Reports each result that is not the one that the specification of the revision asks for. Where
/// user space itself breaks its part of the contract there is nothing to compare.
pub fn check_spec<P: Platform>(run: &ModelRun<P>) {
    let (test, kernel) = (&run.test, &run.kernel);
    let user_space = [Defect::S1, Defect::S2, Defect::S3];
    if !is_sequential(test) || user_space.iter().any(|defect| kernel.has(*defect)) {
        return;
    }
    let Some(answer) = spec::run(test, kernel.variant.revision) else { return };
    for (var, raw) in answer.results {
        let bound = &test.vars[usize::from(var)];
        let (seen, said) = (run.seen(var), Value::from_raw(bound.kind, raw));
        if seen != said {
            P::violation(
                Invariant::I9,
                format_args!("`{}` is {seen}; the specification says {said}", bound.name),
            );
        }
    }
}
