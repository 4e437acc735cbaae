//! A cursor over the tokens of one line.

use std::ops::Range;

use super::error::Problem;
use super::lex::{MARKS, Token, TokenLine};
use super::words::{one_of, unknown};

/// The tokens of a line that were not read yet.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'l, 't> {
    tokens: &'l [Token<'t>],
    /// End of the line, in bytes of the whole text.
    end: usize,
}

/// Whether a token is a mark and not a word.
pub(super) fn is_mark(text: &str) -> bool {
    MARKS.contains(&text)
}

impl<'l, 't> Cursor<'l, 't> {
    pub(super) fn new(line: &'l TokenLine<'t>) -> Self {
        Cursor { tokens: &line.tokens, end: line.end }
    }

    /// The next token, if there is one.
    pub(super) fn peek(&self) -> Option<&'l Token<'t>> {
        self.tokens.first()
    }

    /// Takes the next token if it is this word or mark.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let found = self.peek().is_some_and(|t| t.text == text);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    /// Takes a word; a mark is not one.
    pub(super) fn word(&mut self, expected: &str) -> Result<&'l Token<'t>, Problem> {
        match self.tokens.split_first() {
            Some((word, rest)) if !is_mark(word.text) => {
                self.tokens = rest;
                Ok(word)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Takes this word or mark.
    pub(super) fn exactly(&mut self, text: &str, expected: &str) -> Result<(), Problem> {
        if self.eat(text) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// Takes at least one word, until a mark, one of `stops` or the end of the line.
    pub(super) fn words(
        &mut self,
        stops: &[&str],
        expected: &str,
    ) -> Result<Vec<&'l Token<'t>>, Problem> {
        let mut words = vec![self.word(expected)?];
        while self.peek().is_some_and(|t| !is_mark(t.text) && !stops.contains(&t.text)) {
            words.push(self.word(expected)?);
        }
        Ok(words)
    }

    /// Takes a number from `min` to `max`.
    pub(super) fn number(
        &mut self,
        what: &str,
        min: u32,
        max: u32,
    ) -> Result<(u32, Range<usize>), Problem> {
        let range = format!("{min} to {max}");
        let word = self.word(&format!("{what}, a number from {range}"))?;
        let span = word.span.clone();
        if !word.text.bytes().all(|b| b.is_ascii_digit()) {
            let message = format!("`{}` is not a number", word.text);
            return Err(Problem::new(span, message, format!("{what}, a number from {range}")));
        }
        // The word has digits only, so parsing can only overflow.
        match word.text.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok((number, span)),
            _ => {
                let message = format!("{what} {} is out of range", word.text);
                Err(Problem::new(span, message, range))
            }
        }
    }

    /// Takes a number of 64 bits, in decimal or, after `0x`, in hexadecimal.
    pub(super) fn value(&mut self, what: &str) -> Result<u64, Problem> {
        let expected = format!("{what}, in decimal or as `0x` and hexadecimal digits");
        let word = self.word(&expected)?;
        let parsed = match word.text.strip_prefix("0x") {
            Some(digits) if digits.starts_with('+') => None,
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None if word.text.starts_with('+') => None,
            None => word.text.parse().ok(),
        };
        parsed.ok_or_else(|| {
            let message = format!("`{}` is not a number of 64 bits", word.text);
            Problem::new(word.span.clone(), message, expected)
        })
    }

    /// Takes `KEY=NUMBER`.
    pub(super) fn keyed(
        &mut self,
        key: &str,
        min: u32,
        max: u32,
        usage: &str,
    ) -> Result<(u32, Range<usize>), Problem> {
        let expected = format!("`{key}=N`, as in {usage}");
        self.exactly(key, &expected)?;
        self.exactly("=", &expected)?;
        self.number(key, min, max)
    }

    /// The line must end here.
    pub(super) fn finish(&self, expected: &str) -> Result<(), Problem> {
        if self.tokens.is_empty() { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// The error for an unexpected next token.
    pub(super) fn unexpected(&self, expected: &str) -> Problem {
        match self.peek() {
            Some(token) => {
                let message = format!("unexpected `{}`", token.text);
                Problem::new(token.span.clone(), message, expected)
            }
            None => Problem::new(self.end..self.end, "the line ends too early", expected),
        }
    }
}

/// The value with this name.
pub(super) fn pick<T: Copy>(
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
