//! The words of the format, and how errors list them.

use ifq_model::test::Op;

/// The version of [`ifq_model::test::Schedule`]'s numbers that this crate writes and reads.
pub const SCHEDULE_VERSION: &str = "v1";

/// Longest name, in bytes.
pub(super) const NAME_LEN: usize = 64;

/// First words of header lines.
pub(super) const HEADERS: [&str; 11] = [
    "test", "about", "revision", "shows", "ring", "socket", "queues", "fault", "observe", "expect",
    "schedule",
];

/// First words of sections.
pub(super) const SECTIONS: [&str; 3] = ["setup", "thread", "finally"];

/// What stands before a verb's `:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    Ring,
    Socket,
    None,
}

/// A verb: the word, what stands before it, how a step with it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verb {
    pub(super) word: &'static str,
    pub(super) prefix: Prefix,
    pub(super) usage: &'static str,
}

const fn verb(word: &'static str, prefix: Prefix, usage: &'static str) -> Verb {
    Verb { word, prefix, usage }
}

/// All verbs.
pub(super) const VERBS: [Verb; 17] = [
    verb("register", Prefix::Ring, "`RING: register nodev|queue=N buffers=N entries=N`"),
    verb("clone", Prefix::Ring, "`RING: clone RING IFQ`"),
    verb("export", Prefix::Ring, "`RING: export IFQ`"),
    verb("import", Prefix::Ring, "`RING: import FD`"),
    verb("flush", Prefix::Ring, "`RING: flush IFQ`"),
    verb("add-area", Prefix::Ring, "`RING: add-area IFQ buffers=N`"),
    verb("arm", Prefix::Ring, "`RING: arm IFQ alloc-fail|copy|unknown`"),
    verb("mmap", Prefix::Ring, "`RING: mmap IFQ`"),
    verb("unregister-netdev", Prefix::None, "`unregister-netdev`"),
    verb("scribble", Prefix::None, "`scribble IFQ head|tail|off=N|pad=N VALUE`"),
    verb("exit", Prefix::Ring, "`RING: exit`"),
    verb("close", Prefix::None, "`close FD`"),
    verb("recv", Prefix::Ring, "`RING: recv IFQ SOCKET [len=N]`"),
    verb("wait", Prefix::Ring, "`RING: wait`"),
    verb("return", Prefix::None, "`return CQE to IFQ [unlocked]`"),
    verb("send", Prefix::Socket, "`SOCKET: send BYTES`"),
    verb("shutdown", Prefix::Socket, "`SOCKET: shutdown`"),
];

/// The verb of an operation.
#[must_use]
pub fn verb_of(op: &Op) -> &'static str {
    match op {
        Op::Register { .. } => "register",
        Op::Clone { .. } => "clone",
        Op::Export { .. } => "export",
        Op::Import { .. } => "import",
        Op::Flush { .. } => "flush",
        Op::AddArea { .. } => "add-area",
        Op::Arm { .. } => "arm",
        Op::Mmap { .. } => "mmap",
        Op::UnregisterNetdev => "unregister-netdev",
        Op::Scribble { .. } => "scribble",
        Op::Exit { .. } => "exit",
        Op::Close { .. } => "close",
        Op::Recv { .. } => "recv",
        Op::Wait { .. } => "wait",
        Op::Return { .. } => "return",
        Op::Send { .. } => "send",
        Op::Shutdown { .. } => "shutdown",
    }
}

/// Words that a ring, a socket or a result cannot have as its name.
pub(super) fn is_reserved(word: &str) -> bool {
    HEADERS.contains(&word)
        || SECTIONS.contains(&word)
        || VERBS.iter().any(|v| v.word == word)
        || matches!(word, "with" | "after" | "unlocked" | "nothing")
}

/// Whether a word has the form of a name: a letter, then letters, digits, `-` and `_`.
pub(super) fn is_name(word: &str) -> bool {
    let first = word.bytes().next();
    word.len() <= NAME_LEN
        && first.is_some_and(|b| b.is_ascii_alphabetic())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// What [`is_name`] asks for, for an error.
pub(super) const NAME_FORM: &str =
    "a name: a letter, then letters, digits, `-` or `_`, at most 64 in all";

/// `` `a`, `b` or `c` ``; a long list is cut.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 18;
    let words: Vec<&str> = words.into_iter().collect();
    let shown: Vec<String> = words.iter().take(SHOWN).map(|w| format!("`{w}`")).collect();
    let rest = words.len() - shown.len();
    match shown.split_last() {
        None => "nothing: there is none".to_owned(),
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
    // A longer word is no slip of the fingers, and comparing it would take long.
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
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        let verbs = || VERBS.iter().map(|v| v.word);
        assert_eq!(nearest("regsiter", verbs()), Some("register"));
        assert_eq!(nearest("xyz", verbs()), None);
        assert_eq!(nearest(&"r".repeat(65), verbs()), None);
    }

    #[test]
    fn long_lists_are_cut() {
        let words: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert!(one_of(words.iter().map(String::as_str)).ends_with("`17` or 2 more"));
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of([]), "nothing: there is none");
    }

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "A-1", "x_7", &"n".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "7x", "a b", "ä", "a#", &"n".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
