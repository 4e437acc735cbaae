//! What gcov says about `io_uring/zcrx.c`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The end of the path of the file that is compiled with counters.
const FILE: &str = "io_uring/zcrx.c";

/// How often the lines of `io_uring/zcrx.c` ran, over all recordings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// The number of recordings: one at the end of a boot, and one before each test that may crash the kernel.
    pub recordings: usize,
    /// The lines with code.
    pub lines: Vec<Line>,
}

/// A line with code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// How often it ran.
    pub count: u64,
    /// The function that it is in.
    pub function: String,
    /// Its text.
    pub text: String,
}

/// A document of `gcov --json-format` (gcc 14).
#[derive(Deserialize)]
struct Document {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    file: String,
    lines: Vec<Counted>,
}

#[derive(Deserialize)]
struct Counted {
    line_number: usize,
    count: u64,
    #[serde(default)]
    function_name: String,
}

impl Coverage {
    /// Adds up the documents of gcov, one for each boot. `source`: the text of `io_uring/zcrx.c`.
    ///
    /// # Errors
    ///
    /// A message: a document cannot be read, or has no line of the file.
    pub fn parse(documents: &[u8], source: &str) -> Result<Self, String> {
        let mut counts: BTreeMap<usize, (u64, String)> = BTreeMap::new();
        let mut recordings = 0;
        for document in serde_json::Deserializer::from_slice(documents).into_iter::<Document>() {
            let document = document.map_err(|error| format!("the output of gcov: {error}"))?;
            recordings += 1;
            let files = document.files.into_iter().filter(|file| file.file.ends_with(FILE));
            for line in files.flat_map(|file| file.lines) {
                let (count, function) = counts.entry(line.line_number).or_default();
                *count = count.saturating_add(line.count);
                *function = line.function_name;
            }
        }
        if counts.is_empty() {
            return Err(format!("the output of gcov has no line of {FILE}"));
        }
        let texts: Vec<&str> = source.lines().collect();
        let line = |(number, (count, function)): (usize, (u64, String))| {
            let text = texts.get(number - 1).copied().unwrap_or_default().to_owned();
            Line { number, count, function, text }
        };
        Ok(Coverage { recordings, lines: counts.into_iter().map(line).collect() })
    }

    /// The lines that ran.
    #[must_use]
    pub fn reached(&self) -> usize {
        self.lines.iter().filter(|line| line.count > 0).count()
    }

    /// The lines that did not run, by function, in the order of the file.
    #[must_use]
    pub fn unreached(&self) -> Vec<(&str, Vec<&Line>)> {
        let mut functions: Vec<(&str, Vec<&Line>)> = Vec::new();
        for line in self.lines.iter().filter(|line| line.count == 0) {
            match functions.last_mut() {
                Some((function, lines)) if *function == line.function => lines.push(line),
                _ => functions.push((&line.function, vec![line])),
            }
        }
        functions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What gcov 14 printed for two boots of 7.3.4, without most of the lines.
    const RECORDED: &str = include_str!("../../tests/kernel-build/gcov.json");

    fn source() -> String {
        (1..2000).map(|line| format!("line {line}\n")).collect()
    }

    #[test]
    fn the_counts_of_all_boots_are_added_up_and_other_files_are_left_out() {
        let coverage = Coverage::parse(RECORDED.as_bytes(), &source()).unwrap();
        assert_eq!(coverage.recordings, 2);
        let documents =
            RECORDED.lines().map(|line| serde_json::from_str::<Document>(line).unwrap());
        let files = documents.flat_map(|document| document.files);
        let (own, others): (Vec<File>, Vec<File>) = files.partition(|f| f.file.ends_with(FILE));
        assert!(!others.is_empty() && own.len() == 2);
        for line in &coverage.lines {
            let counted = own.iter().flat_map(|file| &file.lines);
            let same = counted.filter(|counted| counted.line_number == line.number);
            assert_eq!(line.count, same.map(|counted| counted.count).sum::<u64>(), "{line:?}");
            assert_eq!(line.text, format!("line {}", line.number));
        }
        let unreached: usize = coverage.unreached().iter().map(|(_, lines)| lines.len()).sum();
        assert!(coverage.reached() > 0 && unreached > 0);
        assert_eq!(coverage.reached() + unreached, coverage.lines.len());
    }

    #[test]
    fn output_that_is_no_document_or_is_of_another_file_is_an_error() {
        for text in ["", "gcov: error", r#"{"files": [{"file": "a.c", "lines": []}]}"#] {
            assert!(Coverage::parse(text.as_bytes(), "").is_err(), "{text}");
        }
    }
}
