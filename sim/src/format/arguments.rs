//! The arguments of each verb.

use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::{Event, Op, RingId, RqWord, SocketId, Source, VarId, limits};

use super::cursor::pick;
use super::error::Problem;
use super::lex::Token;
use super::place::Part;
use super::statement::Reader;
use super::words::Verb;

impl<'l, 't> Reader<'l, 't, '_> {
    /// The arguments of a verb that stands alone.
    pub(super) fn plain(&mut self, verb: Verb) -> Result<Op, Problem> {
        match verb.word {
            "close" => Ok(Op::Close { fd: self.arg("a file descriptor", Part::Fd)? }),
            "return" => {
                let cqe = self.arg("a completion", Part::Cqe)?;
                self.cursor.exactly("to", &format!("`to`, as in {}", self.usage))?;
                let ifq = self.ifq()?;
                Ok(Op::Return { cqe, ifq, locked: !self.cursor.eat("unlocked") })
            }
            "unregister-netdev" => Ok(Op::UnregisterNetdev),
            "scribble" => {
                let ifq = self.ifq()?;
                let word = self.rq_word()?;
                let value = self.cursor.value(&format!("a value, as in {}", self.usage))?;
                Ok(Op::Scribble { ifq, word, value })
            }
            other => unreachable!("{other} has a prefix"),
        }
    }

    /// The arguments of a verb of a ring.
    pub(super) fn on_ring(&mut self, verb: Verb, ring: RingId) -> Result<Op, Problem> {
        match verb.word {
            "register" => self.register(ring),
            "clone" => {
                let from = self.word("the source ring")?;
                let from = self.ring(from, Part::From)?;
                Ok(Op::Clone { ring, from, ifq: self.ifq()?, modifiers: self.modifiers()? })
            }
            "export" => Ok(Op::Export { ring, ifq: self.ifq()?, modifiers: self.modifiers()? }),
            "import" => {
                let fd = self.arg("a file descriptor", Part::Fd)?;
                Ok(Op::Import { ring, fd, modifiers: self.modifiers()? })
            }
            "flush" => Ok(Op::Flush { ring, ifq: self.ifq()?, modifiers: self.modifiers()? }),
            "add-area" => {
                let ifq = self.ifq()?;
                let buffers = self.keyed("buffers", Part::Buffers, 1, limits::BUFFERS)?;
                Ok(Op::AddArea { ring, ifq, buffers, modifiers: self.modifiers()? })
            }
            "arm" => {
                let ifq = self.ifq()?;
                let event = pick("event", self.word("an event")?, Event::ALL, Event::name)?;
                Ok(Op::Arm { ring, ifq, event, modifiers: self.modifiers()? })
            }
            "mmap" => Ok(Op::Mmap { ring, ifq: self.ifq()? }),
            "exit" => Ok(Op::Exit { ring }),
            "wait" => Ok(Op::Wait { ring }),
            "recv" => self.recv(ring),
            other => unreachable!("{other} is no verb of a ring"),
        }
    }

    /// The arguments of a verb of a socket.
    pub(super) fn on_socket(&mut self, verb: Verb, socket: SocketId) -> Result<Op, Problem> {
        match verb.word {
            "shutdown" => Ok(Op::Shutdown { socket }),
            "send" => {
                let (len, span) = self.cursor.number("number of bytes", 1, limits::SEND)?;
                self.parts.push((Part::Len, span));
                Ok(Op::Send { socket, len })
            }
            other => unreachable!("{other} is no verb of a socket"),
        }
    }

    fn register(&mut self, ring: RingId) -> Result<Op, Problem> {
        let source = if self.cursor.eat("nodev") {
            Source::Nodev
        } else if self.cursor.load_in_step().is_some_and(|t| t.text == "queue") {
            // `validate` knows how many there are.
            Source::Queue(self.keyed("queue", Part::Queue, 0, u32::MAX)?)
        } else {
            let expected = format!("`nodev` or `queue=N`, as in {}", self.usage);
            return Err(self.cursor.unexpected(&expected));
        };
        let buffers = self.keyed("buffers", Part::Buffers, 1, limits::BUFFERS)?;
        let entries = self.keyed("entries", Part::Entries, 0, limits::ENTRIES)?;
        Ok(Op::Register { ring, source, buffers, entries, modifiers: self.modifiers()? })
    }

    fn recv(&mut self, ring: RingId) -> Result<Op, Problem> {
        let ifq = self.ifq()?;
        let socket = self.word("a socket")?;
        let socket = self.socket(socket)?;
        let limited = self.cursor.load_in_step().is_some_and(|t| t.text == "len");
        let len = if limited { self.keyed("len", Part::Len, 0, u32::MAX)? } else { 0 };
        Ok(Op::Recv { ring, ifq, socket, len, modifiers: self.modifiers()? })
    }

    /// `head`, `tail`, `off=N` or `pad=N`.
    fn rq_word(&mut self) -> Result<RqWord, Problem> {
        let usage = self.usage;
        let word = self.word("a word of the refill ring")?;
        self.parts.push((Part::Word, word.span.clone()));
        let kind = pick("word", word, &["head", "tail", "off", "pad"], |word| word)?;
        if matches!(kind, "head" | "tail") {
            return Ok(if kind == "head" { RqWord::Head } else { RqWord::Tail });
        }
        self.cursor.exactly("=", &format!("`{kind}=N`, as in {usage}"))?;
        let (index, span) = self.cursor.number("index", 0, limits::ENTRIES - 1)?;
        self.parts.push((Part::Word, span));
        Ok(if kind == "off" { RqWord::Off(index) } else { RqWord::Pad(index) })
    }

    /// `with QUIRK...`, if it stands there.
    fn modifiers(&mut self) -> Result<ArgModifiers, Problem> {
        if !self.cursor.eat("with") {
            return Ok(ArgModifiers::NONE);
        }
        let mut found: Vec<(ArgModifier, &Token<'t>)> = Vec::new();
        for word in self.cursor.words(&["after"], "what is unusual about the argument")? {
            let modifier = pick("modifier", word, ArgModifier::ALL, ArgModifier::name)?;
            if found.iter().any(|(q, _)| *q == modifier) {
                let message = format!("`{modifier}` is listed twice");
                return Err(Problem::new(word.span.clone(), message, "each once"));
            }
            found.push((modifier, word));
        }
        found.sort_by_key(|(modifier, _)| *modifier);
        for (j, (_, word)) in found.iter().enumerate() {
            self.parts.push((Part::ArgModifier(j), word.span.clone()));
        }
        Ok(found.into_iter().map(|(modifier, _)| modifier).collect())
    }

    fn keyed(&mut self, key: &str, part: Part, min: u32, max: u32) -> Result<u32, Problem> {
        let (number, span) = self.cursor.keyed(key, min, max, self.usage)?;
        self.parts.push((part, span));
        Ok(number)
    }

    fn word(&mut self, what: &str) -> Result<&'l Token<'t>, Problem> {
        self.cursor.word(&format!("{what}, as in {}", self.usage))
    }

    fn ifq(&mut self) -> Result<VarId, Problem> {
        self.arg("an ifq", Part::Ifq)
    }

    /// A name as an argument.
    fn arg(&mut self, what: &str, part: Part) -> Result<VarId, Problem> {
        let word = self.word(what)?;
        self.parts.push((part, word.span.clone()));
        self.var(word)
    }
}
