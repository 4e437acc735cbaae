//! One value that user space observes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::errno;
use crate::test::arg::VarKind;

/// One observed result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// The step did not end.
    Unbound,
    /// An id, the `res` of a completion, 0 for success, or -errno.
    Number(i64),
    /// An open file descriptor. Its number is not part of the outcome.
    Fd,
}

impl Value {
    /// The value of a step's raw result.
    #[must_use]
    pub fn from_raw(kind: VarKind, raw: i64) -> Self {
        if kind == VarKind::Fd && raw >= 0 { Value::Fd } else { Value::Number(raw) }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::Unbound => f.write_str("-"),
            Value::Fd => f.write_str("fd"),
            Value::Number(n) if n < 0 => match errno::name(n) {
                Some(name) => write!(f, "-{name}"),
                None => write!(f, "{n}"),
            },
            Value::Number(n) => write!(f, "{n}"),
        }
    }
}
