//! Conditions on the outcomes of a test, as in herd7: `exists`, `forbid` and `always`.

use serde::{Deserialize, Serialize};

use super::ids::VarId;
use crate::named_enum::named_enum;
use crate::revision::{Defect, Revision};
use crate::value::Value;

/// A condition on the set of all outcomes of the variants that it applies to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// How many outcomes must satisfy the formula.
    pub quantifier: Quantifier,
    /// The formula over the observed results.
    pub formula: Formula,
    /// The revisions that it applies to, oldest first. Empty: all revisions of the test on which the
    /// variant is not expected to violate an invariant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// Defects that are added to the revision's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<Defect>,
    /// Defects of the revision that are fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Defect>,
}

named_enum! {
    /// How many outcomes must satisfy a formula.
    pub enum Quantifier {
        Exists "exists" "At least one outcome satisfies it.";
        Forbid "forbid" "No outcome satisfies it.";
        Always "always" "Every outcome satisfies it.";
    }
}

/// A formula over the observed results of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Formula {
    /// A result compared with a value or with another result.
    Compare {
        /// The result.
        var: VarId,
        /// The comparison.
        is: Comparison,
        /// What it is compared with.
        to: Operand,
    },
    /// The formula is false.
    Not(Box<Formula>),
    /// All are true; at least two.
    And(Vec<Formula>),
    /// At least one is true; at least two.
    Or(Vec<Formula>),
}

named_enum! {
    /// A comparison of two values.
    pub enum Comparison {
        Equal "=" "The same value.";
        NotEqual "!=" "Another value.";
        Less "<" "A smaller number.";
        LessOrEqual "<=" "A smaller number, or the same.";
        Greater ">" "A larger number.";
        GreaterOrEqual ">=" "A larger number, or the same.";
    }
}

/// The right side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operand {
    /// A value.
    Value(Value),
    /// Another result.
    Var(VarId),
}

impl Comparison {
    /// Whether the comparison is of the order of numbers.
    #[must_use]
    pub fn is_order(self) -> bool {
        !matches!(self, Comparison::Equal | Comparison::NotEqual)
    }

    /// Compares two values. An order holds between numbers only.
    #[must_use]
    pub fn holds(self, left: Value, right: Value) -> bool {
        let number = |value| match value {
            Value::Number(number) => Some(number),
            Value::Fd | Value::Unbound => None,
        };
        let (small, large) = (number(left), number(right));
        let order = small.zip(large).map(|(small, large)| small.cmp(&large));
        match self {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
            Comparison::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
            Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
            Comparison::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
        }
    }
}

impl Formula {
    /// Calls `f` with each result that the formula names, in the order of the text.
    pub fn for_each_var(&mut self, f: &mut impl FnMut(&mut VarId)) {
        match self {
            Formula::Compare { var, to, .. } => {
                f(var);
                if let Operand::Var(other) = to {
                    f(other);
                }
            }
            Formula::Not(formula) => formula.for_each_var(f),
            Formula::And(parts) | Formula::Or(parts) => {
                parts.iter_mut().for_each(|part| part.for_each_var(f));
            }
        }
    }

    /// Whether all results that the formula names are in a list.
    #[must_use]
    pub fn names_only(&self, vars: &[VarId]) -> bool {
        let mut all = true;
        self.clone().for_each_var(&mut |var| all &= vars.contains(var));
        all
    }
}
