//! Reads the header lines `fault`, `expect` and `schedule`.

use std::ops::Range;

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::revision::{Defect, Revision};
use ifq_model::test::{Expect, Schedule, ScheduleOrder, limits};

use super::cursor::{Cursor, pick};
use super::error::Problem;
use super::header::Header;
use super::lex::Token;
use super::place::Place;
use super::words::{SCHEDULE_VERSION, one_of, unknown};

/// Words that end a list of defects.
const CLAUSES: [&str; 3] = ["with", "without", "on"];

impl<'t> Header<'t> {
    /// `all [max N]` or `POINT... [max N]`.
    pub(super) fn faults(&mut self, cursor: &mut Cursor<'_, 't>) -> Result<(), Problem> {
        if cursor.eat("all") {
            self.test.faults = FaultPoint::ALL.to_vec();
        } else {
            for word in cursor.words(&["max"], "`all` or a fault point")? {
                self.note(Place::Fault(self.test.faults.len()), word.span.clone());
                let point = pick("fault point", word, FaultPoint::ALL, FaultPoint::name)?;
                self.test.faults.push(point);
            }
        }
        self.test.max_faults = 1;
        if cursor.eat("max") {
            let (max, span) = cursor.number("number of faults", 1, limits::FAULTS)?;
            self.note(Place::MaxFaults, span);
            self.test.max_faults = max;
        }
        Ok(())
    }

    /// `holds|violates INVARIANT [with DEFECT...] [without DEFECT...] [on REVISION...]`.
    pub(super) fn expect(
        &mut self,
        cursor: &mut Cursor<'_, 't>,
        head: &Token<'t>,
    ) -> Result<(), Problem> {
        let i = self.test.expect.len();
        self.note(Place::Expect(i), head.span.clone());
        let violates = if cursor.eat("holds") {
            None
        } else {
            cursor.exactly("violates", "`holds` or `violates INVARIANT`")?;
            Some(invariant(cursor.word("an invariant")?)?)
        };
        let defects = self.defects(cursor, "with", |j| Place::ExpectDefect(i, j))?;
        let without = self.defects(cursor, "without", |j| Place::ExpectWithout(i, j))?;
        let revisions = self.on_revisions(cursor, |j| Place::ExpectRevision(i, j))?;
        self.test.expect.push(Expect { revisions, defects, without, violates });
        Ok(())
    }

    /// `[with DEFECT...] [without DEFECT...]` of a schedule in words, or
    /// `v1 [with DEFECT...] [without DEFECT...] : DECISION...`.
    pub(super) fn schedule(&mut self, cursor: &mut Cursor<'_, 't>) -> Result<(), Problem> {
        let in_words = !cursor.eat(SCHEDULE_VERSION);
        if in_words && cursor.peek().is_some_and(|t| !CLAUSES[..2].contains(&t.text)) {
            let expected = format!(
                "`with`, `without`, the end of the line, or the version `{SCHEDULE_VERSION}` and decisions"
            );
            return Err(cursor.unexpected(&expected));
        }
        let defects = self.defects(cursor, "with", Place::ScheduleDefect)?;
        let without = self.defects(cursor, "without", Place::ScheduleWithout)?;
        if in_words {
            let order = ScheduleOrder::Switches(Vec::new());
            self.test.schedule = Some(Schedule { defects, without, order });
            return cursor.finish("the end of the line; the lines of the schedule follow");
        }
        cursor.exactly(":", "`:` and the decisions")?;
        let mut decisions = Vec::new();
        while cursor.peek().is_some() {
            decisions.push(cursor.number("decision", 0, u32::MAX)?.0);
        }
        let order = ScheduleOrder::Decisions(decisions);
        self.test.schedule = Some(Schedule { defects, without, order });
        Ok(())
    }

    /// `on REVISION...`, or nothing.
    pub(super) fn on_revisions(
        &mut self,
        cursor: &mut Cursor<'_, 't>,
        place: impl Fn(usize) -> Place,
    ) -> Result<Vec<Revision>, Problem> {
        if !cursor.eat("on") {
            return Ok(Vec::new());
        }
        let words = cursor.words(&[], "a revision")?;
        self.sorted("revision", &words, &Revision::ALL, Revision::name, place)
    }

    /// `CLAUSE DEFECT...`, or nothing.
    pub(super) fn defects(
        &mut self,
        cursor: &mut Cursor<'_, 't>,
        clause: &str,
        place: impl Fn(usize) -> Place,
    ) -> Result<Vec<Defect>, Problem> {
        if !cursor.eat(clause) {
            return Ok(Vec::new());
        }
        let words = cursor.words(&CLAUSES, "a defect")?;
        self.sorted("defect", &words, Defect::ALL, Defect::name, place)
    }

    /// The values that the words name, sorted.
    fn sorted<T: Copy + Ord>(
        &mut self,
        what: &str,
        words: &[&Token<'t>],
        all: &[T],
        name: fn(T) -> &'static str,
        place: impl Fn(usize) -> Place,
    ) -> Result<Vec<T>, Problem> {
        let mut found: Vec<(T, Range<usize>)> = Vec::with_capacity(words.len());
        for word in words {
            found.push((pick(what, word, all, name)?, word.span.clone()));
        }
        found.sort_by_key(|(value, _)| *value);
        for (j, (_, span)) in found.iter().enumerate() {
            self.note(place(j), span.clone());
        }
        Ok(found.into_iter().map(|(value, _)| value).collect())
    }
}

fn invariant(word: &Token<'_>) -> Result<Invariant, Problem> {
    let names = Invariant::ALL.map(|i| i.to_string());
    let found = names.iter().position(|n| n == word.text);
    found.map(|i| Invariant::ALL[i]).ok_or_else(|| {
        let names = || names.iter().map(String::as_str);
        Problem::new(word.span.clone(), unknown("invariant", word.text, names()), one_of(names()))
    })
}
