//! Goal: imports run one way, so that each file of the crate can be read without those above it.
//!
//! Method: parse every file of `src`, resolve each path that begins with `crate`, `self` or `super` to a
//! file, and look for cycles. Test modules are left out, and so is the use of a submodule by its parent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

/// A module path without `crate`; the crate's root is empty.
type Module = Vec<String>;

/// For each node those that it imports.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Folders from low to high, with the folders that each may import. Others may import all of these.
const LAYERS: [(&str, &[&str]); 4] = [
    ("executor", &[]),
    ("step_table", &["executor"]),
    ("symmetry", &["executor"]),
    ("search", &["executor", "step_table", "symmetry"]),
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name() != Some("tests".as_ref()) {
            rust_files(&path, files);
        } else if path.extension() == Some("rs".as_ref()) {
            files.push(path);
        }
    }
}

fn module_of(file: &Path) -> Module {
    let relative = file.strip_prefix(src()).unwrap().with_extension("");
    let mut module: Module =
        relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

fn is_test(attributes: &[Attribute]) -> bool {
    let test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    };
    attributes.iter().any(test)
}

/// Collects the paths of a file, without those of its test modules.
#[derive(Default)]
struct Paths(Vec<Module>);

impl Paths {
    fn add_tree(&mut self, tree: &UseTree, prefix: &Module) {
        let with = |name: &syn::Ident| [prefix.as_slice(), &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => self.0.push(with(&name.ident)),
            UseTree::Rename(rename) => self.0.push(with(&rename.ident)),
            UseTree::Glob(_) => self.0.push(prefix.clone()),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_tree(tree, prefix));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Mod(ItemMod { attrs, .. }) if is_test(attrs) => {}
            _ => visit::visit_item(self, item),
        }
    }

    // `pub(super)` is no import.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&item.tree, &Module::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

/// The file that a path in a file refers to: that of the longest prefix which is a module.
fn resolve(path: &Module, from: &Module, modules: &BTreeSet<Module>) -> Option<Module> {
    let mut names = path.iter().map(String::as_str).peekable();
    let mut target = match names.next()? {
        "crate" => Module::new(),
        "self" => from.clone(),
        "super" => from[..from.len().checked_sub(1)?].to_vec(),
        // `mod child;` followed by `use child::Name;`.
        child => [from.as_slice(), &[child.to_owned()]].concat(),
    };
    while names.next_if_eq(&"super").is_some() {
        target.pop()?;
    }
    if !modules.contains(&target) {
        return None;
    }
    for name in names {
        target.push(name.to_owned());
        if !modules.contains(&target) {
            target.pop();
            break;
        }
    }
    Some(target)
}

/// The imports of each file, by module path.
fn imports() -> BTreeMap<Module, BTreeSet<Module>> {
    let mut files = Vec::new();
    rust_files(&src(), &mut files);
    let modules: BTreeSet<Module> = files.iter().map(|file| module_of(file)).collect();
    assert!(modules.len() > 80, "only {} files were found", modules.len());
    let imports = files.iter().map(|file| {
        let module = module_of(file);
        let parsed = syn::parse_file(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mut paths = Paths::default();
        paths.visit_file(&parsed);
        let targets = paths.0.iter().filter_map(|path| resolve(path, &module, &modules));
        // The root only declares modules and macros. A module and its own submodules are one unit.
        let targets = targets.filter(|target| !target.starts_with(&module) && !target.is_empty());
        (module.clone(), targets.collect())
    });
    imports.collect()
}

/// A cycle of the graph, if there is one.
fn cycle(graph: &Graph) -> Option<Vec<String>> {
    fn visit<'g>(
        node: &'g str,
        graph: &'g Graph,
        path: &mut Vec<&'g str>,
        done: &mut BTreeSet<&'g str>,
    ) -> Option<Vec<String>> {
        if let Some(start) = path.iter().position(|known| *known == node) {
            let cycle = path[start..].iter().chain([&node]);
            return Some(cycle.map(|name| (*name).to_owned()).collect());
        }
        if !done.contains(node) {
            path.push(node);
            for next in graph.get(node).into_iter().flatten() {
                if let Some(cycle) = visit(next, graph, path, done) {
                    return Some(cycle);
                }
            }
            path.pop();
            done.insert(node);
        }
        None
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|node| visit(node, graph, &mut Vec::new(), &mut done))
}

/// The imports between top-level folders.
fn folders() -> Graph {
    let mut graph = Graph::new();
    for (module, targets) in imports() {
        let Some(folder) = module.first() else { continue };
        let edges = graph.entry(folder.clone()).or_default();
        let others = targets.iter().map(|target| &target[0]).filter(|other| *other != folder);
        edges.extend(others.cloned());
    }
    graph
}

#[test]
fn no_two_files_import_each_other_directly_or_indirectly() {
    let name = |module: &Module| module.join("::");
    let graph: Graph = imports()
        .iter()
        .map(|(module, targets)| (name(module), targets.iter().map(name).collect()))
        .collect();
    assert_eq!(cycle(&graph).map(|cycle| cycle.join(" -> ")), None);
}

#[test]
fn no_two_folders_import_each_other_directly_or_indirectly() {
    assert_eq!(cycle(&folders()).map(|cycle| cycle.join(" -> ")), None);
}

#[test]
fn the_executor_the_step_table_and_the_search_import_only_lower_layers() {
    let folders = folders();
    for (folder, allowed) in LAYERS {
        for imported in &folders[folder] {
            assert!(allowed.contains(&imported.as_str()), "{folder} imports {imported}");
        }
    }
}

#[test]
fn a_cycle_is_reported_with_its_path() {
    let edge = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    let graph = Graph::from([edge("a", "b"), edge("b", "c"), edge("c", "b")]);
    assert_eq!(cycle(&graph), Some(["b", "c", "b"].map(str::to_owned).to_vec()));
    assert_eq!(cycle(&Graph::from([edge("a", "b"), edge("b", "c")])), None);
}
