//! Goal: a change of the kernel code that changes a small test is noticed, and the enumeration is the same however it
//! is divided.
//!
//! Method: search all enumerated tests up to two rings and two racing operations on every released revision, on the first
//! posting of the proposal and its repair, and compare verdicts and outcomes with the recorded hashes. `.ci/run` compares
//! the other proposals with a release build. Compare shards and numbers of threads with the whole.

use std::collections::BTreeMap;
use std::path::Path;

use ifq_model::revision::{Revision, Variant};
use ifq_sim::commands::enumerate::{Examiner, Verdict};
use ifq_sim::enumerate::record::Record;
use ifq_sim::enumerate::run::run;
use ifq_sim::enumerate::{Plan, TestId, stream};
use ifq_sim::format;
use ifq_sim::search::explore::{Limits, explore};

/// The recorded hashes of a revision.
fn recorded(revision: Revision) -> Record {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/enumeration");
    let path = folder.join(format!("{revision}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Record::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Proposals that only `.ci/run` compares, because the search of all revisions takes a minute.
const ONLY_IN_CI: [Revision; 4] =
    [Revision::ProxyV2, Revision::ProxyV3, Revision::ProxyV4, Revision::ImportNext];

#[test]
fn every_outcome_is_the_recorded_one_and_the_catalogue_explains_every_violation() {
    let records: BTreeMap<Revision, Record> =
        Revision::ALL.into_iter().map(|revision| (revision, recorded(revision))).collect();
    let examiner = Examiner::new(false);
    let work = |id: TestId, code: &_| {
        let test = examiner.test(id, code);
        let examine = |revision| (revision, examiner.examine(&test, revision));
        let wrong = |(revision, examined): (Revision, _)| {
            let examined: ifq_sim::commands::enumerate::Examined = examined;
            let known = records[&revision].agrees(id, examined.hash(&test));
            match (known, &examined.verdict) {
                (Some(true), Verdict::Holds | Verdict::Explained(..)) => None,
                (Some(_), verdict) => Some(format!("{} on {revision}: {verdict:?}", test.name)),
                (None, _) => Some(format!("{} on {revision} is not recorded", test.name)),
            }
        };
        let revisions = id.family.revisions().filter(|revision| !ONLY_IN_CI.contains(revision));
        revisions.map(examine).filter_map(wrong).collect::<Vec<_>>()
    };
    let mut wrong = Vec::new();
    run(&Plan::all(2, 2), processors(), &|| false, &work, &mut |_, some| wrong.extend(some));
    assert!(
        wrong.is_empty(),
        "{} results changed, the smallest tests first:\n{}\n\
         after a review: ifq enumerate --record tests/golden/enumeration",
        wrong.len(),
        wrong[..wrong.len().min(10)].join("\n")
    );
}

#[test]
fn results_come_in_the_order_of_the_plan_for_any_number_of_threads() {
    let plan = Plan::all(2, 1);
    let names = |workers| {
        let mut names = Vec::new();
        let work = |id: TestId, code: &_| format::print(&Examiner::new(true).test(id, code));
        run(&plan, workers, &|| false, &work, &mut |id, text| names.push((id.name(), text)));
        names
    };
    let one = names(1);
    assert_eq!(one.len() as u64, plan.count());
    assert_eq!(one, names(2));
    assert_eq!(one, names(7));
}

#[test]
fn shards_partition_the_plan_and_from_continues_it() {
    let names = |plan: &Plan| {
        let mut names = Vec::new();
        let _ = plan.for_each(&mut |id, _| {
            names.push(id.name());
            std::ops::ControlFlow::Continue(())
        });
        assert_eq!(names.len() as u64, plan.count());
        names
    };
    let whole = Plan::all(2, 2);
    let all = names(&whole);
    let shards: Vec<Vec<String>> =
        (0..3).map(|shard| names(&Plan { shard, shards: 3, ..whole.clone() })).collect();
    for (at, name) in all.iter().enumerate() {
        assert_eq!(shards[at % 3][at / 3], *name);
    }
    assert_eq!(shards.iter().map(Vec::len).sum::<usize>(), all.len());
    let from = TestId::named(&all[1000]).unwrap();
    assert_eq!(names(&Plan { from: Some(from), ..whole.clone() }), all[1000..]);
    assert_eq!(names(&Plan { from: Some(from), last: Some(from), ..whole }), [from.name()]);
}

#[test]
fn every_name_finds_its_test() {
    let _ = Plan::all(3, 1).for_each(&mut |id, code| {
        assert_eq!(TestId::named(&id.name()), Some(id));
        assert_eq!(stream::code(id.family, id.size, id.number).as_deref(), Some(code));
        std::ops::ControlFlow::Continue(())
    });
}

/// The id of the second area depends on whether the first `add-area` failed. It must be part of the state that the search
/// knows, or the search stops with a panic.
#[test]
fn two_areas_and_a_fault_can_be_searched() {
    let text = "test t\nrevision import-7.3\nring A\nsocket s@0\nqueues 1\nsetup\n\
        ifq = A: register queue=0 buffers=2 entries=2\nA: recv ifq s\n\
        A: add-area ifq buffers=1\nA: add-area ifq buffers=1\ns: send 128\nc = A: wait\n\
        fault area-import max 1\nexpect holds\n";
    let test = format::parse("t", text).unwrap_or_else(|e| panic!("{e}"));
    let variant = Variant::of(Revision::Import73);
    let found = explore(&test, &variant, &Limits::default(), &mut |_| {});
    assert!(found.exhaustive && found.counterexample.is_none());
}
