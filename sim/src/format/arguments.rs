//! Reads the arguments of a step, as the table of operations describes them.

use ifq_model::test::arg::{Arg, NumberForm, NumberSpec, UsedResult};
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::literal::{self, Literal};
use ifq_model::test::{Event, Layout, Op, RqWord, Source, limits};

use super::cursor::pick;
use super::error::Problem;
use super::lex::Token;
use super::place::StepPart;
use super::step::StepReader;

impl<'l, 't> StepReader<'l, 't, '_> {
    /// Reads the arguments into an operation. `prefix`: the word before the `:`, for a ring or a
    /// socket.
    pub(super) fn arguments(
        &mut self,
        mut op: Op,
        prefix: Option<&Token<'t>>,
    ) -> Result<Op, Problem> {
        let mut result = Ok(());
        op.for_each_arg(|arg| {
            if result.is_ok() {
                result = self.argument(arg, prefix);
            }
        });
        result.map(|()| op)
    }

    fn argument(&mut self, arg: Arg<'_>, prefix: Option<&Token<'t>>) -> Result<(), Problem> {
        match arg {
            Arg::Driver(ring) => {
                if let Some(word) = prefix {
                    *ring = self.ring(word, StepPart::Ring)?;
                }
            }
            Arg::Peer(socket) => {
                if let Some(word) = prefix {
                    *socket = self.socket(word)?;
                }
            }
            Arg::OtherRing(ring) => {
                let word = self.word("the source ring")?;
                *ring = self.ring(word, StepPart::OtherRing)?;
            }
            Arg::Socket(socket) => {
                let word = self.word("a socket")?;
                *socket = self.socket(word)?;
            }
            Arg::Result(var, used) => {
                if let Some(literal) = self.literal(used)? {
                    *var = literal.to_var();
                    return Ok(());
                }
                let word = self.word(result_name(used))?;
                self.parts.push((StepPart::Result(used), word.span.clone()));
                *var = self.var(word)?;
            }
            Arg::Keyword(word) => {
                self.cursor.exactly(word, &format!("`{word}`, as in {}", self.usage))?;
            }
            Arg::Source(source) => *source = self.source()?,
            Arg::Number(number, spec) => *number = self.number(spec)?,
            Arg::Event(event) => {
                *event = pick("event", self.word("an event")?, Event::ALL, Event::name)?;
            }
            Arg::RqWord(word) => *word = self.rq_word()?,
            Arg::Value(value) => {
                *value = self.cursor.value(&format!("a value, as in {}", self.usage))?;
            }
            Arg::Layout(layout) => *layout = self.layout()?,
            Arg::Locked(locked) => *locked = !self.cursor.eat("unlocked"),
            Arg::Checked(checked) => *checked = !self.cursor.eat("unchecked"),
            Arg::Modifiers(modifiers) => *modifiers = self.modifiers()?,
        }
        Ok(())
    }

    /// An id, `fd=N` or `ring=RING`, where the verb allows it.
    fn literal(&mut self, used: UsedResult) -> Result<Option<Literal>, Problem> {
        let Some(next) = self.cursor.peek() else { return Ok(None) };
        let (text, part) = (next.text, StepPart::Result(used));
        let is_number = text.starts_with(|c: char| c.is_ascii_digit());
        let literal = match (used, text) {
            (UsedResult::OwnIfq, _) if is_number => {
                let (number, span) = self.cursor.number("id", 0, literal::MAX)?;
                self.parts.push((part, span));
                Literal::Number(number)
            }
            (UsedResult::AnyFd, "fd") => {
                let (number, span) = self.cursor.keyed("fd", 0, literal::MAX, self.usage)?;
                self.parts.push((part, span));
                Literal::Number(number)
            }
            (UsedResult::AnyFd, "ring") => {
                self.cursor.eat("ring");
                self.cursor.exactly("=", &format!("`ring=RING`, as in {}", self.usage))?;
                let word = self.word("a ring")?;
                Literal::Ring(self.ring(word, part)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(literal))
    }

    fn number(&mut self, spec: NumberSpec) -> Result<u32, Problem> {
        let NumberSpec { key, what, form, min, max } = spec;
        let given = self.cursor.peek().is_some_and(|t| t.text == key);
        let (number, span) = match form {
            NumberForm::OptionalKeyed if !given => return Ok(0),
            NumberForm::OptionalKeyed | NumberForm::Keyed => {
                self.cursor.keyed(key, min, max, self.usage)?
            }
            NumberForm::Plain => self.cursor.number(what, min, max)?,
        };
        self.parts.push((StepPart::Number(key), span));
        Ok(number)
    }

    /// `frags=N`, `packets=N`, or nothing.
    fn layout(&mut self) -> Result<Layout, Problem> {
        let Some(next) = self.cursor.peek() else { return Ok(Layout::Pages) };
        let (key, layout): (&str, fn(u32) -> Layout) = match next.text {
            "frags" => ("frags", Layout::Frags),
            "packets" => ("packets", Layout::Packets),
            _ => return Ok(Layout::Pages),
        };
        let (number, span) = self.cursor.keyed(key, 2, limits::FRAGS, self.usage)?;
        self.parts.push((StepPart::Number(key), span));
        Ok(layout(number))
    }

    /// `nodev` or `queue=N`. The validation knows how many queues there are.
    fn source(&mut self) -> Result<Source, Problem> {
        if self.cursor.eat("nodev") {
            return Ok(Source::Nodev);
        }
        if self.cursor.peek().is_none_or(|t| t.text != "queue") {
            let expected = format!("`nodev` or `queue=N`, as in {}", self.usage);
            return Err(self.cursor.unexpected(&expected));
        }
        let (queue, span) = self.cursor.keyed("queue", 0, u32::MAX, self.usage)?;
        self.parts.push((StepPart::Number("queue"), span));
        Ok(Source::Queue(queue))
    }

    /// `head`, `tail`, `off=N` or `pad=N`.
    fn rq_word(&mut self) -> Result<RqWord, Problem> {
        let usage = self.usage;
        let word = self.word("a word of the refill ring")?;
        self.parts.push((StepPart::RqWord, word.span.clone()));
        let name = pick("word", word, &["head", "tail", "off", "pad"], |word| word)?;
        if matches!(name, "head" | "tail") {
            return Ok(if name == "head" { RqWord::Head } else { RqWord::Tail });
        }
        self.cursor.exactly("=", &format!("`{name}=N`, as in {usage}"))?;
        let (index, span) = self.cursor.number("index", 0, limits::ENTRIES - 1)?;
        self.parts.push((StepPart::RqWord, span));
        Ok(if name == "off" { RqWord::Off(index) } else { RqWord::Pad(index) })
    }

    /// `with MODIFIER...`, or nothing.
    fn modifiers(&mut self) -> Result<ArgModifiers, Problem> {
        if !self.cursor.eat("with") {
            return Ok(ArgModifiers::NONE);
        }
        let mut found: Vec<(ArgModifier, &Token<'t>)> = Vec::new();
        for word in self.cursor.words(&["after"], "a modifier of the argument")? {
            let modifier = pick("modifier", word, ArgModifier::ALL, ArgModifier::name)?;
            if found.iter().any(|(other, _)| *other == modifier) {
                let message = format!("`{modifier}` is listed twice");
                return Err(Problem::new(word.span.clone(), message, "each modifier once"));
            }
            found.push((modifier, word));
        }
        found.sort_by_key(|(modifier, _)| *modifier);
        for (j, (_, word)) in found.iter().enumerate() {
            self.parts.push((StepPart::ArgModifier(j), word.span.clone()));
        }
        Ok(found.into_iter().map(|(modifier, _)| modifier).collect())
    }

    fn word(&mut self, what: &str) -> Result<&'l Token<'t>, Problem> {
        self.cursor.word(&format!("{what}, as in {}", self.usage))
    }
}

/// What an error calls a result that an operation uses.
fn result_name(used: UsedResult) -> &'static str {
    match used {
        UsedResult::OwnIfq | UsedResult::AnyIfq => "an ifq",
        UsedResult::Fd | UsedResult::AnyFd => "a file descriptor",
        UsedResult::Cqe => "a completion",
        UsedResult::Request => "a request",
    }
}
