//! Goal: the planted mistakes are planted in the code as it is, and their results are documented.
//!
//! Method: `git apply --check` of each patch, and a search for its title in the table of the documentation.
//! `.ci/mistakes` plants them and checks that something notices each.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The paths of the patches, and their first lines.
fn patches() -> Vec<(PathBuf, String)> {
    let mut patches: Vec<_> = std::fs::read_dir(root().join("tests/mistakes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text.lines().next().unwrap().to_owned())
        })
        .collect();
    patches.sort();
    patches
}

#[test]
fn every_mistake_applies_to_the_kernel_code() {
    let patches = patches();
    assert!(patches.len() >= 10);
    for (path, _) in patches {
        let check = Command::new("git")
            .args(["apply", "--check"])
            .arg(path.canonicalize().unwrap())
            .current_dir(root())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{}: {error}", path.display());
    }
}

#[test]
fn the_documentation_says_what_notices_each_mistake() {
    let table = std::fs::read_to_string(root().join("docs/mutation-testing.md")).unwrap();
    for (path, title) in patches() {
        let row = table.lines().find(|line| line.starts_with(&format!("| {title} |")));
        let row = row.unwrap_or_else(|| panic!("{}: no row {title}", path.display()));
        assert!(!row.contains("nothing"), "{row}");
    }
}
