//! Goal: the source tree stays readable. Method: walk all folders of the workspace, read every source
//! and documentation file, and report each offence with file and line: an idiom that `BANNED` lists, a
//! Rust file above the size limit, a Rust file that does not begin with a module doc, an integration test
//! whose module doc does not state goal and method.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Longest Rust file, in lines. There are no exceptions.
const MAX_LINES: usize = 600;

/// Folders that hold build products or recorded inputs, not source.
const SKIPPED_FOLDERS: [&str; 5] = ["target", "corpus", "artifacts", "golden", "mutants.out"];

/// The hidden folders that belong to the source tree.
const HIDDEN_FOLDERS: [&str; 3] = [".cargo", ".ci", ".github"];

/// Extensions of the files that are read.
const EXTENSIONS: [&str; 7] = ["rs", "md", "ifq", "toml", "yml", "c", "h"];

/// Files without an extension that are read, in any folder.
const SCRIPTS: [&str; 2] = ["run", "mutants"];

/// An idiom that says less than plain words do. The pattern is a list of fragments that must follow
/// each other on one line; `WORD` stands for one word between two fragments.
struct Banned {
    pattern: &'static [&'static str],
    instead: &'static str,
}

const WORD: &str = "<word>";

const BANNED: &[Banned] = &[
    Banned { pattern: &["takes ", WORD, " for one"], instead: "merges symmetric states" },
    Banned { pattern: &["takes two ", WORD, " for one"], instead: "merges symmetric states" },
    Banned { pattern: &["in each other's", " way"], instead: "conflict" },
    Banned { pattern: &["in nobody's", " way"], instead: "conflicts with no thread" },
    Banned { pattern: &["has come", " home"], instead: "has returned" },
    Banned { pattern: &["nobody", " is"], instead: "no thread is" },
    Banned { pattern: &["put aside", " for ever"], instead: "discarded" },
    Banned { pattern: &["held", " up by"], instead: "blocked by" },
    Banned { pattern: &["goes about", " it"], instead: "say what the subject does" },
    Banned { pattern: &["what is unusual", " about"], instead: "name the difference" },
    Banned { pattern: &["who", "ever"], instead: "name the subject" },
    Banned { pattern: &["men", "ded"], instead: "fixed" },
];

/// Whether a line contains the fragments in order, with one word where the pattern says so. The idiom
/// must begin and end at a word boundary.
fn contains_idiom(line: &str, pattern: &[&str]) -> bool {
    let boundary = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    (0..line.len()).filter(|at| line.is_char_boundary(*at)).any(|at| {
        boundary(line[..at].chars().next_back())
            && match_at(&line[at..], pattern).is_some_and(|rest| boundary(rest.chars().next()))
    })
}

/// The rest of a text behind the fragments that it begins with.
fn match_at<'a>(text: &'a str, pattern: &[&str]) -> Option<&'a str> {
    pattern.iter().try_fold(text, |rest, fragment| match *fragment {
        WORD => {
            let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            (end > 0).then(|| &rest[end..])
        }
        fragment => rest.strip_prefix(fragment),
    })
}

/// A line of a Markdown file without its inline code, which may quote an idiom.
fn without_inline_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// Offences of one file, each with its line.
fn offences(path: &Path, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let has_extension = |wanted| path.extension().is_some_and(|extension| extension == wanted);
    for (number, line) in (1..).zip(text.lines()) {
        let mut line = line.to_lowercase();
        if has_extension("md") {
            line = without_inline_code(&line);
        }
        for banned in BANNED {
            if contains_idiom(&line, banned.pattern) {
                let idiom = banned.pattern.concat();
                found.push((number, format!("`{idiom}`: instead: {}", banned.instead)));
            }
        }
    }
    if has_extension("rs") {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            found.push((lines, format!("{lines} lines, the limit is {MAX_LINES}")));
        }
        if !text.starts_with("//!") {
            found.push((1, "no module doc `//!` at the beginning".to_owned()));
        } else if is_integration_test(path) && !states_goal_and_method(text) {
            found.push((1, "the module doc does not state `Goal:` and `Method:`".to_owned()));
        }
    }
    found
}

/// Whether a path, relative to the workspace, is `PACKAGE/tests/FILE.rs`.
fn is_integration_test(path: &Path) -> bool {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str()).collect();
    matches!(parts[..], [_, folder, _] if folder == "tests")
}

fn states_goal_and_method(text: &str) -> bool {
    let doc: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
    doc.starts_with("//! Goal: ") && doc.contains("Method:")
}

/// All source and documentation files of the workspace, sorted.
fn source_files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            let (name, kind) = (name.to_string_lossy(), entry.file_type().unwrap());
            if kind.is_dir() && is_source_folder(&name) {
                folders.push(path);
            } else if kind.is_file() && is_source(&path, &name) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn is_source_folder(name: &str) -> bool {
    let hidden = name.starts_with('.') && !HIDDEN_FOLDERS.contains(&name);
    !hidden && !SKIPPED_FOLDERS.contains(&name)
}

fn is_source(path: &Path, name: &str) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => EXTENSIONS.contains(&extension),
        None => SCRIPTS.contains(&name),
    }
}

#[test]
fn the_source_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let files = source_files(&root);
    assert!(files.len() > 300, "the walk found only {} files", files.len());
    let mut report = String::new();
    for path in files {
        let relative = path.strip_prefix(&root).unwrap();
        let name = relative.display();
        let Ok(text) = std::fs::read_to_string(&path) else {
            let _ = writeln!(report, "{name}: not UTF-8");
            continue;
        };
        for (line, offence) in offences(relative, &text) {
            let _ = writeln!(report, "{name}:{line}: {offence}");
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn every_banned_idiom_is_recognised_and_its_parts_alone_are_not() {
    for banned in BANNED {
        let idiom = banned.pattern.concat().replace(WORD, "them");
        assert!(contains_idiom(&format!("It {idiom}."), banned.pattern), "{idiom}");
        assert!(contains_idiom(&idiom, banned.pattern), "{idiom}");
        assert!(!contains_idiom(&format!("x{idiom}"), banned.pattern), "{idiom}");
        assert!(!contains_idiom(banned.pattern[0], banned.pattern), "{idiom}");
    }
    assert!(!contains_idiom("the search recommends it", &["men", "ded"]));
}

#[test]
fn a_long_file_and_a_file_without_a_module_doc_are_offences() {
    let path = Path::new("some.rs");
    let long = format!("//! Doc.\n{}", "\n".repeat(MAX_LINES));
    assert_eq!(offences(path, &long).len(), 1);
    assert_eq!(offences(path, "fn undocumented() {}\n").len(), 1);
    assert_eq!(offences(path, "//! Doc.\n\nfn documented() {}\n"), []);
}

#[test]
fn an_integration_test_without_goal_or_method_is_an_offence() {
    let path = Path::new("sim/tests/some.rs");
    assert_eq!(offences(path, "//! Goal: it holds. Method: run it.\n"), []);
    assert_eq!(offences(path, "//! Goal: it holds.\n//!\n//! Method: run it.\n"), []);
    assert_eq!(offences(path, "//! Goal: it holds.\n").len(), 1);
    assert_eq!(offences(path, "//! It holds.\n").len(), 1);
    assert_eq!(offences(Path::new("sim/tests/some/mod.rs"), "//! A helper.\n"), []);
    assert_eq!(offences(Path::new("sim/src/tests/some.rs"), "//! Unit tests.\n"), []);
}

#[test]
fn a_markdown_file_may_quote_an_idiom_as_inline_code() {
    let path = Path::new("some.md");
    let idiom = BANNED[0].pattern.concat().replace(WORD, "them");
    assert_eq!(offences(path, &format!("Do not write `{idiom}`.\n")), []);
    assert_eq!(offences(path, &format!("It {idiom} in `code`.\n")).len(), 1);
}

/// Method: compare the folders of `tests/library` with the table in its README, and the folder of each
/// file with its lines.
#[test]
fn each_library_file_lies_in_the_folder_that_the_readme_describes() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("library");
    let readme = std::fs::read_to_string(library.join("README.md")).unwrap();
    for path in ifq_sim::format::test_files(&library).unwrap() {
        let name = path.strip_prefix(&library).unwrap();
        let folder = name.parent().and_then(Path::to_str).unwrap();
        assert!(readme.contains(&format!("| `{folder}/` |")), "{} is not sorted", name.display());
        let text = std::fs::read_to_string(&path).unwrap();
        let has_fault = text.lines().any(|line| line.starts_with("fault "));
        assert_eq!(has_fault, folder == "faults", "{}", name.display());
        let clones = text.lines().any(|line| line.contains(": clone "));
        assert!(!clones || ["proxy", "faults"].contains(&folder), "{}", name.display());
    }
}
