//! Reads the functions of a C source file of Linux, with the functions and macros that each one calls.
//! Only names are kept.

use std::collections::{BTreeMap, BTreeSet};

/// Names that are followed by a parenthesis and are no call.
const KEYWORDS: [&str; 10] = [
    "if",
    "while",
    "for",
    "switch",
    "return",
    "sizeof",
    "typeof",
    "__alignof__",
    "offsetof",
    "defined",
];

/// By function: the functions and macros that it calls.
pub type Functions = BTreeMap<String, BTreeSet<String>>;

/// The text without comments, strings, character constants and lines of the preprocessor. Braces and names
/// that are left belong to code.
fn code(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if c == '"' || c == '\'' {
            quoted(rest, c)
        } else if c == '#' && kept.lines().last().is_none_or(|line| line.trim().is_empty()) {
            directive(rest)
        } else {
            kept.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        kept.push(' ');
        rest = &rest[skipped..];
    }
    kept
}

/// The length of a string or character constant.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a directive of the preprocessor, with the lines that continue it.
fn directive(text: &str) -> usize {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.trim_end_matches('\n').len();
        if !line.trim_end().ends_with('\\') {
            return end;
        }
        end += 1;
    }
    end.min(text.len())
}

/// The names that are followed by a parenthesis, in order.
fn called(code: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices('(')
        .filter_map(|(at, _)| {
            let before = code[..at].trim_end();
            let name = &before[before.rfind(|c| !is_word(c)).map_or(0, |end| end + 1)..];
            let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            (starts && !KEYWORDS.contains(&name)).then_some(name)
        })
        .collect()
}

/// The functions that a file defines.
#[must_use]
pub fn functions(text: &str) -> Functions {
    let code = code(text);
    let (mut found, mut depth, mut start, mut body) = (Functions::new(), 0, 0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '{' => {
                depth += 1;
                if depth == 1 {
                    body = at;
                }
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    let head = &code[start..body];
                    if let (Some(name), false) = (called(head).first(), head.contains('=')) {
                        let calls = called(&code[body..at]).into_iter().map(str::to_owned);
                        found.insert((*name).to_owned(), calls.collect());
                    }
                    start = at + 1;
                }
            }
            ';' if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    found
}

/// The text of a stored list: a line `FUNCTION: CALLED...` for each function.
#[must_use]
pub fn print(functions: &Functions) -> String {
    let line = |(name, calls): (&String, &BTreeSet<String>)| {
        let calls: String = calls.iter().map(|call| format!(" {call}")).collect();
        format!("{name}:{calls}\n")
    };
    functions.iter().map(line).collect()
}

/// Reads a stored list.
#[must_use]
pub fn parse(text: &str) -> Functions {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let calls = |calls: &str| calls.split_whitespace().map(str::to_owned).collect();
    lines.map(|(name, called)| (name.to_owned(), calls(called))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_their_calls_are_read_and_nothing_else_is() {
        let text = "/* no(); { */\n#define M(x) \\\n\tg(x)\nstruct s { int (*op)(int); };\n\
                    static const struct s t = { .op = f, };\nint declared(int);\n\
                    static int f(struct s *s)\n{\n\tif (h(s) && sizeof(*s))\n\t\treturn '{' + a(\"b(\");\n\
                    \t// c()\n\treturn 0;\n}\nvoid e(void) { }\n";
        let found = functions(text);
        assert_eq!(print(&found), "e:\nf: a h\n");
        assert_eq!(parse(&print(&found)), found);
    }
}
