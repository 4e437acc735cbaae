//! Goal: a reader can look up for each kernel function where the model has it and what the model leaves
//! out, and nothing in that table is written by hand.
//!
//! Method: collect the documentation of the kernel code in `model/`. A function of Linux says
//! "Linux: `FILE`, VERSIONS."; any other function says that it is not in Linux. A list under
//! "Divergence from Linux" says what is simplified or left out. `docs/FIDELITY.md` must be exactly what
//! is collected. `IFQ_UPDATE_DOCS=1 cargo test -p ifq-tests --test fidelity` writes it.
//!
//! `tests/kernel` has a list for each version of the kernel that can be read: the functions of
//! `io_uring/zcrx.c` and what they call. Each of them must be in the model, or in the list of
//! `model/src/not_modelled.rs`. For a new version add its list with the example `kernel_functions`; the test
//! then names what is new.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ifq_tests::c_source::{Functions, parse};
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

/// The versions with the name that the documentation begins with, and the name in older versions with those:
/// "7.1 to 7.3; `OLD`, 6.18 to 7.0".
fn with_former_name(versions: &str) -> (&str, Option<(&str, &str)>) {
    let Some((versions, former)) = versions.split_once("; `") else { return (versions, None) };
    (versions, former.split_once("`, "))
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
            let (versions, former) = with_former_name(versions);
            let names = former.into_iter().chain([(name, versions)]);
            for (name, versions) in names {
                let (place, divergences) = (place.clone(), divergences.clone());
                let (name, versions) = (name.to_owned(), versions.to_owned());
                let entry = Entry { name, place, versions, divergences };
                self.entries.entry(linux_file.to_owned()).or_default().push(entry);
            }
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
             Do not edit it: run `IFQ_UPDATE_DOCS=1 cargo test -p ifq-tests --test fidelity`.\n\n",
        );
        let kernels = kernels();
        let releases: Vec<&str> = kernels.keys().map(String::as_str).collect();
        let _ = writeln!(
            text,
            "The code was read from {}. Paths are below `model/src/`.",
            releases.join(", ")
        );
        text.push_str(&self.zcrx(&kernels, &not_modelled()));
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

/// The file of Linux of which each function must be known.
const ZCRX: &str = "io_uring/zcrx.c";

/// By version of the kernel: the functions of [`ZCRX`]. The series of a version is its first two numbers.
fn kernels() -> BTreeMap<String, Functions> {
    let files = std::fs::read_dir(root().join("tests/kernel")).unwrap();
    let read = |path: std::path::PathBuf| {
        let version = path.file_name().unwrap().to_str().unwrap().to_owned();
        (version, parse(&std::fs::read_to_string(path).unwrap()))
    };
    files.map(|file| read(file.unwrap().path())).collect()
}

/// A function that the model does not have, from `model/src/not_modelled.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Declared {
    /// A function of the model does what it does.
    PartOf(String),
    /// Simplified, left out, or a construct of C: the sentence that says so.
    Otherwise(String),
}

/// The kinds of a [`Declared::Otherwise`], and how the table names them.
const KINDS: [(&str, &str); 3] =
    [("Simplified: ", "simplified"), ("Left out: ", "left out"), ("Calculation: ", "modelled")];

/// Reads the list of `not_modelled.rs`: items of quoted names, a colon, and what becomes of them.
fn declared(lines: &[String]) -> BTreeMap<String, Declared> {
    let mut items: Vec<String> = Vec::new();
    for line in lines.iter().skip_while(|line| *line != "# Functions").skip(1) {
        if let Some(item) = line.strip_prefix("- ") {
            items.push(item.to_owned());
        } else if let (Some(last), false) = (items.last_mut(), line.trim().is_empty()) {
            last.push(' ');
            last.push_str(line.trim());
        }
    }
    let mut found = BTreeMap::new();
    for item in items {
        let (names, says) = item.split_once("`: ").unwrap_or_else(|| panic!("no colon: {item}"));
        let says = match says.strip_prefix("Part of `") {
            Some(function) => Declared::PartOf(function.trim_end_matches("`.").to_owned()),
            None => {
                assert!(KINDS.iter().any(|(kind, _)| says.starts_with(kind)), "which kind: {item}");
                Declared::Otherwise(says.to_owned())
            }
        };
        for name in names.split(',').map(|name| name.trim().trim_matches('`')) {
            assert!(
                found.insert(name.to_owned(), says.clone()).is_none(),
                "{name} is listed twice"
            );
        }
    }
    found
}

fn not_modelled() -> BTreeMap<String, Declared> {
    let files = read_crate("model");
    let file = files.iter().find(|file| file.path == "model/src/not_modelled.rs").unwrap();
    declared(&doc_lines(&file.ast.attrs))
}

/// The name of a function in the documentation: without its arguments.
fn bare(name: &str) -> &str {
    name.split('(').next().unwrap_or(name)
}

/// Whether "6.18 to 7.3" or "7.3" contains the series of a version such as 7.3.4.
fn contains(versions: &str, version: &str) -> bool {
    let numbers = |text: &str| -> (u32, u32) {
        let mut parts = text.split('.').map(|part| part.parse().unwrap());
        (parts.next().unwrap(), parts.next().unwrap())
    };
    let (first, last) = versions.split_once(" to ").unwrap_or((versions, versions));
    if last.contains(' ') {
        return false;
    }
    (numbers(first)..=numbers(last)).contains(&numbers(version))
}

/// As [`contains`]. The model has 6.18 with the proposal, which changes some of its functions.
fn has(versions: &str, version: &str) -> bool {
    let base = versions.strip_suffix(" with the proposal").unwrap_or(versions);
    contains(base, version)
}

/// What the kernels' lists and the model say differently, one sentence each.
fn problems(
    collected: &Collected,
    kernels: &BTreeMap<String, Functions>,
    declared: &BTreeMap<String, Declared>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let entries = || collected.entries.values().flatten();
    let is_function = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    for (version, functions) in kernels {
        let own = |name: &str| functions.contains_key(name);
        let called: BTreeSet<&String> = functions.values().flatten().collect();
        for name in functions.keys().chain(called.iter().copied().filter(|name| !own(name))) {
            let mut modelled = entries().filter(|entry| bare(&entry.name) == name);
            let exists = modelled.clone().next().is_some();
            if exists && declared.contains_key(name) {
                problems.push(format!("{name} is modelled and listed in not_modelled.rs"));
            } else if !exists && !declared.contains_key(name) {
                problems.push(format!("{name} of {version} is neither modelled nor listed"));
            } else if exists && !modelled.any(|entry| has(&entry.versions, version)) {
                problems
                    .push(format!("{name} is in {version}, but its documentation does not say so"));
            }
        }
        for entry in collected.entries.get(ZCRX).into_iter().flatten() {
            let name = bare(&entry.name);
            if is_function(name) && contains(&entry.versions, version) && !own(name) {
                problems.push(format!("{name} is not in {version}, but its documentation says so"));
            }
        }
    }
    for (name, says) in declared {
        let known = |functions: &Functions| {
            functions.contains_key(name) || functions.values().any(|calls| calls.contains(name))
        };
        if !kernels.values().any(known) {
            problems.push(format!("{name} is listed in not_modelled.rs and is in no kernel"));
        }
        if let Declared::PartOf(whole) = says
            && !entries().any(|entry| bare(&entry.name) == whole)
        {
            problems.push(format!("{name} is part of {whole}, which is not modelled"));
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

impl Collected {
    /// The tables of every function of [`ZCRX`] and of what it calls.
    fn zcrx(
        &self,
        kernels: &BTreeMap<String, Functions>,
        declared: &BTreeMap<String, Declared>,
    ) -> String {
        let own: BTreeSet<&String> = kernels.values().flat_map(BTreeMap::keys).collect();
        let calls = kernels.values().flat_map(BTreeMap::values).flatten();
        let called: BTreeSet<&String> = calls.filter(|name| !own.contains(name)).collect();
        let mut text = String::new();
        for (title, names) in [
            (format!("Every function of `{ZCRX}`"), own),
            (format!("What `{ZCRX}` calls elsewhere"), called),
        ] {
            let versions: String = kernels.keys().map(|version| format!(" {version} |")).collect();
            let rules = "---|".repeat(kernels.len());
            let _ =
                write!(text, "\n## {title}\n\n| function |{versions} how |\n|---|{rules}---|\n");
            for name in names {
                let (kind, how) = self.how(name, declared);
                let cell = |functions: &Functions| {
                    let has = functions.contains_key(name)
                        || functions.values().any(|calls| calls.contains(name));
                    if has { format!(" {kind} |") } else { " - |".to_owned() }
                };
                let cells: String = kernels.values().map(cell).collect();
                let _ = writeln!(text, "| `{name}` |{cells} {how} |");
            }
        }
        text
    }

    /// Whether a function is modelled, simplified or left out, and how.
    fn how(&self, name: &str, declared: &BTreeMap<String, Declared>) -> (&'static str, String) {
        match declared.get(name) {
            Some(Declared::PartOf(whole)) => ("modelled", format!("part of `{whole}`")),
            Some(Declared::Otherwise(says)) => {
                let kind = KINDS.iter().find(|(kind, _)| says.starts_with(kind)).unwrap();
                (kind.1, says.strip_prefix("Calculation: ").unwrap_or(says).to_owned())
            }
            None => {
                let entries = self.entries.values().flatten();
                let found: Vec<&Entry> =
                    entries.filter(|entry| bare(&entry.name) == name).collect();
                let simple = found.iter().any(|entry| !entry.divergences.is_empty());
                let how = |entry: &&Entry| match entry.divergences.is_empty() {
                    true => entry.place.clone(),
                    false => format!("{}. {}", entry.place, entry.divergences.join(" ")),
                };
                let how: Vec<String> = found.iter().map(how).collect();
                (if simple { "simplified" } else { "modelled" }, how.join("; "))
            }
        }
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
fn each_function_of_zcrx_in_each_kernel_and_what_it_calls_is_modelled_or_said_not_to_be() {
    let problems = problems(&collect(), &kernels(), &not_modelled());
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn a_new_function_a_removed_one_and_a_wrong_version_are_named() {
    let list = |text: &str| BTreeMap::from([("9.1.2".to_owned(), parse(text))]);
    let entry = |name: &str, versions: &str| Entry {
        name: name.to_owned(),
        place: String::new(),
        versions: versions.to_owned(),
        divergences: Vec::new(),
    };
    let entries = vec![entry("f", "9.0 to 9.2"), entry("gone", "9.1"), entry("old", "9.0")];
    let collected =
        Collected { entries: BTreeMap::from([(ZCRX.to_owned(), entries)]), undeclared: Vec::new() };
    let lines = ["# Functions", "- `h`, `stale`:", "  Part of `f`.", "- `k`: Part of `no`."];
    let lines: Vec<String> = lines.map(str::to_owned).into();
    let found = problems(&collected, &list("f: h k new\nold:\n"), &declared(&lines));
    assert_eq!(
        found,
        [
            "gone is not in 9.1.2, but its documentation says so",
            "k is part of no, which is not modelled",
            "new of 9.1.2 is neither modelled nor listed",
            "old is in 9.1.2, but its documentation does not say so",
            "stale is listed in not_modelled.rs and is in no kernel",
        ]
    );
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
    assert_eq!(with_former_name("7.3"), ("7.3", None));
    let former = with_former_name("7.1 to 7.3; `old`, 6.18 to 7.0");
    assert_eq!(former, ("7.1 to 7.3", Some(("old", "6.18 to 7.0"))));
    assert!(has("6.18 with the proposal", "6.18.15") && !has("6.18 with the proposal", "6.19.14"));
}
