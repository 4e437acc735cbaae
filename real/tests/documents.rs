//! Goal: the command lines in the documents are those that `ifq` accepts. Method: read the `sh` blocks of
//! every Markdown file at the root of the repository and in `docs/`, and parse each line that calls `ifq`.

use std::path::{Path, PathBuf};

use clap::Parser;
use ifq_real::cmd::Cli;

fn markdown_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The command lines of a document that call `ifq`, without comments, with their numbers.
fn commands(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fence = None;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(info) = line.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(info) };
        } else if fence == Some("sh") && line.starts_with("ifq ") {
            found.push((number, line.split(" #").next().unwrap_or(line).trim_end()));
        }
    }
    found
}

/// Splits a command line at spaces outside single quotes.
fn words(line: &str) -> Vec<&str> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(
            |(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() },
        )
        .collect()
}

#[test]
fn every_command_line_in_the_documents_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut count = 0;
    for path in [markdown_files(&root), markdown_files(&root.join("docs"))].concat() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in commands(&text) {
            let name = format!("{}:{number}: {line}", path.display());
            // `kernel:PATH` is accepted only if the reader's kernel image exists.
            let words = words(line).into_iter();
            let words = words.map(|w| if w.starts_with("kernel:") { "host" } else { w });
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{name}\n{error}"));
            count += 1;
        }
    }
    assert!(count > 20, "only {count} command lines were found");
}

#[test]
fn comments_and_quotes_are_read_as_a_shell_reads_them() {
    let text = "```sh\nifq rig list   # all\nls\n```\nifq show x\n";
    assert_eq!(commands(text), [(2, "ifq rig list")]);
    assert_eq!(words("ifq rig shell -c 'uname -r'"), ["ifq", "rig", "shell", "-c", "uname -r"]);
}
