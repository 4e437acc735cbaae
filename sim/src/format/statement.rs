//! One step: `[NAME =] [RING: or SOCKET:] VERB ARGUMENTS [with QUIRK...] [after NAME...]`. The
//! arguments are in `arguments`.

use std::collections::BTreeMap;
use std::ops::Range;

use ifq_model::test::{Op, RingId, SocketId, Step, VarId};

use super::cursor::Cursor;
use super::error::Problem;
use super::lex::{Line, Token};
use super::place::Part;
use super::words::{Prefix, VERBS, Verb, one_of, unknown};

/// The names of a file.
#[derive(Debug, Default)]
pub(super) struct Scope<'t> {
    pub(super) rings: BTreeMap<&'t str, RingId>,
    pub(super) sockets: BTreeMap<&'t str, SocketId>,
    pub(super) vars: BTreeMap<&'t str, VarId>,
}

/// Where the parts of a step stand.
pub(super) type Parts = Vec<(Part, Range<usize>)>;

/// The token before `=`, if the line binds a name.
pub(super) fn bound<'l, 't>(line: &'l Line<'t>) -> Option<&'l Token<'t>> {
    match line.tokens.as_slice() {
        [name, equals, ..] if equals.text == "=" => Some(name),
        _ => None,
    }
}

/// Reads a step.
pub(super) fn statement<'t>(line: &Line<'t>, scope: &Scope<'t>) -> Result<(Step, Parts), Problem> {
    let mut reader = Reader { cursor: Cursor::new(line), scope, parts: Vec::new(), usage: "" };
    let bind = reader.bind(bound(line).is_some())?;
    let op = reader.operation()?;
    let after = reader.after()?;
    Ok((Step { op, bind, after }, reader.parts))
}

pub(super) struct Reader<'l, 't, 's> {
    pub(super) cursor: Cursor<'l, 't>,
    scope: &'s Scope<'t>,
    pub(super) parts: Parts,
    /// How the verb is used.
    pub(super) usage: &'static str,
}

impl<'l, 't> Reader<'l, 't, '_> {
    fn bind(&mut self, binds: bool) -> Result<Option<VarId>, Problem> {
        if !binds {
            return Ok(None);
        }
        let name = self.cursor.word("a name before `=`")?;
        self.cursor.exactly("=", "`=`")?;
        self.parts.push((Part::Bind, name.span.clone()));
        self.var(name).map(Some)
    }

    fn operation(&mut self) -> Result<Op, Problem> {
        let head = self.cursor.word("a verb, or a ring or socket and `:`")?;
        if !self.cursor.eat(":") {
            let verb = self.verb(head)?;
            return match verb.prefix {
                Prefix::None => self.plain(verb),
                Prefix::Ring => Err(self.no_prefix(head, "ring")),
                Prefix::Socket => Err(self.no_prefix(head, "socket")),
            };
        }
        let word = self.cursor.word("a verb")?;
        let verb = self.verb(word)?;
        match verb.prefix {
            Prefix::Ring => {
                let ring = self.ring(head, Part::Ring)?;
                self.on_ring(verb, ring)
            }
            Prefix::Socket => {
                let socket = self.socket(head)?;
                self.on_socket(verb, socket)
            }
            Prefix::None => {
                let message = format!("`{}` takes no ring or socket before it", verb.word);
                Err(Problem::new(head.span.clone(), message, verb.usage))
            }
        }
    }

    fn verb(&mut self, word: &Token<'t>) -> Result<Verb, Problem> {
        self.parts.push((Part::Verb, word.span.clone()));
        let Some(verb) = VERBS.iter().find(|v| v.word == word.text) else {
            let verbs = || VERBS.iter().map(|v| v.word);
            let message = unknown("verb", word.text, verbs());
            return Err(Problem::new(word.span.clone(), message, one_of(verbs())));
        };
        self.usage = verb.usage;
        Ok(*verb)
    }

    fn no_prefix(&self, verb: &Token<'t>, what: &str) -> Problem {
        let message = format!("`{}` needs a {what} before it", verb.text);
        Problem::new(verb.span.clone(), message, self.usage)
    }

    fn after(&mut self) -> Result<Vec<VarId>, Problem> {
        let mut after = Vec::new();
        if !self.cursor.eat("after") {
            let expected = format!("{}, then `after NAME...` or the end of the line", self.usage);
            self.cursor.finish(&expected)?;
            return Ok(after);
        }
        for (j, word) in self.cursor.words(&[], "a name to wait for")?.into_iter().enumerate() {
            self.parts.push((Part::After(j), word.span.clone()));
            after.push(self.var(word)?);
        }
        self.cursor.finish("a name or the end of the line")?;
        Ok(after)
    }

    pub(super) fn ring(&mut self, word: &Token<'t>, part: Part) -> Result<RingId, Problem> {
        self.parts.push((part, word.span.clone()));
        match self.scope.rings.get(word.text) {
            Some(&ring) => Ok(ring),
            None => Err(self.not_a("ring", word, self.scope.rings.keys())),
        }
    }

    pub(super) fn socket(&mut self, word: &Token<'t>) -> Result<SocketId, Problem> {
        self.parts.push((Part::Socket, word.span.clone()));
        match self.scope.sockets.get(word.text) {
            Some(&socket) => Ok(socket),
            None => Err(self.not_a("socket", word, self.scope.sockets.keys())),
        }
    }

    pub(super) fn var(&self, word: &Token<'t>) -> Result<VarId, Problem> {
        match self.scope.vars.get(word.text) {
            Some(&var) => Ok(var),
            None => Err(self.not_a("name", word, self.scope.vars.keys())),
        }
    }

    /// The error that a word is no ring, socket or bound name.
    fn not_a<'k>(
        &self,
        what: &str,
        word: &Token<'t>,
        known: impl Iterator<Item = &'k &'t str> + Clone,
    ) -> Problem
    where
        't: 'k,
    {
        let message = if self.scope.rings.contains_key(word.text) {
            format!("`{}` is a ring", word.text)
        } else if self.scope.sockets.contains_key(word.text) {
            format!("`{}` is a socket", word.text)
        } else if self.scope.vars.contains_key(word.text) {
            format!("`{}` is the result of a step", word.text)
        } else {
            unknown(what, word.text, known.clone().copied())
        };
        Problem::new(word.span.clone(), message, format!("a {what}: {}", one_of(known.copied())))
    }
}
