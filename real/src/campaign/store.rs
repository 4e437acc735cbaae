//! The store of a campaign: a file to which each record is appended as one line.
//!
//! A line is a checksum, a space and the record as JSON. The checksum (CRC-32) covers the record and the checksum of
//! the line before, so a changed, lost or exchanged line is noticed.
//!
//! # What survives
//!
//! * The process is killed (`kill -9`, out of memory): the kernel has every line whose write has returned. At most the
//!   last line is incomplete. It is cut off when the campaign is resumed, and its unit runs again.
//! * The machine stops (power, crash): each line is on the disk before the next one is written (`fdatasync`), so again
//!   at most the last line is lost. This assumes a disk that keeps what it has acknowledged.
//! * A line before the last one is damaged: the campaign is not read, and the error names the line.
//!
//! A file was preferred to a database because records are only ever added, all of them are read at once, and the
//! smallest unit of loss is a record: the file has no structure that a crash could break but its last line.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use super::record::{Header, Record, VERSION};

/// The file of the records, in the folder of a campaign.
pub const RESULTS: &str = "results.jsonl";
/// The file that a process locks while it writes.
const LOCK: &str = "lock";

/// Why a campaign cannot be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file system.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// There is no campaign.
    #[error("{0}: there is no campaign; `ifq campaign run PLAN.toml --out DIR` begins one")]
    None(PathBuf),
    /// There is one already.
    #[error("{0}: there is a campaign already; `ifq campaign resume` continues it")]
    Exists(PathBuf),
    /// Another process writes.
    #[error("{0}: another ifq runs this campaign")]
    Locked(PathBuf),
    /// A line is damaged.
    #[error("{0}:{1}: the line is damaged: {2}")]
    Damaged(PathBuf, usize, String),
    /// Another version of the format.
    #[error("{0}: the format has version {1}; this ifq reads version {VERSION}")]
    Version(PathBuf, u64),
}

/// What a store holds.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The first record.
    pub header: Header,
    /// The others, in the order of their lines.
    pub records: Vec<Record>,
    /// Bytes after the last complete line.
    pub torn: u64,
    length: u64,
    checksum: u32,
}

/// A store that records are added to.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    end: Mutex<End>,
    _lock: File,
}

#[derive(Debug)]
struct End {
    file: File,
    checksum: u32,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> StoreError + '_ {
    |error| StoreError::Io(path.to_owned(), error)
}

/// The line of a record, and its checksum.
fn line(before: u32, record: &Record) -> std::io::Result<(String, u32)> {
    let text = serde_json::to_string(record)?;
    let checksum = checksum(before, &text);
    Ok((format!("{checksum:08x} {text}\n"), checksum))
}

fn checksum(before: u32, text: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&before.to_le_bytes());
    hasher.update(text.as_bytes());
    hasher.finalize()
}

impl Store {
    /// Begins a campaign in a folder with these records.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn create(folder: &Path, header: Header, records: &[Record]) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(io(folder))?;
        let lock = locked(folder)?;
        let path = folder.join(RESULTS);
        if path.exists() {
            return Err(StoreError::Exists(folder.to_owned()));
        }
        let (mut text, mut checksum) = (String::new(), 0);
        for record in std::iter::once(&Record::Header(header)).chain(records) {
            let (line, next) = line(checksum, record).map_err(io(&path))?;
            text.push_str(&line);
            checksum = next;
        }
        // Under its name the file always has a header.
        let new = folder.join("results.new");
        let mut file = File::create(&new).map_err(io(&new))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io(&new))?;
        fs::rename(&new, &path).map_err(io(&path))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))?;
        Ok(Store { path, end: Mutex::new(End { file, checksum }), _lock: lock })
    }

    /// Opens a campaign to add records. Cuts off an incomplete last line.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(folder: &Path) -> Result<(Self, Contents), StoreError> {
        let path = folder.join(RESULTS);
        if !path.exists() {
            return Err(StoreError::None(folder.to_owned()));
        }
        let lock = locked(folder)?;
        let contents = Contents::read(folder)?;
        let mut file = OpenOptions::new().write(true).open(&path).map_err(io(&path))?;
        if contents.torn > 0 {
            file.set_len(contents.length).and_then(|()| file.sync_all()).map_err(io(&path))?;
        }
        file.seek(SeekFrom::End(0)).map_err(io(&path))?;
        let end = Mutex::new(End { file, checksum: contents.checksum });
        Ok((Store { path, end, _lock: lock }, contents))
    }

    /// Adds a record. It is on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add(&self, record: &Record) -> Result<(), StoreError> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let (line, checksum) = line(end.checksum, record).map_err(io(&self.path))?;
        let written = end.file.write_all(line.as_bytes()).and_then(|()| end.file.sync_data());
        written.map_err(io(&self.path))?;
        end.checksum = checksum;
        Ok(())
    }
}

/// Locks a folder until the file is closed, also by a crash.
fn locked(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK);
    let options = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = options.map_err(io(&path))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| StoreError::Locked(folder.to_owned()))?;
    Ok(file)
}

impl Contents {
    /// Reads a campaign. An incomplete last line is left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(RESULTS);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::None(folder.to_owned()));
            }
            read => read.map_err(io(&path))?,
        };
        let (mut records, mut length, mut before, mut damage) = (Vec::new(), 0, 0, None);
        for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            if let Some((number, what)) = damage.take() {
                // Not the last line.
                return Err(StoreError::Damaged(path, number, what));
            }
            match read_line(before, line) {
                Ok((record, checksum)) => {
                    records.push(record);
                    before = checksum;
                    length += line.len() as u64;
                }
                Err(Unread::Damaged(what)) => damage = Some((number, what)),
                Err(Unread::Version(version)) => return Err(StoreError::Version(path, version)),
            }
        }
        let torn = bytes.len() as u64 - length;
        let mut records = records.into_iter();
        let Some(Record::Header(header)) = records.next() else {
            let what = damage.map_or_else(|| "there is no header".to_owned(), |(_, what)| what);
            return Err(StoreError::Damaged(path, 1, what));
        };
        Ok(Contents { header, records: records.collect(), torn, length, checksum: before })
    }
}

enum Unread {
    Damaged(String),
    Version(u64),
}

fn read_line(before: u32, line: &[u8]) -> Result<(Record, u32), Unread> {
    let damaged = |what: &str| Unread::Damaged(what.to_owned());
    let text = line.strip_suffix(b"\n").ok_or_else(|| damaged("it does not end"))?;
    let text = std::str::from_utf8(text).map_err(|_| damaged("it is no text"))?;
    let (sum, text) = text.split_once(' ').ok_or_else(|| damaged("it has no checksum"))?;
    let expected = checksum(before, text);
    if sum != format!("{expected:08x}") {
        return Err(damaged("its checksum is wrong"));
    }
    // The version is looked at first: a record of another version may have other fields.
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| damaged(&error.to_string()))?;
    let version = value.get("header").map(|header| &header["version"]);
    if let Some(version) = version.and_then(serde_json::Value::as_u64)
        && version != u64::from(VERSION)
    {
        return Err(Unread::Version(version));
    }
    let record = serde_json::from_value(value).map_err(|error| damaged(&error.to_string()))?;
    Ok((record, expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::record::UnitRecord;

    fn header() -> Header {
        Header {
            version: VERSION,
            program: "0".to_owned(),
            name: "plan".to_owned(),
            plan_path: "plan.toml".to_owned(),
            plan: "[[sim]]\n".to_owned(),
            inputs: 7,
            jobs: vec!["sim".to_owned()],
            units: Vec::new(),
            shard: None,
        }
    }

    fn unit(unit: u64) -> Record {
        Record::Unit(UnitRecord { unit, passed: 1, work: 10 * unit, others: Vec::new() })
    }

    /// A folder with a campaign of four records, and the bytes of its file.
    fn four() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path(), header(), &[]).unwrap();
        (0..4).for_each(|number| store.add(&unit(number)).unwrap());
        let path = folder.path().join(RESULTS);
        let bytes = fs::read(&path).unwrap();
        (folder, path, bytes)
    }

    #[test]
    fn what_was_added_is_read_and_a_second_process_is_refused() {
        let (folder, ..) = four();
        let (store, contents) = Store::open(folder.path()).unwrap();
        assert_eq!(contents.header, header());
        assert_eq!(contents.records, (0..4).map(unit).collect::<Vec<_>>());
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Locked(_))));
        store.add(&unit(4)).unwrap();
        drop(store);
        assert_eq!(Contents::read(folder.path()).unwrap().records.len(), 5);
        let again = Store::create(folder.path(), header(), &[]);
        assert!(matches!(again, Err(StoreError::Exists(_))));
    }

    #[test]
    fn a_file_cut_anywhere_loses_at_most_the_line_that_was_cut() {
        let (folder, path, bytes) = four();
        let header_length = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        // Each opening writes to the disk several times: a step that is no divisor of a line's length.
        for length in (header_length..bytes.len()).step_by(7) {
            fs::write(&path, &bytes[..length]).unwrap();
            let complete = bytes[..length].iter().filter(|byte| **byte == b'\n').count() - 1;
            let (store, contents) = Store::open(folder.path()).unwrap();
            assert_eq!(contents.records.len(), complete, "cut at {length}");
            (complete..4).for_each(|number| store.add(&unit(number as u64)).unwrap());
            drop(store);
            assert_eq!(fs::read(&path).unwrap(), bytes, "cut at {length}");
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed_in_every_byte() {
        let (folder, path, bytes) = four();
        let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            match Contents::read(folder.path()) {
                // The last line may be one that was not written completely.
                Ok(contents) => {
                    assert!(at + 1 >= last, "byte {at} was changed unnoticed");
                    assert!(contents.torn > 0 && contents.records.len() < 4, "byte {at}");
                }
                Err(StoreError::Damaged(_, line, _)) => {
                    let of = bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
                    assert_eq!(line, of, "byte {at}");
                }
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
    }

    #[test]
    fn a_lost_or_exchanged_line_is_noticed() {
        let (folder, path, bytes) = four();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        for order in [&[0, 2, 3, 4][..], &[0, 2, 1, 3, 4], &[0, 1, 1, 2, 3, 4]] {
            fs::write(&path, order.iter().map(|at| lines[*at]).collect::<Vec<_>>().concat())
                .unwrap();
            let read = Contents::read(folder.path());
            assert!(matches!(read, Err(StoreError::Damaged(..))), "{order:?}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let other = Header { version: VERSION + 1, ..header() };
        drop(Store::create(folder.path(), other, &[]).unwrap());
        let error = Contents::read(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Version(_, 2)), "{error}");
        assert!(error.to_string().ends_with("the format has version 2; this ifq reads version 1"));
    }
}
