//! Which lines of zcrx ran since the guest booted or since the last time, as the kernel counts them.

use std::fs;
use std::path::{Path, PathBuf};

use super::answer::AnswerWriter;
use crate::job::JobLine;

/// The counters of a kernel with `CONFIG_GCOV_KERNEL`.
const COUNTERS: &str = "/sys/kernel/debug/gcov";
/// The file of the only object that is compiled with counters.
const OF_ZCRX: &str = "zcrx.gcda";

/// Sends the counters, if the kernel has them, and sets them to 0.
pub(super) fn send(answer: &AnswerWriter) -> Result<(), String> {
    let Some(file) = find(Path::new(COUNTERS)) else { return Ok(()) };
    let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    answer.write(&JobLine::Coverage { counters: hex(&bytes) })?;
    let reset = Path::new(COUNTERS).join("reset");
    fs::write(&reset, "0").map_err(|error| format!("{}: {error}", reset.display()))
}

/// The folders are those of the build.
fn find(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries
        .filter_map(|entry| {
            let path = entry.path();
            match entry.file_type().ok()?.is_dir() {
                true => find(&path),
                false => path.ends_with(OF_ZCRX).then_some(path),
            }
        })
        .next()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_found_in_the_folders_of_the_build_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("build/objects/io_uring");
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(find(dir.path()), None);
        fs::write(folder.join("net.gcda"), "x").unwrap();
        assert_eq!(find(dir.path()), None);
        fs::write(folder.join(OF_ZCRX), "x").unwrap();
        assert_eq!(find(dir.path()), Some(folder.join(OF_ZCRX)));
        assert_eq!(find(Path::new("/no such folder")), None);
    }
}
