//! Splits one line of text into words and marks.

use std::ops::Range;

use winnow::ascii::space0;
use winnow::combinator::alt;
use winnow::prelude::*;
use winnow::stream::LocatingSlice;
use winnow::token::{one_of, take_while};

use super::error::Problem;

type LexInput<'t> = LocatingSlice<&'t str>;

/// A word, or one of [`MARKS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) text: &'t str,
    /// Span in bytes of the whole text.
    pub(super) span: Range<usize>,
}

/// The tokens of a line before its comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenLine<'t> {
    pub(super) tokens: Vec<Token<'t>>,
    /// End of the last token, in bytes of the whole text.
    pub(super) end: usize,
}

/// The marks. Of two that start alike, the longer one comes first.
pub(super) const MARKS: [&str; 11] = [":", "=", "@", "!=", "<=", ">=", "<", ">", "(", ")", "!"];

/// The characters of the marks.
const MARK_CHARS: [char; 8] = [':', '=', '@', '!', '<', '>', '(', ')'];

/// Splits the line that starts at byte `start` of the whole text.
pub(super) fn line(text: &str, start: usize) -> Result<TokenLine<'_>, Problem> {
    let mut input = LocatingSlice::new(text);
    let mut tokens = Vec::new();
    loop {
        let gap = blank(&mut input);
        let comment = input.starts_with('#') && (tokens.is_empty() || gap);
        if input.is_empty() || comment {
            break;
        }
        let Ok((text, span)) = token.with_span().parse_next(&mut input) else {
            return Err(control_character(&input, text.len() - input.len() + start));
        };
        tokens.push(Token { text, span: span.start + start..span.end + start });
    }
    let end = tokens.last().map_or(start, |t| t.span.end);
    Ok(TokenLine { tokens, end })
}

/// Skips white space; returns whether there was any.
fn blank(input: &mut LexInput<'_>) -> bool {
    let space: winnow::Result<&str> = space0.parse_next(input);
    space.is_ok_and(|s| !s.is_empty())
}

fn token<'t>(input: &mut LexInput<'t>) -> winnow::Result<&'t str> {
    let word = take_while(1.., |c: char| !c.is_control() && c != ' ' && !MARK_CHARS.contains(&c));
    let pair = alt(("!=", "<=", ">="));
    alt((pair, one_of(MARK_CHARS).take(), word)).parse_next(input)
}

fn control_character(rest: &str, offset: usize) -> Problem {
    let width = rest.chars().next().map_or(0, char::len_utf8);
    let message = match rest.chars().next() {
        Some(c) => format!("control character U+{:04X}", u32::from(c)),
        None => "nothing".to_owned(),
    };
    Problem::new(offset..offset + width, message, "printable text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        line(text, 0).unwrap().tokens.into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn marks_need_no_space_around_them() {
        assert_eq!(texts("x=B:exit after c"), ["x", "=", "B", ":", "exit", "after", "c"]);
        assert_eq!(texts("t@0"), ["t", "@", "0"]);
        assert_eq!(texts("not(a<=-1)"), ["not", "(", "a", "<=", "-1", ")"]);
        assert_eq!(texts("a!=b<c"), ["a", "!=", "b", "<", "c"]);
    }

    #[test]
    fn a_comment_starts_at_the_line_or_after_white_space() {
        assert_eq!(texts("# all"), [""; 0]);
        assert_eq!(texts("\t a # rest"), ["a"]);
        assert_eq!(texts("a#b c"), ["a#b", "c"]);
        assert_eq!(texts("a:#b"), ["a", ":", "#b"]);
    }

    #[test]
    fn spans_are_bytes_of_the_whole_text() {
        let line = line("ä = b ", 10).unwrap();
        let spans: Vec<_> = line.tokens.iter().map(|t| t.span.clone()).collect();
        assert_eq!(spans, [10..12, 13..14, 15..16]);
        assert_eq!(line.end, 16);
    }

    #[test]
    fn a_control_character_outside_a_comment_is_refused() {
        let problem = line("a \u{7}", 5).unwrap_err();
        assert_eq!((problem.span, problem.message.as_str()), (7..8, "control character U+0007"));
        assert_eq!(texts("a # \u{7}"), ["a"]);
    }
}
