//! The answer of a guest: JSON lines on a serial line or in a file.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::init::{drain, open_line};
use crate::job::JobLine;

/// Writes the lines of the answer. The watchdog shares it.
#[derive(Clone)]
pub(super) struct AnswerWriter(Arc<Mutex<File>>);

impl AnswerWriter {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        Ok(AnswerWriter(Arc::new(Mutex::new(open_line(path)?))))
    }

    pub(super) fn drain(&self) {
        drain(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn write(&self, line: &JobLine) -> Result<(), String> {
        let mut text = serde_json::to_string(line).map_err(|error| error.to_string())?;
        text.push('\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).map_err(|error| format!("writing the answer: {error}"))
    }
}
