//! The module softnic, a NIC in software: built from the sources in this program for a kernel of
//! Debian, and kept in the user's cache.

use std::fs;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::apt::{Index, OldPackage, Package};
use super::cache::Cache;
use super::debian_kernel::{FLAVOURS, Image, SUITES};
use super::fnv::Fnv;
use super::provenance::Provenance;
use super::{build_root, old_packages};

/// The sources, with their licence and their description.
static SOURCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/softnic");
/// The module in the cache.
pub(super) const MODULE: &str = "softnic.ko";

/// The module for a kernel, built if it is not in the cache, or anyway.
pub(super) fn get(cache: &Cache, image: &Image, again: bool) -> Result<Vec<u8>, String> {
    let place = place(image)?;
    let home = match cache.find(&place).filter(|_| !again) {
        Some(home) => home,
        None => {
            // Before the lock of the cache is taken for the module.
            let root = build_root::get(cache)?;
            let make = |work: &Path| make(work, &root, image);
            if again { cache.renew(&place, make) } else { cache.get(&place, make) }?
        }
    };
    let module = home.join(MODULE);
    fs::read(&module).map_err(|error| context(&module, &error))
}

/// Whether the module for a kernel is in the cache.
pub(super) fn is_cached(cache: &Cache, image: &Image) -> bool {
    place(image).is_ok_and(|place| cache.find(&place).is_some())
}

/// The name in the cache: other sources give another module.
fn place(image: &Image) -> Result<String, String> {
    Ok(format!("softnic-{}-{:016x}", image.release()?, hash_of_sources()))
}

/// FNV-1a of what is compiled, with the names.
pub(super) fn hash_of_sources() -> u64 {
    let mut files: Vec<_> = compiled().collect();
    files.sort();
    let mut hash = Fnv::default();
    files.into_iter().flat_map(|(name, text)| [name.as_bytes(), text]).for_each(|b| hash.add(b));
    hash.0
}

/// Writes what is compiled into a folder, which is made.
pub(super) fn write_sources(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| context(folder, &error))?;
    for (name, text) in compiled() {
        let file = folder.join(name);
        fs::write(&file, text).map_err(|error| context(&file, &error))?;
    }
    Ok(())
}

/// The names and contents of the files that are compiled.
fn compiled() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    SOURCES.files().filter_map(|file| {
        let name = file.path().to_str()?;
        let source = [".c", ".h"].iter().any(|end| name.ends_with(end)) || name == "Makefile";
        source.then_some((name, file.contents()))
    })
}

/// The names of the packages with a kernel's headers: of the flavour, of all flavours, and its tools.
pub(super) fn headers(release: &str) -> Option<[String; 3]> {
    let version = FLAVOURS.iter().find_map(|flavour| release.strip_suffix(flavour))?;
    Some([
        format!("linux-headers-{release}"),
        format!("linux-headers-{version}-common"),
        format!("linux-kbuild-{version}"),
    ])
}

fn make(work: &Path, root: &Path, image: &Image) -> Result<PathBuf, String> {
    let release = image.release()?;
    let names = headers(release).ok_or_else(|| format!("{release} is of no known flavour"))?;
    errln!(
        "ifq: fetching the headers of {release} with apt, and building the module softnic, once"
    );
    let index = Index::fetch(&work.join("apt"), &SUITES)?;
    let (headers, from) = unpack(&index, &names, &image.provenance.version)?;
    let sources = work.join("sources");
    write_sources(&sources)?;
    build_root::build(root, &headers, &sources, release, &names[2])?;
    let made = work.join("made");
    fs::create_dir(&made).map_err(|error| context(&made, &error))?;
    let module = sources.join(MODULE);
    fs::rename(&module, made.join(MODULE)).map_err(|error| context(&module, &error))?;
    from.write(&made)?;
    Ok(made)
}

/// Fetches the packages `names` in a version, and unpacks them; where to, and what the first one is.
fn unpack(
    index: &Index,
    names: &[String; 3],
    version: &str,
) -> Result<(PathBuf, Provenance), String> {
    let names = names.each_ref().map(String::as_str);
    if let Some(package) = exact(index.packages(&[names[0]])?, names[0], version) {
        return Ok((index.unpack(&names)?, Provenance::from(package)));
    }
    let old: Option<Vec<OldPackage<'_>>> =
        names.iter().map(|name| old_packages::find(name, version)).collect();
    let old = old.ok_or_else(|| {
        format!(
            "{} have no {} {version} (any more), so the module softnic cannot be built for this \
             kernel",
            SUITES.join(" and "),
            names[0]
        )
    })?;
    Ok((index.unpack_old(old_packages::SOURCE, &old)?, Provenance::from(old[0])))
}

/// The package of the same build as the kernel: another version can have another layout of structs.
fn exact(available: Vec<Package>, name: &str, version: &str) -> Option<Package> {
    available.into_iter().find(|package| package.name == name && package.version == version)
}

fn context(what: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", what.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_are_those_of_the_flavour_and_of_the_same_build() {
        let names = headers("7.3.4+deb13-cloud-amd64").unwrap();
        let expected = [
            "linux-headers-7.3.4+deb13-cloud-amd64",
            "linux-headers-7.3.4+deb13-common",
            "linux-kbuild-7.3.4+deb13",
        ];
        assert_eq!(names, expected);
        assert_eq!(headers("7.3.4+deb13-amd64").unwrap()[1], expected[1]);
        assert_eq!(headers("7.3.4"), None);
        let package = |version: &str| Package {
            name: names[0].clone(),
            version: version.into(),
            ..Package::default()
        };
        let available = vec![package("7.3.4-2"), package("7.3.4-1")];
        assert_eq!(exact(available.clone(), &names[0], "7.3.4-1"), Some(package("7.3.4-1")));
        assert_eq!(exact(available, &names[0], "7.3.4-3"), None);
    }

    #[test]
    fn every_source_that_the_makefile_names_is_in_this_program() {
        let makefile = SOURCES.get_file("Makefile").unwrap().contents_utf8().unwrap();
        let objects = makefile.split_whitespace().filter_map(|word| word.strip_suffix(".o"));
        let sources: Vec<String> =
            objects.filter(|name| *name != "softnic").map(|name| format!("{name}.c")).collect();
        assert!(sources.len() > 5, "{makefile}");
        for source in &sources {
            assert!(compiled().any(|(name, _)| name == source), "{source}");
        }
        let code = compiled().filter(|(name, _)| name.ends_with(".c")).count();
        assert_eq!(code, sources.len(), "a source that is not compiled");
    }
}
