//! The initramfs of a guest: this executable and a job, as a cpio archive
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::io::{BufWriter, Write};
use std::path::{Component, Path};

use cpio::newc::{Builder, trailer};

use super::guest_channel::GuestChannel;
use super::guest_root::GuestRoot;
use crate::job::Job;

/// Path of the job in the guest.
pub(super) const JOB: &str = "/job.json";

/// `S_IFDIR`, `S_IFREG` and `S_IFCHR` of `inode(7)`, with permissions.
const DIRECTORY: u32 = 0o40_755;
const PROGRAM: u32 = 0o100_755;
const CONSOLE: u32 = 0o20_600;
/// Major and minor number of `/dev/console`.
const CONSOLE_DEVICE: (u32, u32) = (5, 1);

/// A channel whose input is an archive of `root` and a job.
pub(super) fn channel(root: &GuestRoot, job: &Job) -> Result<GuestChannel, String> {
    let text = serde_json::to_vec(job).map_err(|error| format!("the job: {error}"))?;
    let mut of_job = GuestRoot::default();
    of_job.add(JOB, text);
    GuestChannel::new(|file| {
        // The kernel unpacks concatenated archives.
        let mut file = BufWriter::new(file);
        write(&mut file, root)
            .and_then(|()| write(&mut file, &of_job))
            .map_err(|error| format!("the guest's files: {error}"))
    })
}

/// Writes an archive of `root`. All files are executable.
pub(super) fn write(mut to: impl Write, root: &GuestRoot) -> std::io::Result<()> {
    let mut inode = 0;
    let mut entry = |path: &Path, mode: u32| {
        inode += 1;
        // Names in the archive are relative.
        let name = path.strip_prefix("/").unwrap_or(path);
        Builder::new(&name.to_string_lossy()).ino(inode).mode(mode)
    };
    for dir in directories(root) {
        entry(&dir, DIRECTORY).write(&mut to, 0).finish()?;
    }
    let (major, minor) = CONSOLE_DEVICE;
    let console = entry(Path::new("/dev/console"), CONSOLE).rdev_major(major).rdev_minor(minor);
    console.write(&mut to, 0).finish()?;
    for (path, bytes) in root.files() {
        let size = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
        let mut writer = entry(path, PROGRAM).write(&mut to, size);
        writer.write_all(bytes)?;
        writer.finish()?;
    }
    trailer(&mut to)?;
    to.flush()
}

/// All directories, parents first.
fn directories(root: &GuestRoot) -> Vec<std::path::PathBuf> {
    let files = root.files().filter_map(|(path, _)| path.parent());
    let wanted = files.chain(root.directories());
    let mut all: Vec<_> = wanted
        .flat_map(Path::ancestors)
        .filter(|dir| dir.components().any(|part| matches!(part, Component::Normal(_))))
        .map(Path::to_path_buf)
        .collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names, modes and contents of an archive.
    fn entries(mut archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        loop {
            let reader = cpio::newc::Reader::new(archive).unwrap();
            if reader.entry().is_trailer() {
                return found;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut bytes = Vec::new();
            archive = reader.to_writer(&mut bytes).unwrap();
            found.push((name, mode, bytes));
        }
    }

    #[test]
    fn parents_come_before_their_children_and_files_are_complete() {
        let mut root = GuestRoot::default();
        root.add("/lib/deep/libc.so", b"library".to_vec());
        root.add("/ifq", b"program".to_vec());
        let mut archive = Vec::new();
        write(&mut archive, &root).unwrap();
        let entries = entries(&archive);
        let names: Vec<&str> = entries.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "dev",
                "lib",
                "lib/deep",
                "proc",
                "sys",
                "tmp",
                "dev/console",
                "ifq",
                "lib/deep/libc.so"
            ]
        );
        assert_eq!(entries[7].2, b"program");
        assert_eq!(entries[8].2, b"library");
        assert_eq!((entries[1].1, entries[6].1, entries[7].1), (0o40755, 0o20600, 0o100755));
        let mut again = Vec::new();
        write(&mut again, &root).unwrap();
        assert_eq!(archive, again, "the same bytes each time");
    }
}
