//! Reads one step: `[NAME =] [RING: or SOCKET:] VERB ARGUMENTS [with MODIFIER...] [after NAME...]`.

use std::collections::BTreeMap;
use std::ops::Range;

use ifq_model::test::op::{OPERATIONS, Operation, VerbPrefix};
use ifq_model::test::{Op, RingId, SocketId, Step, VarId};

use super::cursor::Cursor;
use super::error::Problem;
use super::lex::{Token, TokenLine};
use super::mistakes::{self, Receiver};
use super::place::StepPart;
use super::words::{one_of, unknown, verbs};

/// The names that a file defines.
#[derive(Debug, Default)]
pub(super) struct Scope<'t> {
    pub(super) rings: BTreeMap<&'t str, RingId>,
    pub(super) sockets: BTreeMap<&'t str, SocketId>,
    pub(super) vars: BTreeMap<&'t str, VarId>,
}

/// The spans of the parts of a step.
pub(super) type PartSpans = Vec<(StepPart, Range<usize>)>;

/// The token before `=`, if the line binds a name.
pub(super) fn bound<'l, 't>(line: &'l TokenLine<'t>) -> Option<&'l Token<'t>> {
    match line.tokens.as_slice() {
        [name, equals, ..] if equals.text == "=" => Some(name),
        _ => None,
    }
}

/// Reads a step.
pub(super) fn read_step<'t>(
    line: &TokenLine<'t>,
    scope: &Scope<'t>,
) -> Result<(Step, PartSpans), Problem> {
    let mut reader = StepReader { cursor: Cursor::new(line), scope, parts: Vec::new(), usage: "" };
    let bind = reader.bind(bound(line).is_some())?;
    let op = reader.operation()?;
    let after = reader.after()?;
    Ok((Step { op, bind, after }, reader.parts))
}

/// Reads the tokens of one step.
pub(super) struct StepReader<'l, 't, 's> {
    pub(super) cursor: Cursor<'l, 't>,
    scope: &'s Scope<'t>,
    pub(super) parts: PartSpans,
    /// How a step with this verb is written.
    pub(super) usage: &'static str,
}

impl<'t> StepReader<'_, 't, '_> {
    fn bind(&mut self, binds: bool) -> Result<Option<VarId>, Problem> {
        if !binds {
            return Ok(None);
        }
        let name = self.cursor.word("a name before `=`")?;
        self.cursor.exactly("=", "`=`")?;
        self.parts.push((StepPart::Bind, name.span.clone()));
        self.var(name).map(Some)
    }

    fn operation(&mut self) -> Result<Op, Problem> {
        let head = self.cursor.word("a verb, or a ring or socket and `:`")?;
        if !self.cursor.eat(":") {
            if !verbs().any(|verb| verb == head.text)
                && let Some(next) = self.cursor.peek()
            {
                mistakes::missing_colon(&[head.clone(), next.clone()])?;
            }
            let operation = self.verb(head)?;
            return match operation.prefix() {
                VerbPrefix::None => self.arguments((operation.blank)(), None),
                VerbPrefix::Ring => Err(self.no_prefix(head, "ring")),
                VerbPrefix::Socket => Err(self.no_prefix(head, "socket")),
            };
        }
        let word = self.cursor.word("a verb")?;
        let operation = self.verb(word)?;
        let receiver = self.receiver(head);
        if operation.prefix() == VerbPrefix::None {
            return Err(mistakes::prefix_of_a_free_verb(head, receiver, operation));
        }
        let fits = matches!(
            (operation.prefix(), receiver),
            (VerbPrefix::Ring, Receiver::Ring) | (VerbPrefix::Socket, Receiver::Socket)
        );
        if !fits && let Some((message, hint)) = mistakes::wrong_receiver(head, receiver, operation)
        {
            let expected = match operation.prefix() {
                VerbPrefix::Socket => {
                    format!("a socket: {}", one_of(self.scope.sockets.keys().copied()))
                }
                _ => format!("a ring: {}", one_of(self.scope.rings.keys().copied())),
            };
            return Err(Problem::new(head.span.clone(), message, expected + &hint));
        }
        self.arguments((operation.blank)(), Some(head))
    }

    /// What the name before a `:` is.
    fn receiver(&self, head: &Token<'t>) -> Receiver {
        if self.scope.rings.contains_key(head.text) {
            Receiver::Ring
        } else if self.scope.sockets.contains_key(head.text) {
            Receiver::Socket
        } else if self.scope.vars.contains_key(head.text) {
            Receiver::Result
        } else {
            Receiver::Unknown
        }
    }

    fn verb(&mut self, word: &Token<'t>) -> Result<&'static Operation, Problem> {
        self.parts.push((StepPart::Verb, word.span.clone()));
        let Some(operation) = OPERATIONS.iter().find(|o| o.verb == word.text) else {
            let message = unknown("verb", word.text, verbs());
            return Err(Problem::new(word.span.clone(), message, one_of(verbs())));
        };
        self.usage = operation.usage;
        Ok(operation)
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
            self.parts.push((StepPart::After(j), word.span.clone()));
            after.push(self.var(word)?);
        }
        self.cursor.finish("a name or the end of the line")?;
        Ok(after)
    }

    pub(super) fn ring(&mut self, word: &Token<'t>, part: StepPart) -> Result<RingId, Problem> {
        self.parts.push((part, word.span.clone()));
        match self.scope.rings.get(word.text) {
            Some(&ring) => Ok(ring),
            None => Err(self.not_a("ring", word, self.scope.rings.keys())),
        }
    }

    pub(super) fn socket(&mut self, word: &Token<'t>) -> Result<SocketId, Problem> {
        self.parts.push((StepPart::Socket, word.span.clone()));
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

    /// The error for a word that is not a ring, socket or bound name.
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
