//! Tests as JSON.

use ifq_model::test::Test;

use super::place::Invalid;
use super::validate::validate;

/// An error of [`from_json`].
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON, or not JSON of a test. The message names line and column.
    #[error(transparent)]
    Shape(#[from] serde_json::Error),
    /// The test does not pass [`validate`]. The message names the part.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Reads a test from JSON.
///
/// # Errors
///
/// The text is not JSON of a test, or the test does not pass [`validate`].
pub fn from_json(text: &str) -> Result<Test, JsonError> {
    let test: Test = serde_json::from_str(text)?;
    validate(&test)?;
    Ok(test)
}

/// Writes a test as JSON, indented, with a newline at the end.
#[must_use]
pub fn to_json(test: &Test) -> String {
    // The maps of a `Test` have strings as keys, and writing to memory cannot fail.
    let mut text = serde_json::to_string_pretty(test).expect("a test is plain data");
    text.push('\n');
    text
}
