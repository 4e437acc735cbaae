//! Recorded hashes of verdicts and outcomes: one file for each revision, a short hash for each test.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::family::Family;
use super::plan::TestId;
use super::stream::Size;

/// Hashes in a line of the file.
const PER_LINE: usize = 32;

/// The recorded hashes of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// By family and size: the hashes in the order of the tests.
    parts: BTreeMap<(u8, u8, Family), Vec<u16>>,
}

impl Record {
    /// Forgets the tests of one family and size.
    pub fn clear(&mut self, family: Family, size: Size) {
        self.parts.remove(&(size.ops, size.rings, family));
    }

    /// Adds the next test of its family and size.
    pub fn push(&mut self, id: TestId, hash: u64) {
        self.parts.entry((id.size.ops, id.size.rings, id.family)).or_default().push(shorten(hash));
    }

    /// Whether a test has this hash; `None` if it is not recorded.
    #[must_use]
    pub fn agrees(&self, id: TestId, hash: u64) -> Option<bool> {
        let part = self.parts.get(&(id.size.ops, id.size.rings, id.family))?;
        part.get(usize::try_from(id.number).ok()?).map(|known| *known == shorten(hash))
    }

    /// The number of recorded tests of one family and size.
    #[must_use]
    pub fn len(&self, family: Family, size: Size) -> u64 {
        self.parts.get(&(size.ops, size.rings, family)).map_or(0, |part| part.len() as u64)
    }

    /// The text of the file.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = String::from(
            "# Written by `ifq enumerate --record`: a hash of the verdict and the outcomes of each test.\n",
        );
        for ((ops, rings, family), hashes) in &self.parts {
            let _ =
                writeln!(text, "{} rings={rings} ops={ops} tests={}", family.name(), hashes.len());
            for line in hashes.chunks(PER_LINE) {
                line.iter().for_each(|hash| _ = write!(text, "{hash:04x}"));
                text.push('\n');
            }
        }
        text
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// A sentence that names the first wrong line.
    pub fn parse(text: &str) -> Result<Record, String> {
        let mut record = Record::default();
        let mut part: Option<((u8, u8, Family), usize)> = None;
        for (at, line) in text.lines().enumerate() {
            let wrong = |expected| format!("line {}: expected {expected}", at + 1);
            if line.starts_with('#') {
                continue;
            }
            if line.contains('=') {
                let (key, tests) =
                    header(line).ok_or_else(|| wrong("`FAMILY rings=N ops=N tests=N`"))?;
                record.parts.insert(key, Vec::new());
                part = Some((key, tests));
                continue;
            }
            let (key, tests) = part.ok_or_else(|| wrong("a family and a size"))?;
            let hashes = record.parts.entry(key).or_default();
            for hash in line.as_bytes().chunks(4) {
                let hash = std::str::from_utf8(hash).ok();
                let hash = hash.and_then(|hash| u16::from_str_radix(hash, 16).ok());
                hashes.push(hash.ok_or_else(|| wrong("hashes of four hexadecimal digits"))?);
            }
            if hashes.len() > tests {
                return Err(wrong("no more hashes than tests"));
            }
        }
        Ok(record)
    }
}

fn header(line: &str) -> Option<((u8, u8, Family), usize)> {
    let mut words = line.split(' ');
    let family = Family::named(words.next()?)?;
    let rings = words.next()?.strip_prefix("rings=")?.parse().ok()?;
    let ops = words.next()?.strip_prefix("ops=")?.parse().ok()?;
    let tests = words.next()?.strip_prefix("tests=")?.parse().ok()?;
    words.next().is_none().then_some(((ops, rings, family), tests))
}

/// Sixteen bits of a hash.
fn shorten(hash: u64) -> u16 {
    (hash ^ hash >> 16 ^ hash >> 32 ^ hash >> 48) as u16
}
