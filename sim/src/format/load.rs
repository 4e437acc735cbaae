//! Reads one test from a file or from standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ifq_model::test::Test;

use super::error::{LoadError, ParseError};
use super::json::from_json;
use super::parse::parse;

/// The name of standard input on a command line.
pub const STDIN: &str = "-";

/// The name of standard input in errors.
const STDIN_NAME: &str = "<stdin>";

/// Largest file, in bytes. No valid test with a schedule that a search can find is near it.
const MAX_BYTES: u64 = 256 << 20;

/// Reads a test from a file: text if its name ends in `.ifq`, JSON if it ends in `.json`. The path `-` is
/// standard input. Standard input and pipes hold JSON if they start with `{`, otherwise text.
///
/// # Errors
///
/// The file cannot be read, has another ending, is larger than 256 MiB, or does not hold a valid test.
pub fn load(path: impl AsRef<Path>) -> Result<Test, LoadError> {
    let path = path.as_ref();
    let stdin = path == Path::new(STDIN);
    let name = if stdin { STDIN_NAME.to_owned() } else { path.display().to_string() };
    let error = |error| LoadError::Read { path: name.clone(), error };
    let (bytes, json) = if stdin {
        (read(io::stdin().lock()).map_err(error)?, None)
    } else {
        let kind = std::fs::metadata(path).map_err(error)?;
        let ending = path.extension().and_then(|e| e.to_str());
        let json = match ending {
            _ if kind.is_dir() => {
                let message = "it is a folder; expected one file";
                return Err(error(io::Error::new(io::ErrorKind::IsADirectory, message)));
            }
            Some("json") => Some(true),
            Some("ifq") => Some(false),
            _ if kind.is_file() => return Err(LoadError::Ending { path: name }),
            _ => None,
        };
        (File::open(path).and_then(read).map_err(error)?, json)
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => return Err(ParseError::not_utf8(&name, &e).into()),
    };
    if json.unwrap_or_else(|| text.trim_start().starts_with('{')) {
        from_json(&text).map_err(|error| LoadError::Json { path: name, error: Box::new(error) })
    } else {
        Ok(parse(&name, &text)?)
    }
}

fn read(file: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("larger than {} MiB", MAX_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}
