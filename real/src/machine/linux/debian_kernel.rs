//! Kernel images of Debian: finds the newest package of a series and keeps its image in the cache.

use std::fs;
use std::path::{Path, PathBuf};

use super::apt::{Index, Package};
use super::cache::Cache;
use super::provenance::Provenance;
use crate::machine::Series;

/// Suites to search. The first one wins among equal releases.
pub(super) const SUITES: [&str; 2] = ["trixie-backports", "sid"];
/// Prefixes of packages with an image: since 6.19, and before.
const PREFIXES: [&str; 2] = ["linux-binary-", "linux-image-"];
/// Flavours in order of preference. The cloud flavour is for virtual machines and needs no modules.
pub(super) const FLAVOURS: [&str; 2] = ["-cloud-amd64", "-amd64"];
/// Prefix of the cache entries.
const PLACE: &str = "kernel-";
/// The image in the cache.
const IMAGE: &str = "vmlinuz";

/// A kernel image in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) path: PathBuf,
    pub(super) provenance: Provenance,
}

impl Image {
    /// The release, as `uname -r` has it.
    pub(super) fn release(&self) -> Result<&str, String> {
        let package = &self.provenance.package;
        let release = Release::of(package).map(|release| release.name);
        release.ok_or_else(|| format!("the package {package} names no release"))
    }
}

/// The image of a series that is in the cache.
pub(super) fn cached(cache: &Cache, series: Series) -> Option<Image> {
    cache.find(&place(series)).and_then(|home| read(&home).ok())
}

/// The image of a series, fetched if it is not in the cache, or anyway.
pub(super) fn get(cache: &Cache, series: Series, again: bool) -> Result<Image, String> {
    let fetch = |work: &Path| fetch(work, series);
    let place = place(series);
    let home = if again { cache.renew(&place, fetch) } else { cache.get(&place, fetch) }?;
    read(&home)
}

/// The series whose images are in the cache.
pub(super) fn series(cache: &Cache) -> Vec<Series> {
    let names = cache.names().into_iter();
    names.filter_map(|name| name.strip_prefix(PLACE)?.parse().ok()).collect()
}

fn place(series: Series) -> String {
    format!("{PLACE}{series}")
}

fn read(home: &Path) -> Result<Image, String> {
    Ok(Image { path: home.join(IMAGE), provenance: Provenance::read(home)? })
}

fn fetch(work: &Path, series: Series) -> Result<PathBuf, String> {
    let context =
        |what: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", what.display());
    errln!("ifq: fetching Debian's newest kernel {series} with apt, once");
    let index = Index::fetch(&work.join("apt"), &SUITES)?;
    let package = newest(index.packages(&PREFIXES)?, series).ok_or_else(|| {
        format!("{} have no kernel {series} for amd64 (any more)", SUITES.join(" and "))
    })?;
    let root = index.unpack(&[&package.name])?;
    let release = Release::of(&package.name).map_or("", |release| release.name);
    let candidates = [
        root.join("usr/lib/modules").join(release).join("vmlinuz"),
        root.join("boot").join(format!("vmlinuz-{release}")),
    ];
    let image = candidates
        .iter()
        .find(|path| path.is_file())
        .ok_or_else(|| format!("the package {} has no kernel image", package.name))?;
    let made = work.join("made");
    fs::create_dir(&made).map_err(|error| context(&made, &error))?;
    fs::rename(image, made.join(IMAGE)).map_err(|error| context(image, &error))?;
    Provenance::from(package).write(&made)?;
    Ok(made)
}

/// The release in the name of a kernel package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Release<'a> {
    numbers: Vec<u32>,
    /// The better flavour is greater.
    flavour: std::cmp::Reverse<usize>,
    /// As `uname -r` has it.
    name: &'a str,
}

impl<'a> Release<'a> {
    /// Of `linux-binary-7.2.12+deb13-cloud-amd64`: 7, 2 and 12. `None`: a real-time kernel, an
    /// unsigned one, debugging symbols, a package that only depends on others.
    fn of(package: &'a str) -> Option<Self> {
        let name = PREFIXES.iter().find_map(|prefix| package.strip_prefix(prefix))?;
        let (flavour, rest) = FLAVOURS
            .iter()
            .enumerate()
            .find_map(|(at, flavour)| Some((at, name.strip_suffix(flavour)?)))?;
        let (version, build) = rest.split_once('+').unwrap_or((rest, ""));
        if build.contains('-') {
            return None;
        }
        let numbers = version.split('.').map(|number| number.parse().ok());
        let numbers: Vec<u32> = numbers.collect::<Option<_>>()?;
        Some(Release { numbers, flavour: std::cmp::Reverse(flavour), name })
    }
}

/// The newest kernel of a series; from the package that really has the image.
fn newest(packages: Vec<Package>, series: Series) -> Option<Package> {
    let binary = |package: &Package| package.name.starts_with(PREFIXES[0]);
    let rank = |package: &Package| {
        let Release { numbers, flavour, .. } = Release::of(&package.name)?;
        (numbers.get(..2)? == [series.major, series.minor])
            .then(|| (numbers, flavour, binary(package)))
    };
    packages
        .into_iter()
        .filter_map(|package| Some((rank(&package)?, package)))
        .reduce(|best, other| if other.0 > best.0 { other } else { best })
        .map(|(_, package)| package)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str], major: u32, minor: u32) -> Option<String> {
        let package = |name: &&str| Package { name: (*name).into(), ..Package::default() };
        newest(names.iter().map(package).collect(), Series::new(major, minor)).map(|p| p.name)
    }

    #[test]
    fn the_newest_release_of_a_series_is_chosen_and_the_flavour_for_virtual_machines() {
        let names = [
            "linux-binary-7.2.9+deb13-cloud-amd64",
            "linux-binary-7.2.12+deb13-amd64",
            "linux-binary-7.2.12+deb13-cloud-amd64",
            "linux-binary-7.2.12+deb14-cloud-amd64",
            "linux-binary-7.2.13+deb14-rt-amd64",
            "linux-binary-unsigned-7.2.13+deb14-cloud-amd64",
            "linux-binary-7.3.4+deb13-cloud-amd64",
            "linux-image-7.2.12+deb13-cloud-amd64",
            "linux-image-6.18.9+deb13-amd64",
            "linux-image-6.18.15+deb13-cloud-amd64",
            "linux-image-6.18.15+deb13-cloud-amd64-dbg",
            "linux-image-cloud-amd64",
        ];
        let all = |major, minor| chosen(&names, major, minor);
        assert_eq!(all(7, 2).unwrap(), "linux-binary-7.2.12+deb13-cloud-amd64");
        assert_eq!(all(6, 18).unwrap(), "linux-image-6.18.15+deb13-cloud-amd64");
        assert_eq!(all(7, 3).unwrap(), "linux-binary-7.3.4+deb13-cloud-amd64");
        assert_eq!(all(7, 4), None);
        assert_eq!(all(6, 1), None, "6.18 is no 6.1");
        assert_eq!(chosen(&names[1..2], 7, 2).unwrap(), names[1], "better than none");
    }

    #[test]
    fn the_name_of_a_package_tells_the_release() {
        let release = Release::of("linux-binary-7.2.12+deb13-cloud-amd64").unwrap();
        assert_eq!(release.numbers, [7, 2, 12]);
        assert_eq!(release.name, "7.2.12+deb13-cloud-amd64");
        assert_eq!(Release::of("linux-binary-7.3-amd64").unwrap().numbers, [7, 3]);
    }
}
