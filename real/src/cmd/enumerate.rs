//! `ifq enumerate`: every test up to a size.

mod args;
mod check;
pub(super) mod progress;
mod record;

use std::ops::ControlFlow;

use ifq_sim::enumerate::count;
use ifq_sim::enumerate::plan::Plan;
use ifq_sim::format;

pub use self::args::Args;
pub(super) use self::args::shard;
use self::args::write;
use super::exit::EXIT_OK;
use super::selection::usage_error;

/// Enumerates; returns the exit code.
#[must_use]
pub fn enumerate(args: &Args) -> u8 {
    let plan = args.plan();
    if plan.families.is_empty() {
        return usage_error("no family has such a revision");
    }
    if let Some(id) = args.only.or(args.from)
        && id.number >= count(id.family, id.size)
    {
        let tests = count(id.family, id.size);
        return usage_error(format!("{}: the family has {tests} tests of this size", id.name()));
    }
    if args.count {
        return print_counts(args, &plan);
    }
    if args.check {
        return check::check(args, &plan);
    }
    match (&args.record, &args.compare) {
        (Some(folder), _) => record::record(args, &plan, folder),
        (_, Some(folder)) => record::compare(args, &plan, folder),
        (None, None) => print_tests(args, &plan),
    }
}

fn print_counts(args: &Args, plan: &Plan) -> u8 {
    let (mut total, mut before) = (0, None);
    for (family, size) in plan.parts() {
        if before != Some(size) && !args.json {
            outln!("{} rings, {} operations:", size.rings, size.ops);
        }
        before = Some(size);
        let tests = count(family, size);
        total += tests;
        match args.json {
            true => outln!(
                "{}",
                serde_json::json!({
                    "family": family.name(), "rings": size.rings, "ops": size.ops, "tests": tests,
                })
            ),
            false => outln!("{tests:>9}  {}", family.name()),
        }
    }
    if !args.json {
        outln!("{total:>9}  in total");
        if plan.shards > 1 || plan.from.is_some() {
            outln!("{:>9}  in the selected part", plan.count());
        }
    }
    EXIT_OK
}

/// Prints the tests, or writes them into a folder.
fn print_tests(args: &Args, plan: &Plan) -> u8 {
    if let Some(folder) = &args.out
        && let Err(error) = std::fs::create_dir_all(folder)
    {
        return usage_error(format!("{}: {error}", folder.display()));
    }
    let (examiner, mut failed, mut first) = (args.examiner(), None, true);
    let _ = plan.for_each(&mut |id, code| {
        let mut test = examiner.test(id, code);
        test.revisions = args.revisions_of(id.family).collect();
        let text = match (args.json, serde_json::to_string(&test)) {
            (true, Ok(line)) => line + "\n",
            _ => format::print(&test),
        };
        match &args.out {
            Some(folder) => {
                let extension = if args.json { "json" } else { "ifq" };
                if let Err(error) = write(folder, &format!("{}.{extension}", test.name), &text) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            None => {
                let gap = if first || args.json { "" } else { "\n" };
                out!("{gap}{text}");
            }
        }
        first = false;
        ControlFlow::Continue(())
    });
    failed.map_or(EXIT_OK, usage_error)
}
