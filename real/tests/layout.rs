//! Goal: the files of `src` do not import each other in cycles. Method: parse each file, resolve every
//! path that starts at `crate`, `super`, `self` or a child module to the file that defines the item
//! (through re-exports), and search the graph of files for a cycle. Modules named `tests` are skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Item, UseTree, Visibility};

/// The folder of the command line, which is not checked.
const COMMAND_LINE: &str = "cmd";

type ModulePath = Vec<String>;

/// One module, which is one file.
struct Module {
    file: PathBuf,
    syntax: syn::File,
    /// Name of a re-export and the path that it stands for.
    reexports: BTreeMap<String, ModulePath>,
}

type Modules = BTreeMap<ModulePath, Module>;

fn read(dir: &Path, prefix: &[String], modules: &mut Modules) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let file = entry.path();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut path = prefix.to_vec();
        if file.is_dir() && name == COMMAND_LINE {
            continue;
        }
        if file.is_dir() {
            path.push(name);
            read(&file, &path, modules);
            continue;
        }
        match name.as_str() {
            "main" => continue,
            "lib" | "mod" => {}
            _ => path.push(name),
        }
        let syntax = syn::parse_file(&fs::read_to_string(&file).unwrap()).unwrap();
        let mut reexports = BTreeMap::new();
        for item in &syntax.items {
            if let Item::Use(item) = item
                && !matches!(item.vis, Visibility::Inherited)
            {
                let mut leaves = Vec::new();
                flatten(&item.tree, &mut Vec::new(), &mut leaves);
                reexports.extend(leaves);
            }
        }
        modules.insert(path, Module { file, syntax, reexports });
    }
}

/// Each imported name with its path.
fn flatten(tree: &UseTree, prefix: &mut ModulePath, leaves: &mut Vec<(String, ModulePath)>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, leaves);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|t| flatten(t, prefix, leaves)),
        UseTree::Name(name) if name.ident == "self" => {
            leaves.push((prefix.last().unwrap().clone(), prefix.clone()));
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            leaves.push((name.clone(), [&prefix[..], &[name]].concat()));
        }
        UseTree::Rename(rename) => {
            let path = [&prefix[..], &[rename.ident.to_string()]].concat();
            leaves.push((rename.rename.to_string(), path));
        }
        UseTree::Glob(_) => leaves.push(("*".to_owned(), prefix.clone())),
    }
}

/// The module that defines the item at `path`, as seen from `from`. `None`: another crate's.
fn resolve(modules: &Modules, from: &[String], path: &[String]) -> Option<ModulePath> {
    let (first, mut rest) = path.split_first()?;
    let mut at = match first.as_str() {
        "crate" => Vec::new(),
        "self" => from.to_vec(),
        "super" => from[..from.len().checked_sub(1)?].to_vec(),
        child => {
            let child = [from, &[child.to_owned()]].concat();
            modules.contains_key(&child).then_some(child)?
        }
    };
    while let Some((name, others)) = rest.split_first() {
        let child = [&at[..], std::slice::from_ref(name)].concat();
        if name == "super" {
            at.pop();
        } else if modules.contains_key(&child) {
            at = child;
        } else if let Some(target) = modules.get(&at)?.reexports.get(name) {
            return resolve(modules, &at, &[&target[..], others].concat());
        } else {
            break;
        }
        rest = others;
    }
    modules.contains_key(&at).then_some(at)
}

/// The paths that a file uses, apart from its re-exports.
#[derive(Default)]
struct Paths(Vec<ModulePath>);

impl<'a> Visit<'a> for Paths {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if item.ident != "tests" {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if matches!(item.vis, Visibility::Inherited) {
            let mut leaves = Vec::new();
            flatten(&item.tree, &mut Vec::new(), &mut leaves);
            self.0.extend(leaves.into_iter().map(|(_, path)| path));
        }
    }

    /// `pub(super)` is no import.
    fn visit_visibility(&mut self, _: &'a Visibility) {}

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

fn imports(modules: &Modules) -> BTreeMap<&ModulePath, BTreeSet<ModulePath>> {
    let of = |(path, module): (&ModulePath, &Module)| {
        let mut paths = Paths::default();
        paths.visit_file(&module.syntax);
        let used = paths.0.iter().filter_map(|used| resolve(modules, path, used));
        used.filter(|used| used != path).collect()
    };
    modules.iter().map(|entry| (entry.0, of(entry))).collect()
}

/// Removes files that import no remaining file until none is left or all others are in, or lead to, a
/// cycle; then follows the imports until a file comes again.
fn cycle(modules: &Modules) -> Option<Vec<String>> {
    let mut graph = imports(modules);
    loop {
        let left: BTreeSet<ModulePath> = graph.keys().map(|path| (*path).clone()).collect();
        graph.values_mut().for_each(|used| used.retain(|path| left.contains(path)));
        let before = graph.len();
        graph.retain(|_, used| !used.is_empty());
        if graph.len() == before {
            break;
        }
    }
    let mut walk = vec![(*graph.keys().next()?).clone()];
    loop {
        let next = graph[walk.last()?].first()?.clone();
        if let Some(start) = walk.iter().position(|path| *path == next) {
            walk.push(next);
            let files = walk[start..].iter().map(|path| modules[path].file.display().to_string());
            return Some(files.collect());
        }
        walk.push(next);
    }
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    let mut modules = Modules::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[], &mut modules);
    assert!(modules.len() > 40, "{} files", modules.len());
    assert_eq!(cycle(&modules), None, "each file imports the next one");
}
