//! `ifq diff`: what changes from one revision to another.

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use ifq_model::revision::Revision;
use ifq_sim::commands::diff::{Compared, Differ};
use ifq_sim::enumerate::plan::{MAX_OPS, MAX_RINGS, Plan};
use ifq_sim::enumerate::{TestId, run, stream};
use ifq_sim::format;
use serde::Deserialize;

use super::enumerate::progress::Progress;
use super::exit::{EXIT_DIFFERENCE, EXIT_INTERRUPTED, EXIT_OK};
use super::selection::{revision, usage_error};
use crate::machine::interrupted;

/// Arguments of `ifq diff`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq diff import-7.2 import-7.3                  the smallest tests whose outcomes differ\n  \
    ifq diff --rings 1 --ops 1 import-7.1 import-7.2\n  \
    ifq diff > docs/DIFFERENCES.md                  the report on all revisions\n\n\
    The enumerated tests are searched on both revisions. A test is listed if its outcomes differ in a way in \
    which those of no smaller test do, under the first result that differs. Exit code 1: a group has no \
    explanation.")]
pub struct Args {
    /// The older revision [default: each published one]
    #[arg(value_parser = revision(), requires = "to")]
    pub from: Option<Revision>,
    /// The newer revision
    #[arg(value_parser = revision())]
    pub to: Option<Revision>,
    /// Tests with at most N rings
    #[arg(long, value_name = "N", default_value_t = 2,
        value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_RINGS)))]
    pub rings: u8,
    /// Tests with at most N racing operations
    #[arg(long, value_name = "N", default_value_t = 2,
        value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_OPS)))]
    pub ops: u8,
    /// Number of processors [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
}

/// The pairs of the report.
const PAIRS: [(Revision, Revision); 5] = [
    (Revision::ProxyV1, Revision::Import619),
    (Revision::Import619, Revision::Import70),
    (Revision::Import70, Revision::Import71),
    (Revision::Import71, Revision::Import72),
    (Revision::Import72, Revision::Import73),
];

/// The explanations of the groups.
const EXPLANATIONS: &str = include_str!("../../../docs/differences.json");

/// The explanation of a group of differences.
#[derive(Debug, Deserialize)]
struct Explanation {
    from: Revision,
    to: Revision,
    /// The group's name, or its beginning if it ends in `...`.
    group: String,
    why: String,
}

/// The result of the comparison of two revisions.
#[derive(Debug, Default)]
struct Comparison {
    compared: u64,
    differ: u64,
    /// By group: the number of tests, and the first one.
    groups: BTreeMap<String, (u64, Option<TestId>)>,
}

/// Compares revisions and prints the report; returns the exit code.
#[must_use]
pub fn diff(args: &Args) -> u8 {
    let explanations: Vec<Explanation> = match serde_json::from_str(EXPLANATIONS) {
        Ok(explanations) => explanations,
        Err(error) => return usage_error(format!("docs/differences.json: {error}")),
    };
    let pairs = match (args.from, args.to) {
        (Some(from), Some(to)) => vec![(from, to)],
        _ => PAIRS.to_vec(),
    };
    let report = args.from.is_none();
    if report {
        outln!("{}", HEAD.trim_end());
    }
    let mut code = EXIT_OK;
    for (from, to) in pairs {
        let differ = Differ::new(from, to);
        let Some(found) = compare(args, &differ) else { return EXIT_INTERRUPTED };
        outln!("\n## {from} to {to}\n\n{}", summary(args, &found));
        if !print_groups(&differ, &found, &explanations) {
            errln!("{from} to {to}: a group has no explanation in docs/differences.json");
            code = EXIT_DIFFERENCE;
        }
    }
    code
}

const HEAD: &str = "\
# Differences between revisions

`ifq diff > docs/DIFFERENCES.md` writes this file. It searches the [enumerated tests](enumeration.md) on two
revisions each and compares the sets of outcomes. A test is listed if its outcomes differ in a way in which those of
no smaller test do. A group is named after the first result that differs: the operation, the results that only the older
revision allows, and those that only the newer one allows. `docs/differences.json` holds the explanations.

Where a revision violates an invariant by one of its known defects, its outcomes are those with this defect fixed, and
the verdict is part of the comparison.
";

/// Compares the enumerated tests; `None` if the user interrupted it.
fn compare(args: &Args, differ: &Differ) -> Option<Comparison> {
    let families = differ.families().collect();
    let plan = Plan { families, ..Plan::all(args.rings, args.ops) };
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    let processors = args.jobs.map_or_else(all, usize::from);
    let (mut found, total) = (Comparison::default(), plan.count());
    let mut progress = Progress::new(total);
    let work = |id: TestId, code: &_| differ.compare(id, code);
    run::run(&plan, processors, &interrupted, &work, &mut |id, compared| {
        found.compared += u64::from(compared != Compared::NotComparable);
        found.differ += u64::from(matches!(compared, Compared::AsSmaller | Compared::New(_)));
        if let Compared::New(difference) = compared {
            let group = found.groups.entry(difference.group).or_insert((0, Some(id)));
            group.0 += 1;
        }
        progress.done(id, String::new);
    });
    progress.finish();
    if interrupted() {
        progress.say_interrupted(total);
        return None;
    }
    Some(found)
}

fn summary(args: &Args, found: &Comparison) -> String {
    let Comparison { compared, differ, groups } = found;
    let (rings, ops) = (args.rings, args.ops);
    let groups = groups.len();
    format!(
        "{compared} tests with up to {rings} rings and {ops} racing operations: the outcomes of {differ} \
         differ, in {groups} groups."
    )
}

/// Prints the groups; returns whether all have an explanation.
fn print_groups(differ: &Differ, found: &Comparison, explanations: &[Explanation]) -> bool {
    let mut all = true;
    for (group, (tests, first)) in &found.groups {
        let why = explanation(differ, group, explanations);
        all &= why.is_some();
        outln!("\n### {group}\n\n{}\n", why.unwrap_or("**No explanation.**"));
        let Some(id) = first else { continue };
        let Some(code) = stream::code(id.family, id.size, id.number) else { continue };
        let test = differ.examiner.test(*id, &code);
        outln!("Smallest tests: {tests}. The first:\n\n```text\n{}```", format::print(&test));
    }
    all
}

/// Whether the name in an explanation is the one of a group.
fn names(name: &str, group: &str) -> bool {
    match name.strip_suffix("...") {
        Some(beginning) => group.starts_with(beginning),
        None => group == name,
    }
}

fn explanation<'e>(
    differ: &Differ,
    group: &str,
    explanations: &'e [Explanation],
) -> Option<&'e str> {
    let fits = |e: &&Explanation| {
        let same = (e.from, e.to) == (differ.from, differ.to);
        same && names(&e.group, group)
    };
    explanations.iter().find(fits).map(|explanation| explanation.why.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed report, whose groups come from tests that are larger than those that a test can search.
    const REPORT: &str = include_str!("../../../docs/DIFFERENCES.md");

    #[test]
    fn the_report_explains_each_of_its_groups_and_uses_each_explanation() {
        let explanations: Vec<Explanation> = serde_json::from_str(EXPLANATIONS).unwrap();
        let mut used = vec![false; explanations.len()];
        let mut pair = String::new();
        for line in REPORT.lines() {
            if let Some(revisions) = line.strip_prefix("## ") {
                revisions.clone_into(&mut pair);
            }
            let Some(group) = line.strip_prefix("### ") else { continue };
            let at = explanations
                .iter()
                .position(|e| format!("{} to {}", e.from, e.to) == pair && names(&e.group, group));
            used[at.unwrap_or_else(|| panic!("{pair}: {group} has no explanation"))] = true;
        }
        for (explanation, used) in explanations.iter().zip(used) {
            let Explanation { from, to, group, .. } = explanation;
            assert!(used, "{from} to {to}: no group {group} in the report");
            assert!(REPORT.contains(&explanation.why), "{from} to {to}: {group}");
        }
    }

    #[test]
    fn every_difference_between_revisions_has_an_explanation() {
        let explanations: Vec<Explanation> = serde_json::from_str(EXPLANATIONS).unwrap();
        for (from, to) in PAIRS {
            let args = Args { from: Some(from), to: Some(to), rings: 2, ops: 1, jobs: None };
            let differ = Differ::new(from, to);
            let found = compare(&args, &differ).unwrap();
            for group in found.groups.keys() {
                let why = explanation(&differ, group, &explanations);
                assert!(why.is_some(), "{from} to {to}: {group}");
            }
        }
    }
}
