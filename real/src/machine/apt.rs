//! Packages of another Debian suite, fetched by the system's own apt from the system's own mirror
//! into a directory of ours. Nothing of the system's apt is changed, and apt checks signatures and
//! sums as always.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a Debian archive is and whose signature it must bear.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Archive {
    uri: String,
    signed_by: Option<String>,
}

impl Archive {
    fn line(&self, suite: &str) -> String {
        let option = match &self.signed_by {
            Some(keyring) => format!("[signed-by={keyring}] "),
            None => String::new(),
        };
        format!("deb {option}{} {suite} main\n", self.uri)
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

/// Fetches `packages` of `suite` into `dir` and unpacks each into `dir/root`. `dir` must be empty
/// or absent.
pub(super) fn fetch(dir: &Path, suite: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let archive = system_archive(Path::new("/etc/apt"))
        .ok_or("the system's apt knows no Debian archive to take packages from")?;
    let (config, debs, root) = (dir.join("apt.conf"), dir.join("debs"), dir.join("root"));
    for sub in ["lists/partial", "cache/archives/partial", "etc", "debs", "root"] {
        let sub = dir.join(sub);
        fs::create_dir_all(&sub).map_err(|error| format!("{}: {error}", sub.display()))?;
    }
    let write = |path: &Path, text: &str| {
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    write(&dir.join("etc/sources.list"), &archive.line(suite))?;
    write(&dir.join("etc/status"), "")?;
    write(&config, &configuration(dir))?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", &config).current_dir(&debs).arg("-q").args(arguments);
        run(&mut command)
    };
    apt(&["update"])?;
    let mut download = vec!["download"];
    download.extend(packages);
    apt(&download)?;
    let found = fs::read_dir(&debs).map_err(|error| format!("{}: {error}", debs.display()))?;
    for deb in found.flatten() {
        run(Command::new("dpkg-deb").arg("-x").arg(deb.path()).arg(&root))?;
    }
    Ok(root)
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

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let arguments: Vec<_> =
        command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let name = format!("{name} {}", arguments.join(" "));
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}", text.trim()))
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
            "deb [signed-by=/usr/share/keyrings/debian.gpg] http://mirror.invalid/debian forky main\n"
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
            "deb [signed-by=/k.gpg] http://mirror.invalid/debian sid main\n"
        );
        let plain = one_line("deb http://mirror.invalid/debian stable main").unwrap();
        assert_eq!(plain.line("forky"), "deb http://mirror.invalid/debian forky main\n");
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
}
