//! Reads and prints the lines of a schedule in words:
//! `THREAD [or any] until PLACE [failing POINT...]`.

use ifq_model::fault::FaultPoint;
use ifq_model::names::{FIELDS, KINDS};
use ifq_model::test::Test;
use ifq_model::test::schedule::{
    Access, AccessKind, CodePlace, FailingFault, ObjectName, Owner, Place as Until, Position,
    Switch, ThreadName,
};

use super::cursor::{Cursor, is_mark, pick};
use super::error::Problem;
use super::header::Header;
use super::lex::{Token, TokenLine};
use super::place::{Place, SwitchPart};
use super::words::{HEADERS, one_of, unknown};

/// Words before the parenthesis of a work item or RCU callback.
const WORK: [&str; 6] = ["main", "exit", "rcu", "ifq-rcu", "release", "pp"];

/// What a line of a schedule looks like.
pub(super) const SWITCH: &str = "`THREAD until PLACE`";

/// What a place looks like.
const PLACE: &str = "`done`, `blocked`, `enter FUNCTION`, `return from FUNCTION` or `[FUNCTION:] before|after ACCESS(OBJECT)`";

/// Whether a line is one of a schedule in words.
pub(super) fn is_switch(line: &TokenLine<'_>) -> bool {
    match line.tokens.as_slice() {
        [_, until, ..] if until.text == "until" => true,
        [_, or, any, ..] if or.text == "or" && any.text == "any" => true,
        [first, mark, rest @ ..] => {
            let until = rest.iter().any(|token| token.text == "until");
            mark.text == "(" && until && !HEADERS.contains(&first.text)
        }
        _ => false,
    }
}

impl<'t> Header<'t> {
    /// Reads a line of the schedule, when all names are known.
    pub(super) fn switch(&mut self, line: &TokenLine<'t>, i: usize) -> Result<Switch, Problem> {
        let mut cursor = Cursor::new(line);
        let note = |part, token: &Token<'t>| (Place::Switch(i, part), token.span.clone());
        let mut spans = Vec::new();
        if let Some(first) = cursor.peek() {
            spans.push(note(SwitchPart::Thread, first));
        }
        let thread = self.thread_name(&mut cursor)?;
        let or_any = cursor.eat("or");
        if or_any {
            cursor.exactly("any", "`or any`")?;
        }
        cursor.exactly("until", "`until PLACE`")?;
        let until = if cursor.eat("done") {
            Until::Done
        } else if cursor.eat("blocked") {
            Until::Blocked
        } else {
            Until::At(self.code_place(&mut cursor, &mut |part, token| spans.push(note(part, token)))?)
        };
        let mut failing = Vec::new();
        if cursor.eat("failing") {
            for word in cursor.words(&[], "a fault point")? {
                spans.push(note(SwitchPart::Failing(failing.len()), word));
                let (name, occurrence) = split_occurrence(word)?;
                let point = pick("fault point", &name, FaultPoint::ALL, FaultPoint::name)?;
                failing.push(FailingFault { point, occurrence });
            }
        }
        cursor.finish("`failing POINT...` or the end of the line")?;
        for (place, span) in spans {
            self.note(place, span);
        }
        Ok(Switch { thread, or_any, until, failing })
    }

    /// `NAME`, `main()`, `exit(RING)`, `rcu(RING)`, `ifq-rcu(ifqN)`, `release(ifqN)` or `pp(ifqN [POOL])`.
    fn thread_name(&self, cursor: &mut Cursor<'_, 't>) -> Result<ThreadName, Problem> {
        let word = cursor.word("the name of a thread")?;
        if !cursor.eat("(") {
            let names = || self.test.threads.iter().map(|thread| thread.name.as_str());
            let found = self.test.threads.iter().position(|thread| thread.name == word.text);
            return found.map(ThreadName::Test).ok_or_else(|| {
                let message = unknown("thread", word.text, names().chain(WORK));
                let work = "`main()`, `exit(RING)`, `rcu(RING)`, `ifq-rcu(ifqN)`, `release(ifqN)` or `pp(ifqN)`";
                let expected = match self.test.threads.is_empty() {
                    true => work.to_owned(),
                    false => format!("{}, {work}", one_of(names())),
                };
                Problem::new(word.span.clone(), message, expected)
            });
        }
        let thread = match word.text {
            "main" => ThreadName::Main,
            "exit" => ThreadName::Exit(self.ring_of(cursor)?),
            "rcu" => ThreadName::Rcu(self.ring_of(cursor)?),
            "ifq-rcu" => ThreadName::IfqRcu(ifq_of(cursor)?),
            "release" => ThreadName::Release(ifq_of(cursor)?),
            "pp" => {
                let ifq = ifq_of(cursor)?;
                let has_pool = cursor.peek().is_some_and(|token| token.text != ")");
                let pool = if has_pool { cursor.number("page pool", 0, POOLS)?.0 } else { 0 };
                ThreadName::PagePool(ifq, pool)
            }
            _ => {
                let message = unknown("work item", word.text, WORK);
                return Err(Problem::new(word.span.clone(), message, one_of(WORK)));
            }
        };
        cursor.exactly(")", "`)`")?;
        Ok(thread)
    }

    fn ring_of(&self, cursor: &mut Cursor<'_, 't>) -> Result<u8, Problem> {
        let word = cursor.word("the name of a ring")?;
        let names = || self.test.rings.iter().map(String::as_str);
        let found = names().position(|name| name == word.text);
        // No truncation: there are at most `limits::RINGS` rings.
        found.map(|ring| ring as u8).ok_or_else(|| {
            let message = unknown("ring", word.text, names());
            Problem::new(word.span.clone(), message, one_of(names()))
        })
    }

    fn code_place(
        &self,
        cursor: &mut Cursor<'_, 't>,
        note: &mut dyn FnMut(SwitchPart, &Token<'t>),
    ) -> Result<CodePlace, Problem> {
        let first = cursor.word(PLACE)?;
        let position = match first.text {
            "enter" => Position::Enter,
            "return" => {
                cursor.exactly("from", "`from FUNCTION`")?;
                Position::Return
            }
            word => {
                let function = if matches!(word, "before" | "after") {
                    None
                } else {
                    note(SwitchPart::Function, first);
                    cursor.exactly(":", &format!("`:` after the function; a place is {PLACE}"))?;
                    Some(word.to_owned())
                };
                let side = if function.is_some() { cursor.word("`before` or `after`")? } else { first };
                let sides = [Position::Before, Position::After];
                let position = pick("place", side, &sides, Position::name)?;
                let (access, occurrence) = self.access(cursor, note)?;
                return Ok(CodePlace { function, position, access: Some(access), occurrence });
            }
        };
        let word = cursor.word("a function")?;
        note(SwitchPart::Function, word);
        let (name, occurrence) = split_occurrence(word)?;
        let function = Some(name.text.to_owned());
        Ok(CodePlace { function, position, access: None, occurrence })
    }

    /// `KIND(OBJECT)[#N]`.
    fn access(
        &self,
        cursor: &mut Cursor<'_, 't>,
        note: &mut dyn FnMut(SwitchPart, &Token<'t>),
    ) -> Result<(Access, u32), Problem> {
        let word = cursor.word("an access, as in `lock(pp_lock)`")?;
        note(SwitchPart::Access, word);
        let kind = pick("access", word, AccessKind::ALL, AccessKind::name)?;
        cursor.exactly("(", &format!("`{kind}(OBJECT)`"))?;
        let mut words = Vec::new();
        while cursor.peek().is_some_and(|token| !is_mark(token.text)) {
            words.push(cursor.word("an object")?);
        }
        let Some(first) = words.first() else { return Err(cursor.unexpected("an object")) };
        note(SwitchPart::Object, first);
        let text: Vec<&str> = words.iter().map(|word| word.text).collect();
        let object = object(&self.test, &text.join(" "));
        cursor.exactly(")", "`)`")?;
        let occurrence = match cursor.peek().filter(|token| token.text.starts_with('#')) {
            None => 1,
            Some(token) => {
                cursor.word("`#N`")?;
                split_occurrence(token)?.1
            }
        };
        Ok((Access { kind, object }, occurrence))
    }
}

/// Largest number of a page pool: it has 10 bits in a slot.
pub(super) const POOLS: u32 = (1 << 10) - 1;

/// `ifqN`.
fn ifq_of(cursor: &mut Cursor<'_, '_>) -> Result<u32, Problem> {
    let word = cursor.word("an ifq, as in `ifq0`")?;
    let number = word.text.strip_prefix("ifq").and_then(|number| number.parse().ok());
    number.filter(|number| *number < IFQS && word.text == format!("ifq{number}")).ok_or_else(|| {
        let message = format!("`{}` is no ifq", word.text);
        Problem::new(word.span.clone(), message, "`ifq0` for the first ifq of the run, `ifq1` for the second")
    })
}

/// One more than the largest number of an ifq: it has 20 bits in a slot.
pub(super) const IFQS: u32 = 1 << 20;

/// The word before `#N`, and N; without `#`, 1.
fn split_occurrence<'t>(word: &Token<'t>) -> Result<(Token<'t>, u32), Problem> {
    let Some((text, number)) = word.text.split_once('#') else { return Ok((word.clone(), 1)) };
    let (start, end) = (word.span.start, word.span.end);
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let number = number.parse().ok().filter(|number| digits && *number > 0);
    let Some(number) = number else {
        let message = format!("`{}` is no occurrence", word.text);
        return Err(Problem::new(start..end, message, "`#N`, a number from 1"));
    };
    Ok((Token { text, span: start..start + text.len() }, number))
}

/// The object with a name: a field, or owner and field. Validation checks both.
fn object(test: &Test, text: &str) -> ObjectName {
    let whole = ObjectName { owner: None, name: text.to_owned() };
    if FIELDS.contains(&text) {
        return whole;
    }
    let Some((owner, name)) = text.split_once('.') else { return whole };
    if let Some(ring) = test.rings.iter().position(|ring| ring == owner) {
        let owner = Owner { kind: "ring".to_owned(), number: ring as u32 };
        return ObjectName { owner: Some(owner), name: name.to_owned() };
    }
    let kind = owner.trim_end_matches(|c: char| c.is_ascii_digit());
    match owner[kind.len()..].parse() {
        Ok(number) if KINDS.contains(&kind) && owner == format!("{kind}{number}") => {
            let owner = Owner { kind: kind.to_owned(), number };
            ObjectName { owner: Some(owner), name: name.to_owned() }
        }
        _ => whole,
    }
}

/// The name of a thread of a run.
#[must_use]
pub fn print_thread(test: &Test, thread: ThreadName) -> String {
    let ring = |ring: u8| test.rings.get(usize::from(ring)).map_or("?", String::as_str);
    match thread {
        ThreadName::Main => "main()".to_owned(),
        ThreadName::Test(i) => test.threads.get(i).map_or_else(|| "?".to_owned(), |t| t.name.clone()),
        ThreadName::Exit(of) => format!("exit({})", ring(of)),
        ThreadName::Rcu(of) => format!("rcu({})", ring(of)),
        ThreadName::IfqRcu(ifq) => format!("ifq-rcu(ifq{ifq})"),
        ThreadName::Release(ifq) => format!("release(ifq{ifq})"),
        ThreadName::PagePool(ifq, 0) => format!("pp(ifq{ifq})"),
        ThreadName::PagePool(ifq, pool) => format!("pp(ifq{ifq} {pool})"),
    }
}

/// The text of an owner.
pub(super) fn print_owner(test: &Test, owner: &Owner, field: &str) -> String {
    let ring = test.rings.get(owner.number as usize).filter(|_| owner.kind == "ring");
    match ring {
        Some(ring) if !FIELDS.contains(&format!("{ring}.{field}").as_str()) => ring.clone(),
        _ => format!("{}{}", owner.kind, owner.number),
    }
}

/// A place in the kernel code.
#[must_use]
pub fn print_place(test: &Test, place: &CodePlace) -> String {
    let function = place.function.as_deref();
    let mut text = match (place.position, &place.access) {
        (Position::Enter, _) => format!("enter {}", function.unwrap_or("?")),
        (Position::Return, _) => format!("return from {}", function.unwrap_or("?")),
        (position, access) => {
            let function = function.map_or_else(String::new, |function| format!("{function}: "));
            let access = access.as_ref().map_or_else(String::new, |access| {
                let ObjectName { owner, name } = &access.object;
                let owner = owner.as_ref().map(|owner| print_owner(test, owner, name) + ".");
                format!("{}({}{name})", access.kind, owner.unwrap_or_default())
            });
            format!("{function}{position} {access}")
        }
    };
    if place.occurrence != 1 {
        text += &format!("#{}", place.occurrence);
    }
    text
}

/// A line of a schedule, without indentation: `b until io_close_queue: before lock(ifq0.pp_lock)`.
#[must_use]
pub fn print_switch(test: &Test, switch: &Switch) -> String {
    let thread = print_thread(test, switch.thread);
    let any = if switch.or_any { " or any" } else { "" };
    let until = match &switch.until {
        Until::Done => "done".to_owned(),
        Until::Blocked => "blocked".to_owned(),
        Until::At(place) => print_place(test, place),
    };
    let failing = switch.failing.iter().map(|fault| match fault.occurrence {
        1 => format!(" {}", fault.point),
        n => format!(" {}#{n}", fault.point),
    });
    let failing: String = failing.collect();
    let head = if failing.is_empty() { "" } else { " failing" };
    format!("{thread}{any} until {until}{head}{failing}")
}
