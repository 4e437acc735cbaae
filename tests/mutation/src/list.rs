//! The list of results that the repository keeps, and the reasons why mutants survive.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;

use crate::mutant::Mutant;

/// Where the list is, relative to the workspace.
pub const LIST: &str = "tests/mutation/mutants.txt";
/// Where the reasons are, relative to the workspace.
pub const REASONS: &str = "tests/mutation/survivors.txt";

/// The longest source text in the list.
const LONGEST: usize = 70;

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This check failed.
    Killed(String),
    /// This check met its limit of states, time or memory, and does not without the mutant.
    NotEnded(String),
    /// All checks that run its code passed.
    Survived,
    /// No check runs its code.
    NotReached,
}

impl Verdict {
    /// Whether no check has noticed the mutant.
    #[must_use]
    pub fn survived(&self) -> bool {
        matches!(self, Verdict::Survived | Verdict::NotReached)
    }

    fn parse(text: &str) -> Option<Verdict> {
        if let Some(check) = text.strip_prefix("killed by ") {
            return Some(Verdict::Killed(check.to_owned()));
        }
        if let Some(check) = text.strip_prefix("not ended: ") {
            return Some(Verdict::NotEnded(check.to_owned()));
        }
        match text {
            "survived" => Some(Verdict::Survived),
            "not reached" => Some(Verdict::NotReached),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Killed(check) => write!(f, "killed by {check}"),
            Verdict::NotEnded(check) => write!(f, "not ended: {check}"),
            Verdict::Survived => write!(f, "survived"),
            Verdict::NotReached => write!(f, "not reached"),
        }
    }
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// [`Mutant::id`].
    pub id: String,
    /// What became of it.
    pub verdict: Verdict,
    /// `FILE:LINE:COLUMN`.
    pub place: String,
    /// [`Mutant::function`].
    pub function: String,
    /// [`Mutant::change`].
    pub change: String,
    /// [`Mutant::original`], cut.
    pub original: String,
}

impl Entry {
    /// The line of a mutant.
    #[must_use]
    pub fn new(mutant: &Mutant, verdict: Verdict) -> Entry {
        let Mutant { file, line, column, function, change, original, id } = mutant;
        let mut cut: String = original.chars().take(LONGEST).collect();
        if cut.len() < original.len() {
            cut.push_str(" ...");
        }
        Entry {
            id: id.clone(),
            verdict,
            place: format!("{file}:{line}:{column}"),
            function: function.clone(),
            change: change.clone(),
            original: cut,
        }
    }

    fn parse(line: &str) -> Option<Entry> {
        let mut fields = line.split('\t').map(str::to_owned);
        let (id, verdict) = (fields.next()?, Verdict::parse(&fields.next()?)?);
        let (place, function) = (fields.next()?, fields.next()?);
        let (change, original) = (fields.next()?, fields.next()?);
        fields.next().is_none().then_some(Entry { id, verdict, place, function, change, original })
    }
}

/// The list, with the draw that it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The seed of the draw.
    pub seed: u64,
    /// All lines, in the order of the draw.
    pub entries: Vec<Entry>,
}

impl List {
    /// Reads the list of a workspace.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it.
    pub fn load(root: &Path) -> std::io::Result<List> {
        let text = std::fs::read_to_string(root.join(LIST))?;
        Self::parse(&text).map_err(std::io::Error::other)
    }

    /// Reads a list.
    ///
    /// # Errors
    /// Names the line that is none of a list.
    pub fn parse(text: &str) -> Result<List, String> {
        let mut list = List::default();
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(seed) = line.strip_prefix("# seed ") {
                list.seed = seed.parse().map_err(|_| format!("line {number}: no seed"))?;
            } else if !line.starts_with('#') {
                let entry = Entry::parse(line).ok_or(format!("line {number}: no mutant"))?;
                list.entries.push(entry);
            }
        }
        Ok(list)
    }

    /// The text of the list.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = String::from(
            "# Written by .ci/mutants; see docs/mutation-testing.md.\n\
             # Name, verdict, place, function, change and original source of each mutant.\n",
        );
        let _ = writeln!(text, "# seed {}", self.seed);
        for Entry { id, verdict, place, function, change, original } in &self.entries {
            let _ = writeln!(text, "{id}\t{verdict}\t{place}\t{function}\t{change}\t{original}");
        }
        text
    }
}

/// Why a mutant survives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Whether no program can see a difference, so that no test can be written.
    pub equivalent: bool,
    /// One sentence or more.
    pub text: String,
}

/// Reads the reasons: a line `equivalent: REASON` or `open: REASON`, and below it, indented, the names of the
/// mutants; what follows a name on its line is a comment.
///
/// # Errors
/// Names the line that is wrong.
pub fn reasons(text: &str) -> Result<BTreeMap<String, Reason>, String> {
    let mut reasons = BTreeMap::new();
    let mut current = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if let Some(text) = line.strip_prefix("equivalent: ") {
            current = Some(Reason { equivalent: true, text: text.to_owned() });
        } else if let Some(text) = line.strip_prefix("open: ") {
            current = Some(Reason { equivalent: false, text: text.to_owned() });
        } else {
            let id = line.strip_prefix("    ").and_then(|rest| rest.split_whitespace().next());
            let (Some(id), Some(reason)) = (id, &current) else {
                return Err(format!("line {number}: neither a reason nor a mutant"));
            };
            if reasons.insert(id.to_owned(), reason.clone()).is_some() {
                return Err(format!("line {number}: {id} has two reasons"));
            }
        }
    }
    Ok(reasons)
}
