//! `ifq enumerate --record` and `--compare`: hashes of the outcomes of all tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ifq_model::revision::Revision;
use ifq_sim::enumerate::plan::Plan;
use ifq_sim::enumerate::record::Record;
use ifq_sim::enumerate::{TestId, count, run};

use super::args::{Args, write};
use super::progress::Progress;
use crate::cmd::exit::{EXIT_DIFFERENCE, EXIT_INTERRUPTED, EXIT_OK};
use crate::cmd::selection::usage_error;
use crate::machine::interrupted;

/// Changed tests that are printed; the others are counted.
const SHOWN: usize = 20;

/// Records the hashes of the tests of a plan; returns the exit code. Hashes of other tests in the folder
/// are kept.
pub(super) fn record(args: &Args, plan: &Plan, folder: &Path) -> u8 {
    let mut records = match read(args, plan, folder, false) {
        Ok(records) => records,
        Err(error) => return usage_error(error),
    };
    for record in records.values_mut() {
        plan.parts().for_each(|(family, size)| record.clear(family, size));
    }
    let done = examine(args, plan, &mut |id, revision, hash| {
        if let Some(record) = records.get_mut(&revision) {
            record.push(id, hash);
        }
    });
    if !done {
        return EXIT_INTERRUPTED;
    }
    if let Err(error) = std::fs::create_dir_all(folder) {
        return usage_error(format!("{}: {error}", folder.display()));
    }
    for (revision, record) in &records {
        if let Err(error) = write(folder, &file_name(args, *revision), &record.print()) {
            return usage_error(error);
        }
    }
    EXIT_OK
}

/// Compares the tests of a plan with the recorded hashes; returns the exit code.
pub(super) fn compare(args: &Args, plan: &Plan, folder: &Path) -> u8 {
    let records = match read(args, plan, folder, true) {
        Ok(records) => records,
        Err(error) => return usage_error(error),
    };
    let mut changed = sizes_changed(args, plan, &records);
    let (mut tests, mut unknown) = (0_u64, 0_u64);
    let done = examine(args, plan, &mut |id, revision, hash| {
        tests += 1;
        match records.get(&revision).and_then(|record| record.agrees(id, hash)) {
            Some(true) => {}
            Some(false) => changed.push(format!("{} on {revision}", id.name())),
            None => unknown += 1,
        }
    });
    for line in changed.iter().take(SHOWN) {
        outln!("changed: {line}");
    }
    if changed.len() > SHOWN {
        outln!("and {} more", changed.len() - SHOWN);
    }
    outln!("{tests} results, {} changed, {unknown} not recorded", changed.len());
    if let Some(first) = changed.first() {
        let name = first.split(' ').next().unwrap_or_default();
        outln!("print a test: ifq enumerate --only {name}");
    }
    match (done, changed.is_empty() && unknown == 0) {
        (false, _) => EXIT_INTERRUPTED,
        (true, true) => EXIT_OK,
        (true, false) => EXIT_DIFFERENCE,
    }
}

/// The families and sizes that have another number of tests than recorded.
fn sizes_changed(args: &Args, plan: &Plan, records: &BTreeMap<Revision, Record>) -> Vec<String> {
    let mut changed = Vec::new();
    for (family, size) in plan.parts() {
        let tests = count(family, size);
        for revision in args.revisions_of(family) {
            let recorded = records.get(&revision).map_or(0, |record| record.len(family, size));
            if recorded != tests {
                let (rings, ops) = (size.rings, size.ops);
                changed.push(format!(
                    "{} with {rings} rings and {ops} operations on {revision}: {tests} tests, \
                     {recorded} recorded",
                    family.name()
                ));
            }
        }
    }
    changed
}

/// Calls a function with the hash of each test and revision, in order; returns whether all were examined.
fn examine(args: &Args, plan: &Plan, sink: &mut dyn FnMut(TestId, Revision, u64)) -> bool {
    let examiner = args.examiner();
    let total = plan.count();
    let mut progress = Progress::new(total);
    let work = |id: TestId, code: &_| {
        let test = examiner.test(id, code);
        let hash = |revision| (revision, examiner.examine(&test, revision).hash(&test));
        args.revisions_of(id.family).map(hash).collect::<Vec<_>>()
    };
    run::run(plan, args.processors(), &interrupted, &work, &mut |id, hashes| {
        hashes.into_iter().for_each(|(revision, hash)| sink(id, revision, hash));
        progress.done(id, String::new);
    });
    progress.finish();
    if interrupted() {
        progress.say_interrupted(total);
    }
    !interrupted()
}

/// Reads the recorded hashes of all revisions of a plan.
fn read(
    args: &Args,
    plan: &Plan,
    folder: &Path,
    required: bool,
) -> Result<BTreeMap<Revision, Record>, String> {
    let revisions = plan.families.iter().flat_map(|family| args.revisions_of(*family));
    let mut records = BTreeMap::new();
    for revision in revisions {
        if records.contains_key(&revision) {
            continue;
        }
        let path: PathBuf = folder.join(file_name(args, revision));
        let record = match std::fs::read_to_string(&path) {
            Ok(text) => {
                Record::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?
            }
            Err(error) if required || error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", path.display()));
            }
            Err(_) => Record::default(),
        };
        records.insert(revision, record);
    }
    Ok(records)
}

fn file_name(args: &Args, revision: Revision) -> String {
    let faults = if args.faults { "-faults" } else { "" };
    format!("{revision}{faults}.txt")
}
