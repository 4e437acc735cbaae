//! The source of a kernel: found, unpacked into the folder of a build, and patched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::context;
use super::progress::BuildProgress;
use crate::kernel_build::Source;
use crate::machine::Series;
use crate::machine::linux::apt::Index;
use crate::machine::linux::build_root::isolated;
use crate::machine::linux::cache::Cache;
use crate::machine::linux::debian_kernel::SUITES;
use crate::machine::linux::fnv::Fnv;
use crate::machine::linux::old_packages;
use crate::machine::linux::process::output;
use crate::machine::linux::provenance::Provenance;

/// The folder of the source in the folder of a build.
pub(super) const TREE: &str = "source";
/// Exists when the tree is complete and patched.
const READY: &str = "source-ready";
/// The archive in Debian's package, in the cache.
const ARCHIVE: &str = "source.tar.xz";

/// A source that is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// What identifies its contents.
    pub(super) identity: String,
    from: From,
}

#[derive(Clone, Debug)]
enum From {
    Archive(PathBuf),
    Folder(PathBuf),
    Git { url: String, commit: String },
}

/// Finds a source; the package of Debian is fetched if it is not in the cache.
pub(super) fn find(cache: &Cache, source: &Source) -> Result<Found, String> {
    match source {
        Source::Debian(series) => {
            let place = format!("source-{series}");
            let home = cache.get(&place, |work| fetch(work, *series))?;
            let Provenance { package, version, sha256 } = Provenance::read(&home)?;
            let identity = format!("{package} {version} (SHA-256 {sha256})");
            Ok(Found { identity, from: From::Archive(home.join(ARCHIVE)) })
        }
        Source::Folder(folder) => {
            let folder = Source::kernel_in(folder).map_err(|error| error.to_string())?;
            let identity = identity_of_folder(&folder)?;
            Ok(Found { identity, from: From::Folder(folder) })
        }
        Source::Git { url, reference } => {
            let reference = reference.as_deref().unwrap_or("HEAD");
            let mut command = Command::new("git");
            command.args(["ls-remote", url, reference, &format!("{reference}^{{}}")]);
            let text = output(command)?.stdout;
            let text = String::from_utf8_lossy(&text);
            // The commit that a tag stands for comes after the tag.
            let commit = text.lines().last().and_then(|line| line.split_whitespace().next());
            let commit = commit.ok_or_else(|| format!("{url} has no branch or tag {reference}"))?;
            let from = From::Git { url: url.clone(), commit: commit.to_owned() };
            Ok(Found { identity: format!("{url} {commit}"), from })
        }
    }
}

/// Debian's source package of a series.
fn fetch(work: &Path, series: Series) -> Result<PathBuf, String> {
    let name = format!("linux-source-{series}");
    errln!("ifq: fetching the package {name} with apt, once");
    let index = Index::fetch(&work.join("apt"), &SUITES)?;
    let package = index.packages(&[&name])?.into_iter().find(|package| package.name == name);
    let (root, from) = match (package, old_packages::named(&name)) {
        (Some(package), _) => (index.unpack(&[&name])?, Provenance::from(package)),
        (None, Some(old)) => {
            (index.unpack_old(old_packages::SOURCE, &[old])?, Provenance::from(old))
        }
        (None, None) => {
            return Err(format!("{} have no {name} (any more)", SUITES.join(" and ")));
        }
    };
    let made = work.join("made");
    fs::create_dir(&made).map_err(|error| context(&made, &error))?;
    let archive = root.join("usr/src").join(format!("{name}.tar.xz"));
    fs::rename(&archive, made.join(ARCHIVE)).map_err(|error| context(&archive, &error))?;
    from.write(&made)?;
    Ok(made)
}

fn git(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments);
    Ok(output(command)?.stdout)
}

/// The files of a folder that belong to the source: those that git tracks or does not ignore, without git all.
fn files(folder: &Path) -> Result<Vec<u8>, String> {
    if folder.join(".git").exists() {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = git(folder, &arguments)?;
        // A file that is deleted and not yet committed is still listed.
        let there = |name: &&[u8]| {
            !name.is_empty()
                && folder.join(&*String::from_utf8_lossy(name)).symlink_metadata().is_ok()
        };
        let there: Vec<&[u8]> = listed.split(|byte| *byte == 0).filter(there).collect();
        return Ok(there.join(&0));
    }
    let mut command = Command::new("find");
    command.current_dir(folder).args([".", "(", "-type", "f", "-o", "-type", "l", ")", "-print0"]);
    Ok(output(command)?.stdout)
}

/// The commit and what differs from it, or a hash of all files.
fn identity_of_folder(folder: &Path) -> Result<String, String> {
    let mut hash = Fnv::default();
    let commit = if folder.join(".git").exists() {
        hash.add_field(&git(folder, &["diff", "HEAD", "--binary"])?);
        let others = git(folder, &["ls-files", "-z", "--others", "--exclude-standard"])?;
        add_files(&mut hash, folder, &others)?;
        String::from_utf8_lossy(&git(folder, &["rev-parse", "HEAD"])?).trim().to_owned()
    } else {
        add_files(&mut hash, folder, &files(folder)?)?;
        "no git".to_owned()
    };
    Ok(format!("{} ({commit}, {:016x})", folder.display(), hash.0))
}

fn add_files(hash: &mut Fnv, folder: &Path, names: &[u8]) -> Result<(), String> {
    let mut names: Vec<&[u8]> = names.split(|byte| *byte == 0).filter(|n| !n.is_empty()).collect();
    names.sort_unstable();
    for name in names {
        let path = folder.join(&*String::from_utf8_lossy(name));
        let Ok(metadata) = path.symlink_metadata() else { continue };
        hash.add_field(name);
        let bytes = if metadata.is_symlink() {
            fs::read_link(&path).map(|to| to.to_string_lossy().into_owned().into_bytes())
        } else {
            fs::read(&path)
        };
        hash.add_field(&bytes.map_err(|error| context(&path, &error))?);
    }
    Ok(())
}

/// Puts the patched source into the folder of a build, unless an earlier build has done so.
pub(super) fn prepare(
    folder: &Path,
    source: &Found,
    patches: &[PathBuf],
    root: &Path,
    progress: &mut dyn FnMut(&BuildProgress),
) -> Result<(), String> {
    let (tree, ready) = (folder.join(TREE), folder.join(READY));
    if ready.exists() {
        return Ok(());
    }
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(|error| context(&tree, &error))?;
    }
    fs::create_dir(&tree).map_err(|error| context(&tree, &error))?;
    progress(&BuildProgress::Unpacking);
    match &source.from {
        From::Archive(archive) => {
            let mut command = Command::new("tar");
            command.arg("-xJf").arg(archive).arg("-C").arg(&tree).arg("--strip-components=1");
            output(command)?;
        }
        From::Folder(from) => {
            let list = folder.join("files");
            fs::write(&list, files(from)?).map_err(|error| context(&list, &error))?;
            let mut command = Command::new("sh");
            let script = r#"tar -C "$1" --null -T "$2" -cf - | tar -C "$3" -xf -"#;
            command.args(["-ec", script, "sh"]).arg(from).arg(&list).arg(&tree);
            output(command)?;
        }
        From::Git { url, commit } => {
            git(&tree, &["init", "-q"])?;
            git(&tree, &["fetch", "-q", "--depth", "1", url, commit])?;
            git(&tree, &["checkout", "-q", "FETCH_HEAD"])?;
        }
    }
    for patch in patches {
        progress(&BuildProgress::Patching(patch.clone()));
        apply(root, &tree, patch)?;
    }
    fs::write(&ready, "").map_err(|error| context(&ready, &error))
}

/// Applies a patch with the program of the build system.
fn apply(root: &Path, tree: &Path, patch: &Path) -> Result<(), String> {
    let text = fs::read(patch).map_err(|error| context(patch, &error))?;
    let copy = tree.join(".ifq.patch");
    fs::write(&copy, text).map_err(|error| context(&copy, &error))?;
    let script = r#"
mkdir -p "$1/build"
mount --bind "$2" "$1/build"
exec chroot "$1" patch -d /build -p1 --no-backup-if-mismatch -i /build/.ifq.patch >&2
"#;
    let mut command = isolated("sh");
    command.args(["-ec", script, "sh"]).arg(root).arg(tree);
    let applied = output(command);
    fs::remove_file(&copy).map_err(|error| context(&copy, &error))?;
    applied.map(drop).map_err(|error| format!("{} does not apply: {error}", patch.display()))
}
