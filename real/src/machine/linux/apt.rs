//! Packages of another Debian suite, fetched by the system's own apt from the system's own mirror
//! into a directory of ours. Nothing of the system's apt is changed, and apt checks signatures and
//! sums as always.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::output;

/// Where a Debian archive is and whose signature it must bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archive {
    pub(super) uri: String,
    pub(super) signed_by: Option<String>,
}

impl Archive {
    /// The Debian archive that the system's apt uses.
    pub(super) fn of_system() -> Result<Self, String> {
        let archive = system_archive(Path::new("/etc/apt"));
        archive.ok_or_else(|| {
            "the system's apt knows no Debian archive to take packages from".to_owned()
        })
    }

    /// Of the suite only the list of packages.
    fn line(&self, suite: &str) -> String {
        let key = self.signed_by.iter().map(|keyring| format!(" signed-by={keyring}"));
        let key = key.collect::<String>();
        format!("deb [target=Packages{key}] {} {suite} main\n", self.uri)
    }
}

/// Suites that are Debian's main archive and not one of its companions or another vendor's.
const SUITES: [&str; 11] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// What packages there are in some suites.
#[derive(Debug)]
pub(super) struct Index {
    dir: PathBuf,
}

/// A package of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// Of the `.deb`, as the index has it; apt refuses a download that has another.
    pub(super) sha256: String,
}

/// A package that no index has any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OldPackage<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) arch: &'a str,
    pub(super) sha256: &'a str,
}

/// The program of apt that downloads single files.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

impl Index {
    /// Fetches the package indices of `suites` into `dir`, which must be empty or absent. apt checks
    /// the archive's signature on the list of their sums, and their sums.
    pub(super) fn fetch(dir: &Path, suites: &[&str]) -> Result<Self, String> {
        let archive = Archive::of_system()?;
        Index::of(dir, &suites.iter().map(|suite| archive.line(suite)).collect::<String>())
    }

    fn of(dir: &Path, sources: &str) -> Result<Self, String> {
        for sub in ["lists/partial", "cache/archives/partial", "etc"] {
            let sub = dir.join(sub);
            fs::create_dir_all(&sub).map_err(|error| format!("{}: {error}", sub.display()))?;
        }
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        write("etc/sources.list", sources)?;
        write("etc/status", "")?;
        write("apt.conf", &configuration(dir))?;
        let index = Index { dir: dir.to_path_buf() };
        index.apt("apt-get", &["-q", "update"], dir)?;
        Ok(index)
    }

    /// Every package whose name begins with one of `prefixes`.
    pub(super) fn packages(&self, prefixes: &[&str]) -> Result<Vec<Package>, String> {
        let text = self.apt("apt-cache", &["dumpavail"], &self.dir)?;
        Ok(stanzas(&String::from_utf8_lossy(&text))
            .filter(|package| prefixes.iter().any(|prefix| package.name.starts_with(prefix)))
            .collect())
    }

    /// Fetches packages and unpacks each into the directory that is returned. apt compares size and
    /// sum of each with the index.
    pub(super) fn unpack(&self, packages: &[&str]) -> Result<PathBuf, String> {
        let (debs, root) = self.empty_folders()?;
        self.apt("apt-get", &[&["-q", "download"], packages].concat(), &debs)?;
        Index::unpacked(&debs, root)
    }

    /// Like [`Index::unpack`], for packages of the source package `source` that no index has any more.
    /// The archive keeps the files while kernels are there that were built with them. apt compares each
    /// with the sum that is given.
    pub(super) fn unpack_old(
        &self,
        source: &str,
        packages: &[OldPackage<'_>],
    ) -> Result<PathBuf, String> {
        let Archive { uri, .. } = Archive::of_system()?;
        let (debs, root) = self.empty_folders()?;
        let first = source.get(..1).unwrap_or_default();
        for package in packages {
            let file = format!("{}_{}_{}.deb", package.name, package.version, package.arch);
            let from = format!("{uri}/pool/main/{first}/{source}/{file}");
            let sum = format!("SHA256:{}", package.sha256);
            self.apt(APT_HELPER, &["download-file", &from, &file, &sum], &debs)?;
        }
        Index::unpacked(&debs, root)
    }

    /// Two empty folders: for packages, and to unpack them into.
    fn empty_folders(&self) -> Result<(PathBuf, PathBuf), String> {
        let context = |dir: &Path, error: std::io::Error| format!("{}: {error}", dir.display());
        let (debs, root) = (self.dir.join("debs"), self.dir.join("root"));
        for dir in [&debs, &root] {
            if dir.exists() {
                fs::remove_dir_all(dir).map_err(|error| context(dir, error))?;
            }
            fs::create_dir(dir).map_err(|error| context(dir, error))?;
        }
        Ok((debs, root))
    }

    /// Unpacks all packages of a folder into `root`.
    fn unpacked(debs: &Path, root: PathBuf) -> Result<PathBuf, String> {
        let context = |dir: &Path, error: std::io::Error| format!("{}: {error}", dir.display());
        for deb in fs::read_dir(debs).map_err(|error| context(debs, error))?.flatten() {
            let mut command = Command::new("dpkg-deb");
            command.arg("-x").arg(deb.path()).arg(&root);
            output(command)?;
        }
        Ok(root)
    }

    fn apt(&self, program: &str, arguments: &[&str], place: &Path) -> Result<Vec<u8>, String> {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.dir.join("apt.conf")).current_dir(place).args(arguments);
        Ok(output(command)?.stdout)
    }
}

/// The packages of a text of stanzas, `deb-control(5)`.
fn stanzas(text: &str) -> impl Iterator<Item = Package> + '_ {
    text.split("\n\n").filter_map(|stanza| {
        let mut package = Package::default();
        for line in stanza.lines() {
            match line.split_once(": ") {
                Some(("Package", name)) => package.name = name.to_owned(),
                Some(("Version", version)) => package.version = version.to_owned(),
                Some(("SHA256", sum)) => package.sha256 = sum.to_owned(),
                _ => {}
            }
        }
        (!package.name.is_empty()).then_some(package)
    })
}

/// As root apt would drop to a user who cannot read our directory.
fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "Dir::State::Lists \"{dir}/lists\";\n\
         Dir::State::status \"{dir}/etc/status\";\n\
         Dir::Cache \"{dir}/cache\";\n\
         Dir::Etc::SourceList \"{dir}/etc/sources.list\";\n\
         Dir::Etc::SourceParts \"-\";\n\
         APT::Sandbox::User \"root\";\n\
         APT::Update::Error-Mode \"any\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Retries \"2\";\n"
    )
}

/// The Debian archive that the system's apt uses.
fn system_archive(etc: &Path) -> Option<Archive> {
    let mut files = vec![etc.join("sources.list")];
    let mut parts: Vec<PathBuf> = fs::read_dir(etc.join("sources.list.d"))
        .map(|dir| dir.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    parts.sort();
    files.extend(parts);
    files.iter().find_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        match file.extension()?.to_str()? {
            "sources" => deb822(&text),
            "list" => one_line(&text),
            _ => None,
        }
    })
}

fn is_debian(suites: &str) -> bool {
    suites.split_whitespace().any(|suite| SUITES.contains(&suite))
}

/// The first fitting stanza of a `.sources` file, `sources.list(5)`.
fn deb822(text: &str) -> Option<Archive> {
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    text.split(|line| line.trim().is_empty()).find_map(|stanza| {
        let field = |name: &str| {
            stanza.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
            })
        };
        let disabled = field("Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
        let has = |name: &str, word: &str| {
            field(name).is_some_and(|value| value.split_whitespace().any(|w| w == word))
        };
        if disabled || !has("Types", "deb") || !has("Components", "main") {
            return None;
        }
        is_debian(&field("Suites")?).then_some(())?;
        let uri = field("URIs")?.split_whitespace().next()?.to_string();
        // A key that stands in the stanza itself cannot go on one line.
        let signed_by = field("Signed-By").filter(|value| value.starts_with('/'));
        Some(Archive { uri, signed_by })
    })
}

/// The first fitting line of a `.list` file, `sources.list(5)`.
fn one_line(text: &str) -> Option<Archive> {
    text.lines().find_map(|line| {
        let line = line.trim().strip_prefix("deb ")?.trim_start();
        let (options, rest) = match line.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", line),
        };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        if !is_debian(suite) || !words.any(|component| component == "main") {
            return None;
        }
        let signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(ToString::to_string);
        Some(Archive { uri: uri.to_string(), signed_by })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debian_archive_is_found_among_stanzas_of_others() {
        let text = "# a comment\n\
            Types: deb\nURIs: http://mirror.invalid/debian-security\nSuites: bookworm-security\n\
            Components: main\n\n\
            Enabled: no\nTypes: deb\nURIs: http://off.invalid/debian\nSuites: bookworm\n\
            Components: main\n\n\
            Types: deb deb-src\n# why\nURIs: http://mirror.invalid/debian\n\
            Suites: bookworm bookworm-updates\nComponents: main contrib\n\
            Signed-By: /usr/share/keyrings/debian.gpg\n";
        let archive = deb822(text).unwrap();
        assert_eq!(
            archive.line("forky"),
            "deb [target=Packages signed-by=/usr/share/keyrings/debian.gpg] http://mirror.invalid/debian forky main\n"
        );
    }

    #[test]
    fn one_line_sources_are_read_with_and_without_options() {
        let text = "# deb http://off.invalid/debian bookworm main\n\
            deb-src http://src.invalid/debian bookworm main\n\
            deb http://other.invalid/tool nodistro main\n\
            deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/debian trixie main contrib\n";
        let archive = one_line(text).unwrap();
        assert_eq!(
            archive.line("sid"),
            "deb [target=Packages signed-by=/k.gpg] http://mirror.invalid/debian sid main\n"
        );
        let plain = one_line("deb http://mirror.invalid/debian stable main").unwrap();
        assert_eq!(
            plain.line("forky"),
            "deb [target=Packages] http://mirror.invalid/debian forky main\n"
        );
        assert_eq!(one_line("deb http://mirror.invalid/debian stable non-free"), None);
    }

    #[test]
    fn a_system_without_apt_has_no_archive() {
        let etc = tempfile::tempdir().unwrap();
        assert_eq!(system_archive(etc.path()), None);
        let parts = etc.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        fs::write(parts.join("a.list"), "deb http://a.invalid/debian sid main\n").unwrap();
        assert_eq!(system_archive(etc.path()).unwrap().uri, "http://a.invalid/debian");
    }

    /// A repository with one package in which one file is.
    fn repository(dir: &Path) {
        let tree = dir.join("tree");
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::write(tree.join("file"), "contents").unwrap();
        let control = "Package: thing\nVersion: 1\nArchitecture: all\nMaintainer: nobody\n";
        fs::write(tree.join("DEBIAN/control"), format!("{control}Description: thing\n")).unwrap();
        let mut build = Command::new("dpkg-deb");
        build.args(["--build", "--root-owner-group"]).arg(&tree).arg(dir.join("thing.deb"));
        output(build).unwrap();
        let mut sum = Command::new("sha256sum");
        sum.arg(dir.join("thing.deb"));
        let sum = String::from_utf8(output(sum).unwrap().stdout).unwrap();
        let sum = sum.split_whitespace().next().unwrap();
        let size = fs::metadata(dir.join("thing.deb")).unwrap().len();
        let place = format!("Filename: ./thing.deb\nSize: {size}\nSHA256: {sum}\n");
        fs::write(dir.join("Packages"), format!("{control}{place}")).unwrap();
    }

    /// Goal: what was changed on the way is not used. Method: a repository of our own, whose package
    /// is changed after the index was made.
    #[test]
    fn a_package_whose_sum_is_not_that_of_the_index_is_refused() {
        if Command::new("apt-get").arg("--version").output().is_err() {
            return println!("not run: there is no apt here");
        }
        let dir = tempfile::tempdir().unwrap();
        repository(dir.path());
        let sources = format!("deb [trusted=yes] file:{} ./\n", dir.path().display());
        let index = Index::of(&dir.path().join("apt"), &sources).unwrap();
        let packages = index.packages(&["thing"]).unwrap();
        assert_eq!((packages.len(), packages[0].version.as_str()), (1, "1"));
        assert_eq!(packages[0].sha256.len(), 64);
        let root = index.unpack(&["thing"]).unwrap();
        assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "contents");
        let deb = dir.path().join("thing.deb");
        let mut bytes = fs::read(&deb).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&deb, bytes).unwrap();
        let error = index.unpack(&["thing"]).unwrap_err();
        assert!(error.contains("apt-get") && error.contains("download"), "{error}");
        assert_eq!(index.packages(&["no-such"]), Ok(Vec::new()));
    }
}
