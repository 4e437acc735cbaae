//! Packages of the last release of old series, which have left the index of their suite. The archive keeps them.

use super::apt::OldPackage;

/// Name, version, architecture and SHA-256 of each. The sums are those of the archive's files when the lines were
/// written; no signed index confirms them any more.
static PACKAGES: &str = include_str!("old_packages.txt");
/// The source package that they are from.
pub(super) const SOURCE: &str = "linux";

fn all() -> impl Iterator<Item = OldPackage<'static>> {
    PACKAGES.lines().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, version, arch, sha256] = words[..] else { return None };
        Some(OldPackage { name, version, arch, sha256 })
    })
}

/// A package in a version.
pub(super) fn find(name: &str, version: &str) -> Option<OldPackage<'static>> {
    all().find(|package| package.name == name && package.version == version)
}

/// The package of this name; there is one version of each.
pub(super) fn named(name: &str) -> Option<OldPackage<'static>> {
    all().find(|package| package.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::machine::linux::softnic::headers;

    #[test]
    fn each_line_is_complete_and_names_a_package_of_its_own() {
        assert_eq!(all().count(), PACKAGES.lines().count());
        let names: BTreeSet<&str> = all().map(|package| package.name).collect();
        assert_eq!(names.len(), all().count());
        for package in all() {
            assert!(["all", "amd64"].contains(&package.arch), "{package:?}");
            assert!(package.sha256.len() == 64, "{package:?}");
            assert_eq!(find(package.name, package.version), Some(package));
        }
        assert_eq!(find("linux-headers-7.1.13+deb13-common", "7.1.13-2"), None);
    }

    #[test]
    fn each_kernel_has_all_three_packages_of_its_headers_and_nothing_else_is_a_header() {
        let mut expected = BTreeSet::new();
        for package in all() {
            let release = package.name.strip_prefix("linux-headers-");
            let Some(names) = release.and_then(headers) else { continue };
            for name in names {
                assert!(find(&name, package.version).is_some(), "{package:?}: {name}");
                expected.insert(name);
            }
        }
        let sources = all().filter(|package| package.name.starts_with("linux-source-")).count();
        assert_eq!(expected.len() + sources, all().count());
    }
}
