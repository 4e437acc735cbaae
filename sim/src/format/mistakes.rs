//! Frequent mistakes in steps and lists, with messages that say what to write.

use ifq_model::test::op::{Operation, VerbPrefix};

use super::cursor::is_mark;
use super::error::Problem;
use super::lex::{Token, TokenLine};
use super::words::verbs;

/// The mark of a token that separates words in other languages.
const SEPARATORS: [char; 2] = [',', ';'];

/// Longest line that a message repeats, in bytes.
const SHOWN: usize = 100;

/// What stands before a `:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiver {
    Ring,
    Socket,
    Result,
    Unknown,
}

/// An error for a comma or semicolon: words are separated by spaces. The text after `about` is free.
pub(super) fn separator(line: &TokenLine<'_>) -> Result<(), Problem> {
    if line.tokens.first().is_some_and(|first| first.text == "about") {
        return Ok(());
    }
    let Some((token, at)) =
        line.tokens.iter().find_map(|token| Some((token, token.text.find(SEPARATORS)?)))
    else {
        return Ok(());
    };
    let start = token.span.start + at;
    let mark = &token.text[at..=at];
    let words: Vec<&str> =
        line.tokens.iter().flat_map(|token| token.text.split(SEPARATORS)).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let marked = words.len() < 2 || line.tokens.iter().any(|token| is_mark(token.text));
    let written = words.join(" ");
    let expected = match marked || written.len() > SHOWN {
        true => "a space between words".to_owned(),
        false => format!("a space between words: `{written}`"),
    };
    Err(Problem::new(start..start + 1, format!("unexpected `{mark}`"), expected))
}

/// An error if the tokens are a name and a verb without a `:` between them.
pub(super) fn missing_colon(tokens: &[Token<'_>]) -> Result<(), Problem> {
    let [name, verb, ..] = tokens else { return Ok(()) };
    if is_mark(name.text) || !verbs().any(|known| known == verb.text) {
        return Ok(());
    }
    let message = format!("a `:` is missing after `{}`", name.text);
    let end = name.span.end;
    Err(Problem::new(end..end, message, format!("`{}: {}`", name.text, verb.text)))
}

/// The error for a verb that takes nothing before it.
pub(super) fn prefix_of_a_free_verb(
    head: &Token<'_>,
    receiver: Receiver,
    operation: &Operation,
) -> Problem {
    let (name, verb) = (head.text, operation.verb);
    let message = format!("`{verb}` takes no ring or socket before it");
    let expected = match (verb, receiver) {
        ("close", Receiver::Ring) => {
            format!("{}; `{name}: exit` closes the descriptor of the ring", operation.usage)
        }
        ("close", Receiver::Socket) => format!(
            "{}; a socket cannot be closed before the end, `{name}: shutdown` ends the peer's stream",
            operation.usage
        ),
        ("close", Receiver::Result) => format!("`close {name}`"),
        _ => operation.usage.to_owned(),
    };
    Problem::new(head.span.clone(), message, expected)
}

/// The message for a receiver that is not what the verb needs, and what to write instead.
pub(super) fn wrong_receiver(
    head: &Token<'_>,
    receiver: Receiver,
    operation: &Operation,
) -> Option<(String, String)> {
    let (name, verb) = (head.text, operation.verb);
    let is = match receiver {
        Receiver::Ring => "a ring",
        Receiver::Socket => "a socket",
        Receiver::Result => "the result of a step",
        Receiver::Unknown => return None,
    };
    let needs = match operation.prefix() {
        VerbPrefix::Ring => "a ring",
        VerbPrefix::Socket => "a socket",
        VerbPrefix::None => return None,
    };
    let hint = match (receiver, verb) {
        (Receiver::Socket, "exit") => format!("; `{name}: shutdown` ends the peer's stream"),
        (Receiver::Socket, "recv") => {
            format!("; the socket is the last argument: {}", operation.usage)
        }
        (Receiver::Ring, "shutdown") => format!("; `{name}: exit` closes the ring"),
        (Receiver::Result, "exit") => format!("; `close {name}` closes a descriptor"),
        _ => format!("; {}", operation.usage),
    };
    Some((format!("`{name}` is {is}, and `{verb}` needs {needs} before the `:`"), hint))
}
