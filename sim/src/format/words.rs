//! The words of the format, and lists of words in errors.

use ifq_model::test::op::OPERATIONS;

/// The version of the encoding of [`ifq_model::test::Schedule`] that this crate writes and reads.
pub const SCHEDULE_VERSION: &str = "v1";

/// Longest name, in bytes.
pub(super) const NAME_LEN: usize = 64;

/// First words of header lines.
pub(super) const HEADERS: [&str; 14] = [
    "test", "about", "revision", "shows", "ring", "socket", "queues", "fault", "observe", "expect",
    "exists", "forbid", "always", "schedule",
];

/// First words of sections.
pub(super) const SECTIONS: [&str; 3] = ["setup", "thread", "finally"];

/// The verbs of all operations.
pub(super) fn verbs() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|operation| operation.verb)
}

/// Whether a word cannot be the name of a ring, a socket or a result.
pub(super) fn is_reserved(word: &str) -> bool {
    HEADERS.contains(&word)
        || SECTIONS.contains(&word)
        || verbs().any(|verb| verb == word)
        || matches!(word, "with" | "after" | "unlocked" | "unchecked" | "nothing")
        || matches!(word, "and" | "or" | "not" | "fd")
}

/// Whether a word has the form of a name: a letter, then letters, digits, `-` and `_`.
pub(super) fn is_name(word: &str) -> bool {
    let first = word.bytes().next();
    word.len() <= NAME_LEN
        && first.is_some_and(|b| b.is_ascii_alphabetic())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The rule of [`is_name`], for errors.
pub(super) const NAME_FORM: &str =
    "a name: a letter, then letters, digits, `-` or `_`, at most 64 in all";

/// `` `a`, `b` or `c` ``; a long list is shortened.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 18;
    let words: Vec<&str> = words.into_iter().collect();
    let shown: Vec<String> = words.iter().take(SHOWN).map(|w| format!("`{w}`")).collect();
    let rest = words.len() - shown.len();
    match shown.split_last() {
        None => "nothing, because none is defined".to_owned(),
        Some(_) if rest > 0 => format!("{} or {rest} more", shown.join(", ")),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// `` unknown verb `recieve` (did you mean `recv`?) ``
pub(super) fn unknown<'a>(
    what: &str,
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    match nearest(word, known) {
        Some(near) => format!("unknown {what} `{word}` (did you mean `{near}`?)"),
        None => format!("unknown {what} `{word}`"),
    }
}

/// The known word that differs from `word` in fewest letters, if that is at most half of them.
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A word that is longer than any name is not a typing error, and comparing it would be slow.
    if word.len() > NAME_LEN {
        return None;
    }
    let near = known.into_iter().filter(|k| k.len() <= NAME_LEN);
    let near = near.map(|k| (strsim::damerau_levenshtein(word, k), k));
    let (distance, near) = near.min_by_key(|&(distance, _)| distance)?;
    (distance * 2 <= word.chars().count()).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_similar_word_is_suggested() {
        assert_eq!(nearest("regsiter", verbs()), Some("register"));
        assert_eq!(nearest("xyz", verbs()), None);
        assert_eq!(nearest(&"r".repeat(65), verbs()), None);
    }

    #[test]
    fn long_lists_are_shortened() {
        let words: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert!(one_of(words.iter().map(String::as_str)).ends_with("`17` or 2 more"));
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of([]), "nothing, because none is defined");
    }

    #[test]
    fn a_name_is_short_and_starts_with_a_letter() {
        for good in ["a", "A-1", "x_7", &"n".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "7x", "a b", "ä", "a#", &"n".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
