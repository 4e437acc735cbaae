//! Header lines: everything but sections and steps.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::revision::{Defect, Revision};
use ifq_model::scenario::{
    Expect, RingId, Schedule, Socket, SocketId, Test, Var, VarId, VarKind, limits,
};

use super::cursor::Cursor;
use super::error::Problem;
use super::lex::{Line, Token};
use super::place::{Part, Place};
use super::statement::Scope;
use super::words::{SCHEDULE_VERSION, one_of, unknown};

/// The test so far, and where its parts stand.
pub(super) struct Header<'t> {
    pub(super) test: Test,
    rings: Vec<&'t str>,
    sockets: Vec<&'t str>,
    text: &'t str,
    /// First words of the lines that were read.
    seen: BTreeSet<&'t str>,
    /// The names after `observe`, if there is such a line.
    observe: Option<Vec<Token<'t>>>,
    spans: BTreeMap<Place, Range<usize>>,
}

impl<'t> Header<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let test = Test::default();
        Header {
            test,
            rings: Vec::new(),
            sockets: Vec::new(),
            text,
            seen: BTreeSet::new(),
            observe: None,
            spans: BTreeMap::new(),
        }
    }

    /// Whether the line `test` has been read.
    pub(super) fn started(&self) -> bool {
        self.seen.contains("test")
    }

    /// Remembers where a part stands.
    pub(super) fn note(&mut self, place: Place, span: Range<usize>) {
        self.spans.insert(place, span);
    }

    /// Where a part stands; what is missing is missing at the end.
    pub(super) fn span(&self, place: Place, end: usize) -> Range<usize> {
        let whole = match place {
            Place::Step(section, i, _) => Place::Step(section, i, Part::Verb),
            other => other,
        };
        let span = self.spans.get(&place).or_else(|| self.spans.get(&whole));
        span.cloned().unwrap_or(end..end)
    }

    /// Adds a bound name; its kind is set when its step is read.
    pub(super) fn var(&mut self, i: usize, name: &Token<'t>) {
        self.note(Place::Var(i), name.span.clone());
        self.test.vars.push(Var { name: name.text.to_owned(), kind: VarKind::Status });
    }

    /// The names of rings and sockets. Of two that are the same the first counts.
    pub(super) fn scope(&self) -> Scope<'t> {
        let mut scope = Scope::default();
        for (id, name) in (0..=RingId::MAX).zip(&self.rings) {
            scope.rings.entry(name).or_insert(id);
        }
        for (id, name) in (0..=SocketId::MAX).zip(&self.sockets) {
            scope.sockets.entry(name).or_insert(id);
        }
        scope
    }

    /// Reads a header line.
    pub(super) fn line(&mut self, line: &Line<'t>) -> Result<(), Problem> {
        let mut cursor = Cursor::new(line);
        let word = cursor.word("a header")?;
        let repeats = matches!(word.text, "ring" | "socket" | "expect");
        if !self.seen.insert(word.text) && !repeats {
            let message = format!("a second line `{}`", word.text);
            return Err(Problem::new(word.span.clone(), message, "each header once"));
        }
        match word.text {
            "test" => {
                let name = cursor.word("the test's name")?;
                self.note(Place::Name, name.span.clone());
                self.test.name = name.text.to_owned();
            }
            "about" => {
                let rest = &self.text[word.span.end..line.end];
                self.test.about = rest.trim_matches([' ', '\t']).to_owned();
                self.note(Place::About, word.span.clone());
                return Ok(());
            }
            "revision" => self.revisions(&mut cursor)?,
            "ring" => self.ring_names(&mut cursor)?,
            "socket" => self.socket_names(&mut cursor)?,
            "queues" => {
                let (queues, span) = cursor.number("number of queues", 0, limits::QUEUES)?;
                self.note(Place::Queues, span);
                self.test.queues = queues;
            }
            "fault" => self.faults(&mut cursor)?,
            "observe" => {
                let names = cursor.words("", "names or `nothing`")?;
                self.observe = Some(names.into_iter().cloned().collect());
            }
            "expect" => self.expect(&mut cursor, word)?,
            _ => self.schedule(&mut cursor)?,
        }
        cursor.finish("the end of the line")
    }

    fn revisions(&mut self, cursor: &mut Cursor<'_, 't>) -> Result<(), Problem> {
        for word in cursor.words("", "a revision")? {
            self.note(Place::Revision(self.test.revisions.len()), word.span.clone());
            let revision = pick("revision", word, &Revision::ALL, |r| r.name())?;
            self.test.revisions.push(revision);
        }
        Ok(())
    }

    fn ring_names(&mut self, cursor: &mut Cursor<'_, 't>) -> Result<(), Problem> {
        for word in cursor.words("", "a ring's name")? {
            room("rings", self.rings.len(), limits::RINGS, word)?;
            self.note(Place::Ring(self.rings.len()), word.span.clone());
            self.rings.push(word.text);
            self.test.rings.push(word.text.to_owned());
        }
        Ok(())
    }

    fn socket_names(&mut self, cursor: &mut Cursor<'_, 't>) -> Result<(), Problem> {
        loop {
            let word = cursor.word("a socket: `NAME` or `NAME@QUEUE`")?;
            let i = self.sockets.len();
            room("sockets", i, limits::SOCKETS, word)?;
            self.note(Place::Socket(i), word.span.clone());
            let mut queue = None;
            if cursor.eat("@") {
                let (number, span) = cursor.number("queue", 0, limits::QUEUES - 1)?;
                self.note(Place::SocketQueue(i), span);
                queue = Some(number);
            }
            self.sockets.push(word.text);
            self.test.sockets.push(Socket { name: word.text.to_owned(), queue });
            if cursor.peek().is_none() {
                return Ok(());
            }
        }
    }

    fn faults(&mut self, cursor: &mut Cursor<'_, 't>) -> Result<(), Problem> {
        for word in cursor.words("max", "a fault point")? {
            self.note(Place::Fault(self.test.faults.len()), word.span.clone());
            let point = pick("fault point", word, &FaultPoint::ALL, |p| p.name())?;
            self.test.faults.push(point);
        }
        self.test.max_faults = 1;
        if cursor.eat("max") {
            let (max, span) = cursor.number("number of faults", 1, limits::FAULTS)?;
            self.note(Place::MaxFaults, span);
            self.test.max_faults = max;
        }
        Ok(())
    }

    fn expect(&mut self, cursor: &mut Cursor<'_, 't>, head: &Token<'t>) -> Result<(), Problem> {
        let i = self.test.expect.len();
        self.note(Place::Expect(i), head.span.clone());
        let violates = if cursor.eat("holds") {
            None
        } else {
            cursor.exactly("violates", "`holds` or `violates INVARIANT`")?;
            let word = cursor.word("an invariant")?;
            let names = Invariant::ALL.map(|i| i.to_string());
            let found = names.iter().position(|n| n == word.text);
            let Some(found) = found else {
                let names = || names.iter().map(String::as_str);
                let message = unknown("invariant", word.text, names());
                return Err(Problem::new(word.span.clone(), message, one_of(names())));
            };
            Some(Invariant::ALL[found])
        };
        let defects = self.with(cursor, |j| Place::ExpectDefect(i, j))?;
        self.test.expect.push(Expect { defects, violates });
        Ok(())
    }

    /// `with DEFECT...`, if it stands there.
    fn with(
        &mut self,
        cursor: &mut Cursor<'_, 't>,
        place: impl Fn(usize) -> Place,
    ) -> Result<Vec<Defect>, Problem> {
        let mut defects = Vec::new();
        if cursor.eat("with") {
            for word in cursor.words("", "a defect")? {
                self.note(place(defects.len()), word.span.clone());
                defects.push(pick("defect", word, &Defect::ALL, |d| d.name())?);
            }
        }
        Ok(defects)
    }

    fn schedule(&mut self, cursor: &mut Cursor<'_, 't>) -> Result<(), Problem> {
        let version = format!("the version `{SCHEDULE_VERSION}`");
        cursor.exactly(SCHEDULE_VERSION, &version)?;
        let defects = self.with(cursor, Place::ScheduleDefect)?;
        cursor.exactly(":", "`:` and the decisions")?;
        let mut decisions = Vec::new();
        while cursor.peek().is_some() {
            decisions.push(cursor.number("decision", 0, u32::MAX)?.0);
        }
        self.test.schedule = Some(Schedule { defects, decisions });
        Ok(())
    }

    /// Finds the observed names, now that all are known.
    pub(super) fn observe(&mut self, scope: &Scope<'t>) -> Result<(), Problem> {
        let words = match self.observe.take() {
            None => {
                // There are at most `limits::VARS`.
                self.test.observe = (0..self.test.vars.len() as VarId).collect();
                return Ok(());
            }
            Some(words) if words.len() == 1 && words[0].text == "nothing" => return Ok(()),
            Some(words) => words,
        };
        for (i, word) in words.iter().enumerate() {
            let Some(&var) = scope.vars.get(word.text) else {
                let known = || scope.vars.keys().copied();
                let message = unknown("name", word.text, known());
                let expected = format!("a name: {}", one_of(known()));
                return Err(Problem::new(word.span.clone(), message, expected));
            };
            self.note(Place::Observe(i), word.span.clone());
            self.test.observe.push(var);
        }
        Ok(())
    }
}

/// The value whose name a word is.
fn pick<T: Copy>(
    what: &str,
    word: &Token<'_>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Problem> {
    let names = || all.iter().map(|&v| name(v));
    all.iter().copied().find(|&v| name(v) == word.text).ok_or_else(|| {
        let message = unknown(what, word.text, names());
        Problem::new(word.span.clone(), message, one_of(names()))
    })
}

/// Whether a list may grow.
fn room(what: &str, len: usize, max: usize, word: &Token<'_>) -> Result<(), Problem> {
    if len < max {
        return Ok(());
    }
    Err(Problem::new(word.span.clone(), format!("more than {max} {what}"), "fewer of them"))
}
