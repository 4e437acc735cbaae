//! Reads header lines: all lines except sections and steps.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ifq_model::revision::{Entry, Revision};
use ifq_model::test::{RingId, RingSetup, Socket, SocketId, Test, Var, VarId, VarKind, limits};

use super::cursor::{Cursor, pick};
use super::error::Problem;
use super::lex::{Token, TokenLine};
use super::place::{Place, StepPart, SwitchPart};
use super::step::Scope;
use super::words::{one_of, unknown};

/// The test read so far, and the spans of its parts.
pub(super) struct Header<'t> {
    pub(super) test: Test,
    rings: Vec<&'t str>,
    sockets: Vec<&'t str>,
    text: &'t str,
    /// First words of the lines read so far.
    seen: BTreeSet<&'t str>,
    /// The names after `observe`, if there is such a line.
    observe: Option<Vec<Token<'t>>>,
    /// The lines of the conditions.
    pub(super) conditions: Vec<TokenLine<'t>>,
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
            conditions: Vec::new(),
            spans: BTreeMap::new(),
        }
    }

    /// Whether the line `test` has been read.
    pub(super) fn started(&self) -> bool {
        self.seen.contains("test")
    }

    /// Records the span of a part.
    pub(super) fn note(&mut self, place: Place, span: Range<usize>) {
        self.spans.insert(place, span);
    }

    /// The span of a part; for a missing part, the end of the text.
    pub(super) fn span(&self, place: Place, end: usize) -> Range<usize> {
        let whole = match place {
            Place::Step(section, i, _) => Place::Step(section, i, StepPart::Verb),
            Place::Switch(i, _) => Place::Switch(i, SwitchPart::Thread),
            other => other,
        };
        let span = self.spans.get(&place).or_else(|| self.spans.get(&whole));
        span.cloned().unwrap_or(end..end)
    }

    /// Adds a variable. Its kind is set when its step is read.
    pub(super) fn var(&mut self, i: usize, name: &Token<'t>) {
        self.note(Place::Var(i), name.span.clone());
        self.test.vars.push(Var { name: name.text.to_owned(), kind: VarKind::Status });
    }

    /// The names of rings and sockets. Of two equal names, the first counts.
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
    pub(super) fn line(&mut self, line: &TokenLine<'t>) -> Result<(), Problem> {
        let mut cursor = Cursor::new(line);
        let word = cursor.word("a header")?;
        let repeats =
            matches!(word.text, "ring" | "socket" | "expect" | "exists" | "forbid" | "always");
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
            "shows" => self.shows(&mut cursor)?,
            "ring" => self.rings(&mut cursor)?,
            "socket" => self.socket_names(&mut cursor)?,
            "queues" => {
                let (queues, span) = cursor.number("number of queues", 0, limits::QUEUES)?;
                self.note(Place::Queues, span);
                self.test.queues = queues;
            }
            "fault" => self.faults(&mut cursor)?,
            "observe" => {
                let names = cursor.words(&[], "names or `nothing`")?;
                self.observe = Some(names.into_iter().cloned().collect());
            }
            "expect" => self.expect(&mut cursor, word)?,
            "exists" | "forbid" | "always" => {
                // A condition names results, which are known after all steps were read.
                self.conditions.push(line.clone());
                return Ok(());
            }
            _ => {
                self.note(Place::Switches, word.span.clone());
                self.schedule(&mut cursor)?;
            }
        }
        cursor.finish("the end of the line")
    }

    fn revisions(&mut self, cursor: &mut Cursor<'_, 't>) -> Result<(), Problem> {
        for word in cursor.words(&[], "a revision")? {
            self.note(Place::Revision(self.test.revisions.len()), word.span.clone());
            let revision = pick("revision", word, &Revision::ALL, |r| r.name())?;
            self.test.revisions.push(revision);
        }
        Ok(())
    }

    fn shows(&mut self, cursor: &mut Cursor<'_, 't>) -> Result<(), Problem> {
        for word in cursor.words(&[], "an id of the catalogue")? {
            self.note(Place::Show(self.test.shows.len()), word.span.clone());
            self.test.shows.push(pick("entry", word, &Entry::all(), Entry::name)?);
        }
        Ok(())
    }

    /// `NAME... [with SETUP...]`.
    fn rings(&mut self, cursor: &mut Cursor<'_, 't>) -> Result<(), Problem> {
        let first = self.rings.len();
        for word in cursor.words(&["with"], "a ring's name")? {
            room("rings", self.rings.len(), limits::RINGS, word)?;
            self.note(Place::Ring(self.rings.len()), word.span.clone());
            self.rings.push(word.text);
            self.test.rings.push(word.text.to_owned());
        }
        if !cursor.eat("with") {
            return Ok(());
        }
        let words = cursor.words(&[], "a setup option of the rings")?;
        let mut setups = Vec::new();
        for word in words {
            setups.push((pick("setup option", word, RingSetup::ALL, RingSetup::name)?, word));
        }
        setups.sort_by_key(|(setup, _)| *setup as u8);
        for ring in first..self.rings.len() {
            for (setup, word) in &setups {
                self.note(Place::Setup(self.test.setups.len()), word.span.clone());
                // No overflow: there are at most `limits::RINGS` rings.
                self.test.setups.push((ring as RingId, *setup));
            }
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

    /// Resolves the observed names after all names are known.
    pub(super) fn observe(&mut self, scope: &Scope<'t>) -> Result<(), Problem> {
        let words = match self.observe.take() {
            None => {
                // No overflow: there are at most `limits::VARS` variables.
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

/// An error if a list is full.
fn room(what: &str, len: usize, max: usize, word: &Token<'_>) -> Result<(), Problem> {
    if len < max {
        return Ok(());
    }
    Err(Problem::new(word.span.clone(), format!("more than {max} {what}"), "fewer of them"))
}
