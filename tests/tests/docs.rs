//! Goal: the documents stay true. Method: read every Markdown file at the root of the repository and in
//! `docs/`, and check what a program can check in it: links, paths, test files, verdicts, code, and that
//! the reference names every word of the test language. `ifq-real` checks the command lines.
//!
//! Fenced blocks are marked by their language:
//! - `ifq` is a test file, which must parse; `ifq check` one whose expected verdicts must hold;
//! - `ifq steps` are steps at the end of the first test file of the same document;
//! - `sh` are command lines;
//! - `rust` is code of the model, of which each line must be there.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::revision::{Revision, Variant};
use ifq_model::test::arg_modifier::ArgModifier;
use ifq_model::test::op::OPERATIONS;
use ifq_model::test::{Event, Quantifier, RingSetup, Test};
use ifq_sim::format::{load, parse, test_files};
use ifq_sim::report::results::Results;
use ifq_sim::search::explore::{Limits, explore};

/// First components of the paths that are checked.
const FOLDERS: [&str; 8] =
    ["model/", "sim/", "real/", "tests/", "fuzz/", "docs/", ".ci/", ".github/"];

/// A Markdown file.
struct Document {
    /// Path, relative to the root.
    name: String,
    folder: PathBuf,
    text: String,
}

/// A fenced block of a document.
struct Block<'d> {
    /// The words after the opening fence.
    info: &'d str,
    /// Its first line in the document.
    line: usize,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The tests of the library.
fn library() -> Vec<Test> {
    let files = test_files(root().join("tests/library")).unwrap();
    files.into_iter().map(|path| load(path).unwrap()).collect()
}

fn files_with_extension(extension: &str, folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_with_extension(extension, &path, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

/// The Markdown files at the root and in `docs/`, sorted by path.
fn documents() -> Vec<Document> {
    let root = root();
    let mut paths: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
        .map(|name| root.join(name))
        .to_vec();
    files_with_extension("md", &root.join("docs"), &mut paths);
    paths.sort();
    let read = |path: PathBuf| Document {
        name: path.strip_prefix(&root).unwrap().display().to_string(),
        folder: path.parent().unwrap().to_owned(),
        text: std::fs::read_to_string(&path).unwrap(),
    };
    let documents: Vec<Document> = paths.into_iter().map(read).collect();
    assert!(documents.len() > 10, "only {} documents were found", documents.len());
    documents
}

impl Document {
    fn read(name: &str) -> Document {
        documents().into_iter().find(|document| document.name == name).unwrap()
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block<'_>> = Vec::new();
        let mut inside = false;
        for (number, line) in (1..).zip(self.text.lines()) {
            match line.strip_prefix("```") {
                Some(_) if inside => inside = false,
                Some(info) => {
                    inside = true;
                    blocks.push(Block { info, line: number + 1, text: String::new() });
                }
                None if inside => {
                    let block = blocks.last_mut().unwrap();
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                None => {}
            }
        }
        assert!(!inside, "{}: a fence is not closed", self.name);
        blocks
    }

    /// The paragraphs outside fenced blocks, each on one line, with the numbers of their first lines. A
    /// row of a table, an item of a list and a heading are paragraphs.
    fn paragraphs(&self) -> Vec<(usize, String)> {
        let mut paragraphs: Vec<(usize, String)> = Vec::new();
        let mut next = 0;
        for (number, line) in self.prose() {
            let starts = line.starts_with(['|', '#', '-']) || line.starts_with("    ");
            match paragraphs.last_mut() {
                Some((_, text)) if number == next && !starts && !line.trim().is_empty() => {
                    text.push(' ');
                    text.push_str(line);
                }
                _ => paragraphs.push((number, line.to_owned())),
            }
            next = if line.trim().is_empty() { 0 } else { number + 1 };
        }
        paragraphs
    }

    /// The lines outside fenced blocks, with their numbers.
    fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut prose = Vec::new();
        for (number, line) in (1..).zip(self.text.lines()) {
            if line.starts_with("```") {
                inside = !inside;
            } else if !inside {
                prose.push((number, line));
            }
        }
        prose
    }

    /// Anchors of the headings, as GitHub makes them.
    fn anchors(&self) -> Vec<String> {
        let headings = self.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
        headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim())).collect()
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The targets of inline links and images: the text between `](` and `)`.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The inline code of a line.
fn inline_code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether inline code is a path of the repository without a placeholder.
fn is_path(code: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let has_placeholder = code.split(['/', '.']).any(|part| {
        part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase()) && part != "FIDELITY"
    });
    FOLDERS.iter().any(|folder| code.starts_with(folder))
        && code.chars().all(plain)
        && !has_placeholder
}

#[test]
fn every_relative_link_leads_to_a_file_and_to_a_heading_of_it() {
    let documents = documents();
    let mut broken = Vec::new();
    for document in &documents {
        for (number, line) in document.paragraphs() {
            for target in link_targets(&line).filter(|target| !target.contains("://")) {
                let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
                let found = if path.is_empty() {
                    Some(document)
                } else {
                    let path = document.folder.join(path);
                    if !path.exists() {
                        broken.push(format!("{}:{number}: {target}", document.name));
                        continue;
                    }
                    let path = path.canonicalize().unwrap();
                    documents.iter().find(|other| root().join(&other.name) == path)
                };
                let known = |other: &Document| other.anchors().iter().any(|a| a == fragment);
                if !fragment.is_empty() && !found.is_some_and(known) {
                    broken.push(format!("{}:{number}: {target}: no such heading", document.name));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_path_of_the_repository_that_a_document_names_exists() {
    let root = root();
    let mut missing = Vec::new();
    for document in documents() {
        // The changelog names paths of its time.
        if document.name == "CHANGELOG.md" {
            continue;
        }
        for (number, line) in document.paragraphs() {
            for path in inline_code(&line).flat_map(str::split_whitespace).filter(|c| is_path(c)) {
                if !root.join(path).exists() {
                    missing.push(format!("{}:{number}: {path}", document.name));
                }
            }
        }
        for block in document.blocks().iter().filter(|block| block.info == "sh") {
            for word in block.text.split_whitespace().filter(|word| is_path(word)) {
                if !root.join(word).exists() {
                    missing.push(format!("{}:{}: {word}", document.name, block.line));
                }
            }
        }
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn every_source_file_in_the_table_of_kernel_functions_exists() {
    let model = root().join("model/src");
    let document = Document::read("docs/model.md");
    let (_, table) = document.text.split_once("## Kernel functions").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 15, "only {} rows were found", rows.len());
    for row in rows {
        let files = row.split('|').nth(2).unwrap();
        for file in inline_code(files) {
            let path = match file.strip_prefix("zcrx/") {
                Some(rest) => model.join("io_uring/zcrx").join(rest),
                None => model.join(file),
            };
            assert!(path.exists(), "{file}");
        }
    }
}

#[test]
fn every_kernel_function_in_the_table_is_a_function_of_the_named_source_file() {
    let model = root().join("model/src");
    let document = Document::read("docs/model.md");
    let (_, table) = document.text.split_once("## Kernel functions").unwrap();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').collect();
        let sources: Vec<String> = inline_code(cells[2])
            .map(|file| model.join(file.replacen("zcrx/", "io_uring/zcrx/", 1)))
            .filter(|path| path.is_file())
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        // A folder stands for primitives, which are methods there.
        for function in inline_code(cells[1]).filter(|_| !sources.is_empty()) {
            let defined = |source: &String| {
                source.contains(&format!("fn {function}<"))
                    || source.contains(&format!("fn {function}("))
            };
            assert!(sources.iter().any(defined), "{function} is not in{}", cells[2]);
        }
    }
}

#[test]
fn every_test_file_in_the_documents_parses() {
    let mut count = 0;
    for document in documents() {
        for block in document.blocks() {
            if matches!(block.info, "ifq" | "ifq check") {
                let name = format!("{}:{}", document.name, block.line);
                parse(&name, &block.text).unwrap_or_else(|error| panic!("{name}: {error}"));
                count += 1;
            }
        }
    }
    assert!(count > 3, "only {count} test files were found");
}

#[test]
fn every_example_step_in_the_documents_parses() {
    let mut count = 0;
    for document in documents() {
        let blocks = document.blocks();
        for block in blocks.iter().filter(|block| block.info == "ifq steps") {
            let test = blocks.iter().find(|block| block.info.starts_with("ifq")).unwrap();
            let name = format!("{}:{}", document.name, block.line);
            let text = test.text.replace("finally\n", &format!("finally\n{}", block.text));
            assert_ne!(text, test.text, "{name}: the test file has no section `finally`");
            parse(&name, &text).unwrap_or_else(|error| panic!("{name}: {error}"));
            count += block.text.lines().count();
        }
    }
    assert!(count >= OPERATIONS.len(), "only {count} steps were found");
}

#[test]
fn every_line_of_rust_in_the_documents_is_a_line_of_the_model() {
    let mut sources = Vec::new();
    files_with_extension("rs", &root().join("model/src"), &mut sources);
    let sources: Vec<String> =
        sources.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let known: HashSet<&str> =
        sources.iter().flat_map(|text| text.lines()).map(str::trim).collect();
    let mut count = 0;
    for document in documents() {
        for block in document.blocks().iter().filter(|block| block.info == "rust") {
            let lines = block.text.lines().map(str::trim);
            for line in lines.filter(|line| !line.is_empty() && !line.starts_with("//")) {
                assert!(known.contains(line), "{}:{}: {line}", document.name, block.line);
                count += 1;
            }
        }
    }
    assert!(count > 10, "only {count} lines were found");
}

#[test]
fn the_explorer_finds_the_verdicts_that_the_documents_state() {
    let mut count = 0;
    for document in documents() {
        for block in document.blocks().iter().filter(|block| block.info == "ifq check") {
            let name = format!("{}:{}", document.name, block.line);
            let test = parse(&name, &block.text).unwrap();
            for variant in test.variants() {
                let found = explore(&test, &variant, &Limits::default(), &mut |_| {});
                let violated = found.counterexample.map(|c| c.violation.invariant);
                assert_eq!(violated, test.expected(&variant), "{name} on {variant}");
                assert!(violated.is_some() || found.exhaustive, "{name} on {variant}");
                let complete = found.exhaustive;
                let results = Results::of((&test, &variant), &found.outcomes, complete, None);
                assert!(!results.is_refuted(), "{name} on {variant}: {results:?}");
                count += 1;
            }
        }
    }
    assert!(count > 5, "only {count} verdicts were found");
}

#[test]
fn a_test_file_in_the_documents_that_has_the_name_of_a_library_file_is_that_file() {
    let library = library();
    let mut count = 0;
    for document in documents() {
        for block in document.blocks().iter().filter(|block| block.info == "ifq check") {
            let test = parse(&document.name, &block.text).unwrap();
            if let Some(file) = library.iter().find(|file| file.name == test.name) {
                assert_eq!(&test, file, "{}:{}", document.name, block.line);
                count += 1;
            }
        }
    }
    assert!(count >= 2, "only {count} library files were found");
}

#[test]
fn the_rows_of_verdicts_in_the_documents_are_those_that_the_explorer_finds() {
    let mut count = 0;
    let library = library();
    for document in documents() {
        for (number, line) in (1..).zip(document.text.lines()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Test, revision, defects, verdict, expected verdict, states, time and its unit.
            let [name, revision, _, .., _, _, _, "s"] = words[..] else { continue };
            let Some(test) = library.iter().find(|test| test.name == name) else { continue };
            let row = words[..words.len() - 2].join(" ");
            let of_revision = |v: &Variant| v.revision.name() == revision;
            let matches = test.variants().into_iter().filter(of_revision).any(|variant| {
                let found = explore(test, &variant, &Limits::default(), &mut |_| {});
                let verdict = match found.counterexample {
                    Some(found) => format!("violates {}", found.violation.invariant),
                    None => "holds".to_owned(),
                };
                row.ends_with(&format!(" {verdict} {verdict} {}", found.states))
            });
            assert!(matches, "{}:{number}: {row}", document.name);
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} rows were found");
}

#[test]
fn the_reference_names_every_word_of_the_test_language() {
    let document = Document::read("docs/test-file-reference.md");
    let verbs = OPERATIONS.iter().map(|operation| operation.verb);
    let modifiers = ArgModifier::ALL.iter().map(|modifier| modifier.name());
    let faults = FaultPoint::ALL.iter().map(|point| point.name());
    let setups = RingSetup::ALL.iter().map(|setup| setup.name());
    let events = Event::ALL.iter().map(|event| event.name());
    let conditions = Quantifier::ALL.iter().map(|quantifier| quantifier.name());
    for word in verbs.chain(modifiers).chain(faults).chain(setups).chain(events).chain(conditions) {
        assert!(document.text.contains(&format!("`{word}`")), "`{word}` is missing");
    }
}

#[test]
fn the_reference_says_which_verbs_each_modifier_applies_to() {
    let document = Document::read("docs/test-file-reference.md");
    for modifier in ArgModifier::ALL {
        let start = format!("| `{modifier}` | ");
        let row = document.text.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("no row for `{modifier}`"));
        let listed: Vec<&str> = inline_code(row.split('|').nth(2).unwrap()).collect();
        let verbs = OPERATIONS.iter().map(|operation| operation.verb);
        let mut fitting: Vec<&str> = verbs.filter(|verb| modifier.fits(verb)).collect();
        let mut sorted = listed.clone();
        sorted.sort_unstable();
        fitting.sort_unstable();
        assert_eq!(sorted, fitting, "`{modifier}`");
    }
}

#[test]
fn the_document_about_the_model_names_every_revision_and_every_invariant() {
    let document = Document::read("docs/model.md");
    for revision in Revision::ALL {
        assert!(document.text.contains(&format!("| `{revision}` |")), "{revision}");
    }
    for invariant in Invariant::ALL {
        assert!(document.text.contains(&format!("| {invariant} |")), "{invariant}");
    }
}

#[test]
fn the_scan_finds_links_paths_and_headings() {
    let links: Vec<&str> = link_targets("See [a](b.md#c) and ![d](e.svg).").collect();
    assert_eq!(links, ["b.md#c", "e.svg"]);
    assert_eq!(anchor("Why `it` holds, again"), "why-it-holds-again");
    assert!(is_path("model/src/run.rs") && is_path(".ci/run"));
    assert!(!is_path("tests/library/SUBJECT/CLAIM.ifq") && !is_path("tests/tests/loom_*.rs"));
}
