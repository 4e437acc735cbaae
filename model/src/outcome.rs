//! The outcome of a run: what user space observed.

use serde::{Deserialize, Serialize};

use crate::test::Test;
pub use crate::value::Value;

/// The observed results, in the order of [`Test::observe`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Outcome(pub Vec<Value>);

impl Outcome {
    /// The outcome in the notation of herd7: `c=100; x=-EBADF;`.
    #[must_use]
    pub fn display(&self, test: &Test) -> String {
        let mut text = String::new();
        for (var, value) in test.observe.iter().zip(&self.0) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&format!("{}={value};", test.vars[usize::from(*var)].name));
        }
        if text.is_empty() {
            text.push_str("(nothing observed)");
        }
        text
    }
}
