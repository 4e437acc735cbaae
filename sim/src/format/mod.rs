//! The test-file format: [`Test`] as text for people (`.ifq`) and as JSON for machines.
//!
//! A file is a list of lines. `#` starts a comment at the start of a line or after white space. Blank
//! lines and indentation have no meaning. The first line is `test NAME`; the other header lines and
//! the sections `setup`, `thread NAME` and `finally` may come in any order. A step is
//! `[NAME =] [RING: or SOCKET:] VERB ARGUMENTS [with MODIFIER...] [after NAME...]`.
//!
//! [`parse`] returns only tests that pass [`validate`]. [`print()`] of such a test parses to the same
//! test. Code that builds a test in another way calls [`validate`].

mod arguments;
mod condition;
mod cursor;
mod error;
mod expect;
mod folder;
mod header;
pub mod input;
mod json;
mod lex;
mod parse;
mod place;
mod print;
mod renumber;
mod step;
mod validate;
mod validate_condition;
mod validate_expect;
mod validate_order;
mod validate_steps;
mod words;

use std::path::Path;

use ifq_model::test::Test;

pub use condition::condition_lines;
pub use error::{LoadError, ParseError};
pub(crate) use folder::files_with_ending;
pub use folder::test_files;
pub use input::Input;
pub use json::{JsonError, from_json, to_json};
pub use parse::parse;
pub use place::{Invalid, Place, Section, StepPart};
pub use print::{print, step as print_step};
pub use renumber::renumber;
pub use validate::validate;
pub use words::SCHEDULE_VERSION;

/// Reads a test from a file: text if its name ends in `.ifq`, JSON if it ends in `.json`.
///
/// # Errors
///
/// The file cannot be read, has another ending, or does not hold a valid test.
pub fn load(path: impl AsRef<Path>) -> Result<Test, LoadError> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let ending = path.extension().and_then(|e| e.to_str());
    if !matches!(ending, Some("ifq" | "json")) {
        return Err(LoadError::Ending { path: name });
    }
    let bytes =
        std::fs::read(path).map_err(|error| LoadError::Read { path: name.clone(), error })?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => return Err(ParseError::not_utf8(&name, &e).into()),
    };
    if ending == Some("json") {
        from_json(&text).map_err(|error| LoadError::Json { path: name, error: Box::new(error) })
    } else {
        Ok(parse(&name, &text)?)
    }
}
