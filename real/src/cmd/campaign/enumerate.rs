//! Searches of enumerated tests in a campaign. A case is a test on all its revisions.

use std::ops::{ControlFlow, Range};

use ifq_model::revision::{Revision, Variant};
use ifq_sim::commands::enumerate::{Examiner, Verdict};
use ifq_sim::enumerate::{Family, Plan, TestId};

use super::check::{limits, no_file, shrunk};
use crate::campaign::cause::of_violation;
use crate::campaign::engine::{CaseResult, Engine, chunks, each};
use crate::campaign::plan::{EnumerateJob, PlanLimits};
use crate::campaign::record::{End, Shown, Small};
use crate::machine::interrupted;

#[derive(Debug)]
pub(super) struct EnumerateEngine {
    job: EnumerateJob,
    plan: Plan,
    count: u64,
    examiner: Examiner,
}

impl EnumerateEngine {
    pub(super) fn new(job: &EnumerateJob, plan: PlanLimits) -> Self {
        let mut tests = Plan::all(job.rings, job.ops);
        tests.families.retain(|family| {
            (job.families.is_empty() || job.families.contains(family))
                && revisions(job, *family).next().is_some()
        });
        let limits = ifq_sim::search::explore::Limits { thread_faults_only: true, ..limits(plan) };
        let count = tests.count();
        let examiner = Examiner { faults: job.faults, limits };
        EnumerateEngine { job: job.clone(), plan: tests, count, examiner }
    }

    /// The tests with these positions.
    fn tests(&self, cases: &Range<u64>) -> Vec<(u64, (TestId, ifq_model::test::Test))> {
        let (mut position, mut found) = (0, Vec::new());
        let _ = self.plan.for_each(&mut |id, code| {
            if cases.contains(&position) {
                found.push((position, (id, self.examiner.test(id, code))));
            }
            position += 1;
            if position < cases.end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        found
    }

    fn examine(&self, id: TestId, test: &ifq_model::test::Test) -> Option<(u64, End)> {
        let (mut states, mut shown, mut bounded) = (0, Vec::new(), Vec::new());
        for revision in revisions(&self.job, id.family) {
            let examined = self.examiner.examine(test, revision);
            if interrupted() {
                return None;
            }
            states += examined.states;
            match examined.verdict {
                Verdict::Holds | Verdict::Explained(..) => {}
                Verdict::Bounded => bounded.push(revision.name()),
                Verdict::Finding(violation) => shown.push(Shown {
                    cause: of_violation(&violation),
                    kernel: Variant::fixed(revision).to_string(),
                    what: violation.to_string(),
                    again: self.again(id, revision),
                }),
            }
        }
        let end = match (shown.is_empty(), bounded.is_empty()) {
            (false, _) => End::Failed(shown),
            (true, false) => End::Bounded(format!("the search on {}", bounded.join(", "))),
            (true, true) => End::Passed,
        };
        Some((states, end))
    }

    fn again(&self, id: TestId, revision: Revision) -> String {
        let faults = if self.job.faults { " --faults" } else { "" };
        format!("ifq enumerate --check --only {} --revision {revision}{faults}", id.name())
    }
}

fn revisions(job: &EnumerateJob, family: Family) -> impl Iterator<Item = Revision> {
    let all = job.revisions.is_empty();
    family.revisions().filter(move |revision| all || job.revisions.contains(revision))
}

impl Engine for EnumerateEngine {
    fn name(&self) -> String {
        let EnumerateJob { rings, ops, revisions, families, faults, .. } = &self.job;
        let mut name = format!("enumerate --rings {rings} --ops {ops}");
        revisions.iter().for_each(|revision| name += &format!(" --revision {revision}"));
        families.iter().for_each(|family| name += &format!(" --family {}", family.name()));
        name + if *faults { " --faults" } else { "" }
    }

    fn units(&self) -> Vec<Range<u64>> {
        chunks(self.count, self.job.per_unit)
    }

    fn unit_name(&self, cases: &Range<u64>) -> String {
        format!("tests {} to {}", cases.start, cases.end - 1)
    }

    fn run(&self, cases: Range<u64>) -> Option<Vec<CaseResult>> {
        let tests = self.tests(&cases);
        each(tests, |(id, _)| id.name(), |(id, test)| self.examine(*id, test))
    }

    fn small(&self, case: u64, shown: &Shown) -> Option<Small> {
        let (_, (id, test)) = self.tests(&(case..case + 1)).pop()?;
        let on = |revision: &Revision| Variant::fixed(*revision).to_string() == shown.kernel;
        match revisions(&self.job, id.family).find(on) {
            Some(revision) => shrunk(&test, &Variant::fixed(revision), &self.examiner.limits),
            None => Some(no_file("there is no such revision")),
        }
    }

    fn add_inputs(&self, hasher: &mut crc32fast::Hasher) {
        // The alphabet and the families may change from one version to the next.
        for (_, (id, _)) in self.tests(&(self.count.saturating_sub(1)..self.count)) {
            hasher.update(id.name().as_bytes());
        }
    }
}
