//! Worlds of the simulator in a campaign. A case is a seed.

use std::ops::Range;

use ifq_sim::format;
use ifq_sim::world::{Kernels, World, cut};

use crate::campaign::cause::of_violation;
use crate::campaign::engine::{CaseResult, Engine, chunks, each};
use crate::campaign::plan::SimJob;
use crate::campaign::record::{End, Shown, Small};
use crate::machine::interrupted;

#[derive(Debug)]
pub(super) struct SimEngine {
    job: SimJob,
    kernels: Kernels,
}

impl SimEngine {
    pub(super) fn new(job: &SimJob) -> Self {
        let kernels = Kernels { revision: job.revision, defects: job.defects.clone() };
        SimEngine { job: job.clone(), kernels }
    }

    fn seed(&self, case: u64) -> u64 {
        self.job.seed.wrapping_add(case)
    }

    fn world(&self, seed: u64) -> Option<World> {
        World::draw(seed, self.job.profile, &self.kernels)
    }

    /// The arguments of `ifq sim` that select the kernels.
    fn arguments(&self) -> String {
        let revision = self.job.revision.map(|revision| format!(" --revision {revision}"));
        let defects = self.job.defects.iter().map(|defect| format!(" --defect {defect}"));
        revision.into_iter().chain(defects).collect()
    }

    /// The revision with the planted defects; all others are fixed.
    fn kernel(&self, world: &World) -> String {
        let defects: Vec<&str> = self.job.defects.iter().map(|defect| defect.name()).collect();
        let with = if defects.is_empty() { String::new() } else { " with ".to_owned() };
        format!("{} fixed{with}{}", world.options.variant.revision, defects.join(" "))
    }

    fn case(&self, seed: u64) -> Option<(u64, End)> {
        if interrupted() {
            return None;
        }
        let Some(world) = self.world(seed) else {
            return Some((0, End::NotRun("no revision has the code of all defects".to_owned())));
        };
        let run = world.run();
        let Some(failure) = run.failure else { return Some((run.steps, End::Passed)) };
        let shown = Shown {
            cause: of_violation(&failure.violation),
            kernel: self.kernel(&world),
            what: failure.violation.to_string(),
            again: format!(
                "ifq sim --seed {seed} --profile {}{}",
                self.job.profile,
                self.arguments()
            ),
        };
        Some((run.steps, End::Failed(vec![shown])))
    }
}

impl Engine for SimEngine {
    fn name(&self) -> String {
        format!("sim --profile {}{}", self.job.profile, self.arguments())
    }

    fn units(&self) -> Vec<Range<u64>> {
        chunks(self.job.runs, self.job.per_unit)
    }

    fn unit_name(&self, cases: &Range<u64>) -> String {
        match cases.end - cases.start {
            1 => format!("seed {}", self.seed(cases.start)),
            _ => format!("seeds {} to {}", self.seed(cases.start), self.seed(cases.end - 1)),
        }
    }

    fn run(&self, cases: Range<u64>) -> Option<Vec<CaseResult>> {
        let seeds = cases.map(|case| (case, self.seed(case)));
        each(seeds, |seed| format!("seed {seed}"), |seed| self.case(*seed))
    }

    fn small(&self, case: u64, _: &Shown) -> Option<Small> {
        if interrupted() {
            return None;
        }
        let world = self.world(self.seed(case))?;
        let failure = world.run().failure?;
        let small = cut(&world, &failure);
        let test = small.with_schedule(&world.options.variant);
        let operations = small.test.steps().count() as u64;
        let note = if of_violation(&small.found.violation) == of_violation(&failure.violation) {
            String::new()
        } else {
            // The cut keeps the invariant.
            format!("the cut world fails in another way: {}", small.found.violation)
        };
        Some(Small { operations, file: Some(format::print(&test)), note })
    }

    fn add_inputs(&self, _: &mut crc32fast::Hasher) {}
}
