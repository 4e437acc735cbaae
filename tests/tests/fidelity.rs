//! Goal: a reader can look up for each kernel function where the model has it and what the model leaves
//! out, and nothing in that table is written by hand.
//!
//! Method: collect the documentation of the kernel code in `model/`. A function of Linux says
//! "Linux: `FILE`, VERSIONS."; any other function says that it is not in Linux. A list under
//! "Divergence from Linux" says what is simplified or left out. `docs/FIDELITY.md` must be exactly what
//! is collected. `IFQ_UPDATE_DOCS=1 cargo test -p ifq-tests --test fidelity` writes it.

mod source;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use source::{SourceFile, doc_lines, is_test_only, read_crate, root};
use syn::{Attribute, ImplItem, Item, Visibility};

const KERNEL: [&str; 3] = ["model/src/io_uring/", "model/src/net/", "model/src/prim/"];
const KERNEL_FILES: [&str; 5] = ["bug", "fs", "kernel", "mm", "uaccess"];

/// One documented item of the kernel code.
#[derive(Debug)]
struct Entry {
    /// What the documentation calls it: a function of Linux, or a type.
    name: String,
    /// Where the model has it.
    place: String,
    /// Versions that have it; empty for types.
    versions: String,
    /// Simplifications and omissions.
    divergences: Vec<String>,
}

fn is_kernel(path: &str) -> bool {
    KERNEL.iter().any(|folder| path.starts_with(folder))
        || KERNEL_FILES.iter().any(|file| path == format!("model/src/{file}.rs"))
}

/// The items of the list under "Divergence from Linux".
fn divergences(lines: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let section = lines.iter().skip_while(|line| *line != "# Divergence from Linux").skip(1);
    for line in section.take_while(|line| !line.starts_with('#') && !line.starts_with("Linux:")) {
        if let Some(item) = line.strip_prefix("- ") {
            found.push(item.to_owned());
        } else if let (Some(last), false) = (found.last_mut(), line.trim().is_empty()) {
            last.push(' ');
            last.push_str(line.trim());
        }
    }
    found
}

/// The name in backticks at the start of a text.
fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('`')?.split('`').next()
}

/// The file and the versions of the line "Linux: `FILE`, VERSIONS."
fn linux(lines: &[String]) -> Option<(&str, &str)> {
    let line = lines.iter().find_map(|line| line.strip_prefix("Linux: `"))?;
    let (file, versions) = line.split_once("`, ")?;
    Some((file, versions.trim_end_matches('.')))
}

/// By file of Linux; types under an empty name. Complains about functions that say nothing.
#[derive(Debug, Default)]
struct Collected {
    entries: BTreeMap<String, Vec<Entry>>,
    undeclared: Vec<String>,
}

impl Collected {
    fn add(&mut self, file: &SourceFile, item: &str, attributes: &[Attribute], free: bool) {
        let lines = doc_lines(attributes);
        let first = lines.first().map_or("", String::as_str);
        let place = format!("{}: `{item}`", file.path.trim_start_matches("model/src/"));
        let divergences = divergences(&lines);
        if let (Some((linux_file, versions)), Some(name)) = (linux(&lines), quoted(first)) {
            let entry =
                Entry { name: name.to_owned(), place, versions: versions.to_owned(), divergences };
            self.entries.entry(linux_file.to_owned()).or_default().push(entry);
            return;
        }
        let declared = ["Not in Linux", "Not in the proposal", "For checks"];
        if free && !declared.iter().any(|start| first.starts_with(start)) {
            self.undeclared.push(place.clone());
        }
        if !divergences.is_empty() {
            let name = quoted(first).unwrap_or(item).to_owned();
            let entry = Entry { name, place, versions: String::new(), divergences };
            self.entries.entry(String::new()).or_default().push(entry);
        }
    }

    fn add_file(&mut self, file: &SourceFile) {
        for item in &file.ast.items {
            match item {
                Item::Fn(item) => self.add(file, &item.sig.ident.to_string(), &item.attrs, true),
                Item::Struct(item) => self.add(file, &item.ident.to_string(), &item.attrs, false),
                Item::Enum(item) => self.add(file, &item.ident.to_string(), &item.attrs, false),
                Item::Impl(item) if !is_test_only(&item.attrs) => {
                    for inner in &item.items {
                        if let ImplItem::Fn(inner) = inner
                            && !matches!(inner.vis, Visibility::Inherited)
                        {
                            self.add(file, &inner.sig.ident.to_string(), &inner.attrs, false);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn markdown(&self) -> String {
        let mut text = String::from(
            "# What the model has of Linux\n\n\
             The test `tests/tests/fidelity.rs` makes this file from the documentation in `model/src`. \
             Do not edit it: run `IFQ_UPDATE_DOCS=1 cargo test -p ifq-tests --test fidelity`.\n\n\
             The code was read from 6.18.15, 6.19.10, 7.1.13, 7.2.12 and 7.3.4. 7.0 was observed from outside, on \
             7.0.13. Paths are below `model/src/`.\n",
        );
        for (linux_file, entries) in &self.entries {
            if linux_file.is_empty() {
                text.push_str("\n## Types and tables\n\n| type | here | simplified, left out |\n");
                text.push_str("|---|---|---|\n");
            } else {
                let _ = write!(text, "\n## `{linux_file}`\n\n");
                text.push_str("| function | versions | here | simplified, left out |\n");
                text.push_str("|---|---|---|---|\n");
            }
            for entry in entries {
                let versions = if linux_file.is_empty() {
                    String::new()
                } else {
                    format!(" {} |", entry.versions)
                };
                let _ = writeln!(
                    text,
                    "| `{}` |{versions} {} | {} |",
                    entry.name.replace('|', "\\|"),
                    entry.place,
                    entry.divergences.join(" ")
                );
            }
        }
        text
    }
}

fn collect() -> Collected {
    let mut collected = Collected::default();
    for file in read_crate("model").iter().filter(|file| is_kernel(&file.path)) {
        collected.add_file(file);
    }
    collected
}

#[test]
fn each_function_of_the_kernel_code_names_its_linux_file_and_versions_or_says_that_it_is_not_in_linux()
 {
    let undeclared = collect().undeclared;
    assert!(undeclared.is_empty(), "these say neither:\n{}", undeclared.join("\n"));
}

#[test]
fn the_fidelity_table_is_what_the_documentation_of_the_kernel_code_says() {
    let path = root().join("docs/FIDELITY.md");
    let made = collect().markdown();
    if std::env::var_os("IFQ_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap();
    let hint = "run IFQ_UPDATE_DOCS=1 cargo test -p ifq-tests --test fidelity";
    assert!(stored == made, "docs/FIDELITY.md differs from the sources: {hint}");
}

#[test]
fn the_linux_line_and_the_divergences_are_read_from_a_documentation() {
    let text = "`f`.\n\n# Divergence from Linux\n- Left out: a,\n  b.\n- Simplified: c.\n\nLinux: `d/e.c`, 7.3.";
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(divergences(&lines), ["Left out: a, b.", "Simplified: c."]);
    assert_eq!(linux(&lines), Some(("d/e.c", "7.3")));
    assert_eq!(linux(&lines[..3]), None);
}
