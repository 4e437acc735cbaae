//! `ifq check --catalogue`: runs the searches of the catalogue and prints one line for each entry.

use comfy_table::{Cell, CellAlignment, Color};
use ifq_sim::commands::catalogue::{
    Detection, EntryReport, EntryResult, FixResult, reports, searches,
};
use ifq_sim::format::Input;

use super::exit::{EXIT_BOUNDED, EXIT_DIFFERENCE, EXIT_OK};
use super::interrupt::Interrupted;
use super::pool::run_all;
use super::search::SearchArgs;
use crate::machine::interrupted;

/// Checks the catalogue with the given tests; returns the exit code.
pub(super) fn check(search: &SearchArgs, json: bool, inputs: &[Input]) -> u8 {
    let searches = searches(inputs);
    let results = run_all(&searches, search.processors(), |one, bar| {
        let label = one.label();
        one.run(search.limits(usize::MAX), &mut |at| bar.show(&label, at))
    });
    let done = results.iter().flatten().count();
    if interrupted() {
        let done = format!("{done} of {} searches are done", searches.len());
        let running = Vec::new();
        return Interrupted { done, running, checkpoint: None, can_resume: false }.report();
    }
    let results: Vec<EntryResult> = results.into_iter().flatten().collect();
    let reports = reports(&searches, &results);
    if json {
        for report in &reports {
            if let Ok(line) = serde_json::to_string(report) {
                outln!("{line}");
            }
        }
    } else {
        print_table(&reports);
    }
    if reports.iter().any(EntryReport::is_wrong) {
        EXIT_DIFFERENCE
    } else if reports.iter().any(|report| report.bounded > 0) {
        EXIT_BOUNDED
    } else {
        EXIT_OK
    }
}

fn print_table(reports: &[EntryReport]) {
    let mut table = crate::output::table();
    table.set_header([
        "id", "found", "test", "revision", "violates", "steps", "replays", "fixed", "time",
    ]);
    for index in [5, 8] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for report in reports {
        let colour = if report.problems.is_empty() { Color::Green } else { Color::Red };
        let steps = |n: u64| if report.exact { n.to_string() } else { format!("<= {n}") };
        table.add_row([
            Cell::new(report.id),
            Cell::new(detection_word(report.found)).fg(colour),
            cell(report.test.as_deref()),
            cell(report.variant()),
            cell(report.invariant),
            cell(report.steps.map(steps)),
            cell(report.replays.map(|yes| if yes { "yes" } else { "NO" })),
            Cell::new(fix_word(report.fixed)),
            Cell::new(format!("{:.2} s", report.seconds)),
        ]);
    }
    outln!("{}", table.trim_fmt());
    for report in reports {
        for problem in &report.problems {
            outln!("{}: {problem}", report.id);
        }
    }
    let good = reports.iter().filter(|report| report.problems.is_empty()).count();
    let bad = reports.len() - good;
    outln!("{} entries, {good} as expected, {bad} with problems", reports.len());
}

fn cell(content: Option<impl ToString>) -> Cell {
    Cell::new(content.map_or_else(|| "-".to_owned(), |c| c.to_string()))
}

fn detection_word(found: Detection) -> &'static str {
    match found {
        Detection::Yes => "yes",
        Detection::No => "NO",
        Detection::NoFile => "no file",
        Detection::NotReported => "not reported",
        Detection::FalseAlarm => "FALSE ALARM",
    }
}

fn fix_word(fixed: Option<FixResult>) -> &'static str {
    match fixed {
        Some(FixResult::Hold) => "holds",
        Some(FixResult::Fail) => "FAILS",
        Some(FixResult::None) => "NO FILE",
        None => "-",
    }
}
