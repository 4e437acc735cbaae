//! A run as a table: one column a thread, one row a step, and the step where it broke.

use std::fmt::Write as _;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{ContentArrangement, Table};
use ifq_model::invariant::Violation;

use crate::executor::{Trace, TraceEvent};

/// How a table is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Characters in a line.
    pub width: u16,
    /// Show the steps of set-up, too.
    pub full: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Layout { width: 160, full: false }
    }
}

/// The table of a run, the numbers of its steps as a replay counts them, and what broke.
#[must_use]
pub fn render(trace: &Trace, violation: Option<&Violation>, layout: Layout) -> String {
    let first = if layout.full { 0 } else { set_up(trace) };
    let shown = &trace.events[first..];
    let columns: Vec<usize> =
        (0..trace.threads.len()).filter(|t| shown.iter().any(|e| e.thread == *t)).collect();
    let mut table = Table::new();
    table
        .load_preset(ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(layout.width);
    let names = columns.iter().map(|t| trace.threads[*t].clone());
    table.set_header(std::iter::once("step".to_owned()).chain(names));
    for (i, event) in shown.iter().enumerate() {
        let number = (first + i).to_string();
        let cells =
            columns.iter().map(|t| if *t == event.thread { cell(event) } else { String::new() });
        table.add_row(std::iter::once(number).chain(cells));
    }
    let mut text = String::new();
    if first > 0 {
        let _ = writeln!(text, "(steps 0 to {}: set-up)", first - 1);
    }
    let _ = writeln!(text, "{table}");
    if let Some(violation) = violation {
        let last = trace.events.len().saturating_sub(1);
        let _ = match trace.repeats_from {
            Some(from) => writeln!(text, "steps {from} to {last} come back for ever: {violation}"),
            None => writeln!(text, "step {last} breaks {violation}"),
        };
    }
    text
}

/// How many steps come before the first one of a thread of the test.
fn set_up(trace: &Trace) -> usize {
    trace.events.iter().position(|e| e.thread != 0 && e.action != "spawn").unwrap_or(0)
}

fn cell(event: &TraceEvent) -> String {
    let mut text = String::new();
    if !event.function.is_empty() {
        text.push_str(&event.function);
        text.push('\n');
    }
    text.push_str(&event.action);
    for change in &event.changes {
        let _ = write!(text, "\n{} {} -> {}", change.word, number(change.old), number(change.new));
    }
    for note in &event.notes {
        text.push('\n');
        text.push_str(note);
    }
    text
}

/// Small numbers in decimal; pointers and flags in hexadecimal.
fn number(value: u64) -> String {
    if value < 1 << 20 { value.to_string() } else { format!("{value:#x}") }
}
