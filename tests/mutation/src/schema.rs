//! A copy of the workspace whose kernel code has all mutants.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mutant::{self, Mutant};
use crate::rewrite::Rewriter;

/// The sources that mutants are planted in: kernel code, and the checks that observe it.
const MUTATED: [&str; 8] = [
    "model/src/io_uring/",
    "model/src/net/",
    "model/src/prim/",
    "model/src/check/",
    "model/src/fs.rs",
    "model/src/uaccess.rs",
    "model/src/mm.rs",
    "model/src/work.rs",
];

/// What the mutants ask at run time.
const SWITCH: &str = include_str!("switch.rs.in");

/// All mutants of the sources, and the rewritten sources by path.
#[derive(Debug)]
pub struct Schema {
    /// In the order of paths and of the source; the number of a mutant is its position plus one.
    pub mutants: Vec<Mutant>,
    /// What has no mutants, with its number.
    pub left_alone: BTreeMap<&'static str, usize>,
    files: BTreeMap<String, String>,
}

/// The workspace that this crate was built in.
#[must_use]
pub fn root() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    folder.canonicalize().unwrap_or(folder)
}

/// Rust files below a path, relative to `root`, sorted.
fn rust_files(root: &Path, path: &str, into: &mut Vec<String>) -> io::Result<()> {
    if path.ends_with(".rs") {
        into.push(path.to_owned());
        return Ok(());
    }
    if !root.join(path).is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(root.join(path))? {
        let name = entry?.file_name();
        rust_files(
            root,
            &format!("{}/{}", path.trim_end_matches('/'), name.to_string_lossy()),
            into,
        )?;
    }
    Ok(())
}

impl Schema {
    /// Reads the kernel code of the workspace `root` and plants all mutants.
    ///
    /// # Errors
    /// A file cannot be read or is no Rust.
    pub fn of(root: &Path) -> io::Result<Schema> {
        let mut paths = Vec::new();
        for path in MUTATED {
            rust_files(root, path, &mut paths)?;
        }
        paths.sort();
        let mut rewriter = Rewriter::default();
        let mut files = BTreeMap::new();
        for path in paths {
            let source = std::fs::read_to_string(root.join(&path))?;
            let rewritten = rewriter
                .rewrite(&path, &source)
                .map_err(|error| io::Error::other(format!("{path}: {error}")))?;
            files.insert(path, rewritten);
        }
        let Rewriter { mut mutants, left_alone, .. } = rewriter;
        mutant::name(&mut mutants);
        Ok(Schema { mutants, left_alone, files })
    }

    /// Writes the workspace `root` with the mutants into the folder `copy`. Files that are there already and have
    /// the right content stay as they are, so that a build compiles only what has changed.
    ///
    /// # Errors
    /// A file cannot be read or written, or git cannot list the files.
    pub fn write(&self, root: &Path, copy: &Path) -> io::Result<()> {
        let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = Command::new("git").args(args).current_dir(root).output()?;
        if !listed.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&listed.stderr).into_owned()));
        }
        for path in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            // The checks read the library where it is, so that a new test needs no new build.
            if path.starts_with("tests/library/") && !path.ends_with("README.md") {
                continue;
            }
            let Ok(content) = std::fs::read(root.join(path)) else { continue };
            match self.files.get(path) {
                Some(rewritten) => update(&copy.join(path), rewritten.as_bytes())?,
                None if path == "model/src/lib.rs" => {
                    let text = String::from_utf8_lossy(&content);
                    let text = format!("{text}\npub mod mutant;\n");
                    // Inner attributes come after the module doc.
                    let at = text.find("\npub mod").unwrap_or(0);
                    let allow = "\n#![allow(warnings, arithmetic_overflow, unconditional_panic)]\n";
                    update(
                        &copy.join(path),
                        [&text[..at], allow, &text[at..]].concat().as_bytes(),
                    )?;
                }
                None => update(&copy.join(path), &content)?,
            }
        }
        let switch = SWITCH.replace("COUNT", &(self.mutants.len() + 1).to_string());
        update(&copy.join("model/src/mutant.rs"), switch.as_bytes())
    }
}

fn update(path: &Path, content: &[u8]) -> io::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, content)
}
