//! Which page of which call is late in a repetition.

use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::{Op, Step, Test};

use super::rng::Rng;
use crate::kernels::supported::delays_page_faults;

/// What the kernel does with a page that is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LatePage {
    /// It writes the result of the call (`copy_to_user`).
    Argument,
    /// It pins the memory of the area (`io_pin_pages`).
    Area,
    /// It pins the memory of the refill ring (`io_pin_pages`).
    Region,
}

impl LatePage {
    /// How a report names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            LatePage::Argument => "the argument",
            LatePage::Area => "the area",
            LatePage::Region => "the refill ring",
        }
    }
}

/// A page fault that is delayed in a repetition: the step whose call has it, and the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct DelayedFault<'t> {
    step: &'t Step,
    page: LatePage,
}

impl DelayedFault<'_> {
    /// The late page, if it is this step's.
    pub(super) fn page_of(&self, step: &Step) -> Option<LatePage> {
        std::ptr::eq(self.step, step).then_some(self.page)
    }
}

/// The page fault that is delayed in a repetition. The repetitions cycle through the pages of all steps
/// that write to their caller or pin memory, and no page.
pub(super) fn choose(test: &Test, seed: u64, repetition: u32) -> Option<DelayedFault<'_>> {
    if !delays_page_faults(test) {
        return None;
    }
    let steps = test.threads.iter().flat_map(|thread| &thread.steps);
    let mut choices: Vec<Option<DelayedFault<'_>>> = steps
        .flat_map(|step| {
            let pages = late_pages(&step.op).iter();
            pages.map(move |&page| Some(DelayedFault { step, page }))
        })
        .collect();
    choices.push(None);
    let first = Rng::new(seed, u64::MAX).below(choices.len() as u64) as usize;
    choices[(first + repetition as usize) % choices.len()]
}

/// The pages that the kernel writes to or pins when the operation succeeds.
fn late_pages(op: &Op) -> &'static [LatePage] {
    let readable = |modifiers: ArgModifiers| {
        !modifiers.has(ArgModifier::ArgFault) && !modifiers.has(ArgModifier::AreaFault)
    };
    match op {
        Op::Register { modifiers, .. }
        | Op::Import { modifiers, .. }
        | Op::Clone { modifiers, .. }
        | Op::Export { modifiers, .. }
        | Op::AddArea { modifiers, .. }
            if !readable(*modifiers) =>
        {
            &[]
        }
        Op::Register { modifiers, .. } if modifiers.has(ArgModifier::KernelRegion) => {
            &[LatePage::Argument, LatePage::Area]
        }
        Op::Register { .. } => &[LatePage::Argument, LatePage::Area, LatePage::Region],
        Op::AddArea { .. } => &[LatePage::Argument, LatePage::Area],
        Op::Import { .. } | Op::Clone { .. } | Op::Export { .. } => &[LatePage::Argument],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(fault: &str) -> Test {
        let text = format!(
            "test t\nrevision import-7.3\nring A B\nsetup\n ifq = A: register nodev buffers=1 \
             entries=1\n box = A: export ifq\nthread a\n x = A: add-area ifq buffers=1\n \
             y = A: flush ifq\n z = A: export ifq with arg-fault\nthread b\n imp = B: import box\n\
             {fault}\nexpect holds"
        );
        ifq_sim::format::parse("t.ifq", &text).expect("a test")
    }

    #[test]
    fn the_repetitions_cycle_through_the_pages_that_calls_write_to_or_pin_and_none() {
        let delayed = test("fault page-fault-waits");
        for seed in 0..5 {
            let faults = |from: u32| {
                let drawn = (from..from + 4).map(|repetition| choose(&delayed, seed, repetition));
                let name =
                    |fault: DelayedFault<'_>| format!("{} {:?}", fault.step.op.verb(), fault.page);
                let mut faults: Vec<_> =
                    drawn.map(|fault| fault.map_or("none".into(), name)).collect();
                faults.sort_unstable();
                faults
            };
            let all = ["add-area Area", "add-area Argument", "import Argument", "none"];
            assert_eq!(faults(0), all);
            assert_eq!(faults(0), faults(7));
        }
        assert!(choose(&test(""), 1, 0).is_none());
        assert!(choose(&test("fault copy-to-user"), 1, 0).is_none());
    }
}
