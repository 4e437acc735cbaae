//! The figures and the survivors, as Markdown for `docs/mutation-testing.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::list::{Entry, List, Reason, Verdict};

/// The document that has the report, relative to the workspace.
pub const DOCUMENT: &str = "docs/mutation-testing.md";
const BEGIN: &str = "<!-- Written by `ifq-mutation report`: begin. -->\n";
const END: &str = "<!-- end -->";

/// How many mutants of a list ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// A check failed or met a limit.
    pub noticed: usize,
    /// Survived, and no program can see a difference.
    pub equivalent: usize,
    /// Survived otherwise.
    pub open: usize,
}

impl Figures {
    /// Counts the entries of a list.
    #[must_use]
    pub fn of(list: &List, reasons: &BTreeMap<String, Reason>) -> Figures {
        let mut figures = Figures::default();
        for entry in &list.entries {
            let equivalent = reasons.get(&entry.id).is_some_and(|reason| reason.equivalent);
            match (entry.verdict.survived(), equivalent) {
                (false, _) => figures.noticed += 1,
                (true, true) => figures.equivalent += 1,
                (true, false) => figures.open += 1,
            }
        }
        figures
    }

    /// The share of the noticed mutants among those that are not equivalent, in tenths of a percent, rounded down.
    #[must_use]
    pub fn per_mille(self) -> usize {
        self.noticed * 1000 / (self.noticed + self.open).max(1)
    }
}

/// The check of a verdict without the test file.
fn by(verdict: &Verdict) -> Option<String> {
    let (Verdict::Killed(check) | Verdict::NotEnded(check)) = verdict else { return None };
    Some(check.split(':').next().unwrap_or(check).to_owned())
}

/// The report of a list.
#[must_use]
pub fn report(list: &List, reasons: &BTreeMap<String, Reason>) -> String {
    let figures = Figures::of(list, reasons);
    let mut killed: BTreeMap<(String, bool), usize> = BTreeMap::new();
    for entry in &list.entries {
        if let Some(check) = by(&entry.verdict) {
            let limit = matches!(entry.verdict, Verdict::NotEnded(_));
            *killed.entry((check, limit)).or_default() += 1;
        }
    }
    let mut rows: Vec<_> = killed.into_iter().collect();
    rows.sort_by_key(|((_, limit), n)| (*limit, std::cmp::Reverse(*n)));
    let mut text = String::from("| | mutants |\n|---|---|\n");
    let _ = writeln!(text, "| drawn with seed {} | {} |", list.seed, list.entries.len());
    for ((check, limit), n) in rows {
        let what = if limit { "met a limit in" } else { "killed by" };
        let _ = writeln!(text, "| {what} {check} | {n} |");
    }
    let _ = writeln!(text, "| survived, equivalent | {} |", figures.equivalent);
    let _ = writeln!(text, "| survived, not equivalent | {} |", figures.open);
    let (whole, tenth) = (figures.per_mille() / 10, figures.per_mille() % 10);
    let noticed = figures.noticed + figures.open;
    let _ = writeln!(
        text,
        "\nOf the {noticed} mutants that are not equivalent, {} are noticed: {whole}.{tenth} %.",
        figures.noticed
    );
    for (equivalent, title) in [(false, "Not equivalent"), (true, "Equivalent")] {
        survivors(&mut text, list, reasons, equivalent, title);
    }
    text
}

/// The survivors of one kind, by reason.
fn survivors(
    text: &mut String,
    list: &List,
    reasons: &BTreeMap<String, Reason>,
    equivalent: bool,
    title: &str,
) {
    let mut groups: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in list.entries.iter().filter(|entry| entry.verdict.survived()) {
        if let Some(reason) = reasons.get(&entry.id).filter(|r| r.equivalent == equivalent) {
            groups.entry(&reason.text).or_default().push(entry);
        }
    }
    if groups.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n### {title}\n\n| function | mutants | reason |\n|---|---|---|");
    for (reason, mut entries) in groups {
        entries.sort_by_key(|entry| (&entry.function, &entry.change, &entry.id));
        let mut functions: Vec<_> =
            entries.iter().map(|entry| format!("`{}`", entry.function)).collect();
        functions.dedup();
        let _ = writeln!(text, "| {} | {} | {reason} |", functions.join(", "), entries.len());
    }
}

/// A document with the report in the place for it; `None` if it has no such place.
#[must_use]
pub fn insert(document: &str, report: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{report}\n{END}{after}"))
}
