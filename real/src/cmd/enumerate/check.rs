//! `ifq enumerate --check`: searches every interleaving of each test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ifq_model::invariant::Violation;
use ifq_model::revision::{Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::commands::enumerate::{Examined, Verdict};
use ifq_sim::enumerate::plan::Plan;
use ifq_sim::enumerate::{TestId, run, stream};
use ifq_sim::search::explore::{Limits, explore};

use super::args::Args;
use super::progress::Progress;
use crate::cmd::exit::{EXIT_BOUNDED, EXIT_DIFFERENCE, EXIT_INTERRUPTED, EXIT_OK, combined};
use crate::cmd::keep::keep;
use crate::machine::interrupted;

/// Where findings are stored, unless `--out` says otherwise.
const FOLDER: &str = "counterexamples";

/// The sums over all tests.
#[derive(Default)]
struct Summary {
    searches: u64,
    states: u64,
    bounded: u64,
    /// By revision: the hashes of the sets of outcomes.
    classes: BTreeMap<Revision, BTreeSet<u64>>,
    /// By revision, invariant and fixes: the number of tests, and the first of them.
    explained: BTreeMap<(Revision, String), (u64, String)>,
    findings: Vec<(TestId, Revision, Violation)>,
}

/// Searches the tests of a plan; returns the exit code.
pub(super) fn check(args: &Args, plan: &Plan) -> u8 {
    let examiner = args.examiner();
    let total = plan.count();
    let (mut progress, mut summary) = (Progress::new(total), Summary::default());
    let work = |id: TestId, code: &_| {
        let test = examiner.test(id, code);
        let examined = |revision| {
            let examined = examiner.examine(&test, revision);
            (revision, examined.hash(&test), examined)
        };
        let revisions = args.revisions_of(id.family);
        revisions.map(examined).collect::<Vec<_>>()
    };
    run::run(plan, args.processors(), &interrupted, &work, &mut |id, results| {
        for (revision, hash, examined) in results {
            if args.json {
                print_json(id, revision, hash, &examined);
            }
            if let Verdict::Finding(violation) = &examined.verdict {
                progress.print(&format!("{} on {revision}: {violation}", id.name()));
            }
            summary.add(id, revision, hash, examined);
        }
        progress.done(id, || format!("{} findings", summary.findings.len()));
    });
    let seconds = progress.finish();
    let folder = args.out.clone().unwrap_or_else(|| PathBuf::from(FOLDER));
    // First, because an error while printing ends the program.
    let stored = summary.store(args, &folder);
    if !args.json {
        summary.print(progress.tests, seconds);
    }
    if interrupted() {
        progress.say_interrupted(total);
        return EXIT_INTERRUPTED;
    }
    let found = if summary.findings.is_empty() { EXIT_OK } else { EXIT_DIFFERENCE };
    let bounded = if summary.bounded == 0 { EXIT_OK } else { EXIT_BOUNDED };
    combined([stored, found, bounded])
}

impl Summary {
    fn add(&mut self, id: TestId, revision: Revision, hash: u64, examined: Examined) {
        self.searches += examined.searches;
        self.states += examined.states;
        self.classes.entry(revision).or_default().insert(hash);
        match examined.verdict {
            Verdict::Holds => {}
            Verdict::Bounded => self.bounded += 1,
            Verdict::Finding(violation) => self.findings.push((id, revision, violation)),
            Verdict::Explained(invariant, defects) => {
                let defects: Vec<&str> = defects.iter().map(|defect| defect.name()).collect();
                let key = (revision, format!("{invariant} by {}", defects.join(" and ")));
                self.explained.entry(key).or_insert_with(|| (0, id.name())).0 += 1;
            }
        }
    }

    fn print(&self, tests: u64, seconds: f64) {
        outln!(
            "{tests} tests, {} searches, {} states in {seconds:.0} s: {:.0} searches/s",
            self.searches,
            self.states,
            self.searches as f64 / seconds.max(1e-3)
        );
        for (revision, classes) in &self.classes {
            outln!("{revision}: {} distinct sets of outcomes", classes.len());
        }
        for ((revision, what), (count, first)) in &self.explained {
            outln!("{revision}: {count} tests violate {what}, the first is {first}");
        }
        outln!("{} findings, {} bounded", self.findings.len(), self.bounded);
    }

    /// Stores the counterexamples of the findings, the smallest tests first; returns the exit code.
    fn store(&self, args: &Args, folder: &Path) -> u8 {
        combined(self.findings.iter().filter_map(|(id, revision, _)| {
            let code = stream::code(id.family, id.size, id.number)?;
            Some(store(folder, &args.examiner().test(*id, &code), *revision))
        }))
    }
}

/// Searches the test with all defects fixed, as a user of the stored file does, and stores the counterexample;
/// returns the exit code.
fn store(folder: &Path, test: &Test, revision: Revision) -> u8 {
    let variant = Variant::fixed(revision);
    let found = explore(test, &variant, &Limits::default(), &mut |_| {});
    let Some(found) = found.counterexample else { return EXIT_OK };
    match keep(folder, test, &variant, &found) {
        Ok(path) => errln!("ifq: counterexample: {}", path.display()),
        Err(code) => return code,
    }
    EXIT_OK
}

fn print_json(id: TestId, revision: Revision, hash: u64, examined: &Examined) {
    let (verdict, invariant, defects) = match &examined.verdict {
        Verdict::Holds => ("holds", None, Vec::new()),
        Verdict::Bounded => ("bounded", None, Vec::new()),
        Verdict::Finding(violation) => ("finding", Some(violation.invariant), Vec::new()),
        Verdict::Explained(invariant, defects) => ("explained", Some(*invariant), defects.clone()),
    };
    let line = serde_json::json!({
        "test": id.name(), "revision": revision, "verdict": verdict, "violates": invariant,
        "defects": defects, "outcomes": examined.outcomes.len(), "hash": format!("{hash:016x}"),
        "states": examined.states,
    });
    outln!("{line}");
}
