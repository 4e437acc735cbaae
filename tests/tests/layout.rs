//! Goal: arrows between files and folders run one way, and kernel code does not know the harness.
//!
//! Method: parse the sources, resolve what each file names to the file that defines it, and look for
//! cycles in that graph. Test code is left out.

mod source;

use std::collections::{BTreeMap, BTreeSet};

use source::{SourceFile, named_paths, read_crate};

/// Paths of files, each with the paths of the files that it uses.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The file of the module that a path lies in.
fn file_of<'f>(files: &'f [SourceFile], path: &[String]) -> Option<&'f SourceFile> {
    let fits = |file: &&SourceFile| path.starts_with(&file.module);
    files.iter().filter(fits).max_by_key(|file| file.module.len())
}

fn graph(files: &[SourceFile]) -> Graph {
    let uses = |file: &SourceFile| {
        let paths = named_paths(file);
        let targets = paths.iter().filter_map(|path| file_of(files, path));
        targets.map(|target| target.path.clone()).filter(|path| *path != file.path).collect()
    };
    files.iter().map(|file| (file.path.clone(), uses(file))).collect()
}

/// The files that can be reached from a file.
fn reachable<'g>(graph: &'g Graph, from: &'g str) -> BTreeSet<&'g str> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for next in graph.get(file).into_iter().flatten() {
            if found.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    found
}

/// Groups of files that all reach each other, largest first.
fn cycles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&str, _> =
        graph.keys().map(|f| (f.as_str(), reachable(graph, f))).collect();
    let mut found: BTreeSet<BTreeSet<String>> = BTreeSet::new();
    for (file, others) in &reach {
        let mutual = others.iter().filter(|other| reach[*other].contains(file));
        let group: BTreeSet<String> = mutual.map(|other| (*other).to_owned()).collect();
        if group.len() > 1 {
            found.insert(group);
        }
    }
    found.into_iter().collect()
}

/// The arrows inside a group, for the message.
fn arrows(graph: &Graph, group: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for file in group {
        for target in graph[file].intersection(group) {
            text.push_str(&format!("  {file} -> {target}\n"));
        }
    }
    text
}

/// The graph of folders: the part of a path up to the folder below `src`.
fn folders(graph: &Graph) -> Graph {
    let folder = |path: &str| {
        let mut parts = path.split('/');
        let (krate, src, first) = (parts.next(), parts.next(), parts.next());
        let first = first.unwrap_or_default().trim_end_matches(".rs");
        format!("{}/{}/{first}", krate.unwrap_or_default(), src.unwrap_or_default())
    };
    let mut result = Graph::new();
    for (file, targets) in graph {
        let from = folder(file);
        let to = targets.iter().map(|target| folder(target)).filter(|to| *to != from);
        result.entry(from.clone()).or_default().extend(to);
    }
    result
}

/// Files of the model that are kernel code. They refer to each other as the kernel's files do.
fn is_kernel(path: &str) -> bool {
    const FOLDERS: [&str; 3] = ["model/src/io_uring/", "model/src/net/", "model/src/prim/"];
    const FILES: [&str; 7] = ["bug", "fs", "kernel", "mm", "trace", "uaccess", "work"];
    FOLDERS.iter().any(|folder| path.starts_with(folder))
        || FILES.iter().any(|file| path == format!("model/src/{file}.rs"))
}

fn assert_no_cycles(graph: &Graph, allowed: impl Fn(&str) -> bool) {
    for group in cycles(graph) {
        let outside: Vec<&String> = group.iter().filter(|path| !allowed(path)).collect();
        assert!(outside.is_empty(), "these use each other:\n{}", arrows(graph, &group));
    }
}

#[test]
fn files_of_the_model_use_each_other_one_way_outside_the_kernel_code() {
    let graph = graph(&read_crate("model"));
    assert_no_cycles(&graph, is_kernel);
}

#[test]
fn files_and_folders_of_the_simulator_use_each_other_one_way() {
    let graph = graph(&read_crate("sim"));
    assert_no_cycles(&graph, |_| false);
    assert_no_cycles(&folders(&graph), |_| false);
}

#[test]
fn files_of_the_live_part_use_each_other_one_way() {
    let graph = graph(&read_crate("real"));
    assert_no_cycles(&graph, |_| false);
    assert_no_cycles(&folders(&graph), |_| false);
}

#[test]
fn kernel_code_uses_neither_tests_nor_checks_nor_user_space() {
    const HARNESS: [&str; 6] = ["check", "run", "run_state", "spec", "test", "user"];
    for file in read_crate("model").iter().filter(|file| is_kernel(&file.path)) {
        for path in named_paths(file) {
            let first = path.first().map_or("", String::as_str);
            assert!(!HARNESS.contains(&first), "{} uses {}", file.path, path.join("::"));
        }
    }
}

#[test]
fn checks_name_no_defect_and_no_revision() {
    for file in read_crate("model") {
        if !file.path.starts_with("model/src/check/") {
            continue;
        }
        for path in named_paths(&file) {
            let is_revision = path.first().is_some_and(|first| first == "revision");
            assert!(!is_revision, "{} uses {}", file.path, path.join("::"));
        }
        let text = std::fs::read_to_string(source::root().join(&file.path)).unwrap();
        for word in ["Defect", "kernel.has(", "variant.has", ".fixed(", "has_proxies"] {
            assert!(!text.contains(word), "{} contains {word}", file.path);
        }
    }
}

#[test]
fn kernel_code_reports_no_violation_but_in_its_primitives() {
    for file in read_crate("model") {
        let primitive = file.path.starts_with("model/src/prim/") || file.path == "model/src/mm.rs";
        if is_kernel(&file.path) && !primitive {
            let text = std::fs::read_to_string(source::root().join(&file.path)).unwrap();
            assert!(!text.contains("violation"), "{} reports a violation", file.path);
        }
    }
}

#[test]
fn a_planted_cycle_is_found() {
    let arrow = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    let graph = Graph::from([arrow("a", "b"), arrow("b", "c"), arrow("c", "a"), arrow("d", "a")]);
    let expected = BTreeSet::from(["a".to_owned(), "b".to_owned(), "c".to_owned()]);
    assert_eq!(cycles(&graph), [expected]);
}
