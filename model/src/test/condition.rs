//! Conditions on the outcomes of a test, as in herd7: `exists`, `forbid` and `always`.

use serde::{Deserialize, Serialize};

use super::{Test, VarId};
use crate::named_enum::named_enum;
use crate::outcome::{Outcome, Value};
use crate::revision::{Defect, Revision, Variant};

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
    /// The formula that only this outcome satisfies; `None` if the test observes nothing.
    #[must_use]
    pub fn of(test: &Test, outcome: &Outcome) -> Option<Formula> {
        let is = Comparison::Equal;
        let equals = |(var, value): (&VarId, &Value)| Formula::Compare {
            var: *var,
            is,
            to: Operand::Value(*value),
        };
        let mut parts: Vec<Formula> = test.observe.iter().zip(&outcome.0).map(equals).collect();
        if parts.len() < 2 { parts.pop() } else { Some(Formula::And(parts)) }
    }

    /// Whether an outcome of a test satisfies the formula. A result that is not observed is unbound.
    #[must_use]
    pub fn holds(&self, test: &Test, outcome: &Outcome) -> bool {
        let value = |var: VarId| {
            let at = test.observe.iter().position(|observed| *observed == var);
            at.and_then(|at| outcome.0.get(at)).copied().unwrap_or(Value::Unbound)
        };
        match self {
            Formula::Compare { var, is, to } => {
                let right = match *to {
                    Operand::Value(value) => value,
                    Operand::Var(other) => value(other),
                };
                is.holds(value(*var), right)
            }
            Formula::Not(formula) => !formula.holds(test, outcome),
            Formula::And(parts) => parts.iter().all(|part| part.holds(test, outcome)),
            Formula::Or(parts) => parts.iter().any(|part| part.holds(test, outcome)),
        }
    }

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

    /// The formula in a test file's notation: `(x=0 and y=-EEXIST) or not z=fd`.
    #[must_use]
    pub fn display(&self, test: &Test) -> String {
        let name = |var: VarId| test.vars[usize::from(var)].name.as_str();
        match self {
            Formula::Compare { var, is, to } => match *to {
                Operand::Value(value) => format!("{}{is}{value}", name(*var)),
                Operand::Var(other) => format!("{}{is}{}", name(*var), name(other)),
            },
            Formula::Not(formula) => format!("not {}", formula.part(test)),
            Formula::And(parts) => joined(test, parts, " and "),
            Formula::Or(parts) => joined(test, parts, " or "),
        }
    }

    /// As [`Formula::display`], in parentheses where the formula is part of another one.
    fn part(&self, test: &Test) -> String {
        match self {
            Formula::Compare { .. } | Formula::Not(_) => self.display(test),
            Formula::And(_) | Formula::Or(_) => format!("({})", self.display(test)),
        }
    }
}

fn joined(test: &Test, parts: &[Formula], word: &str) -> String {
    let parts: Vec<String> = parts.iter().map(|part| part.part(test)).collect();
    parts.join(word)
}

impl Condition {
    /// Whether the condition applies to a variant of its test.
    #[must_use]
    pub fn applies(&self, test: &Test, variant: &Variant) -> bool {
        let revision = if self.revisions.is_empty() {
            test.revisions.contains(&variant.revision) && test.expected(variant).is_none()
        } else {
            self.revisions.contains(&variant.revision)
        };
        revision && self.defects == variant.defects && self.without == variant.without
    }

    /// The variants that the condition applies to, in the order of the revisions.
    #[must_use]
    pub fn variants(&self, test: &Test) -> Vec<Variant> {
        let variant = |&revision: &Revision| Variant {
            revision,
            defects: self.defects.clone(),
            without: self.without.clone(),
        };
        let all = test.revisions.iter().map(variant);
        all.filter(|variant| self.applies(test, variant)).collect()
    }

    /// Whether one outcome agrees with the condition: it satisfies the formula, or not if that is forbidden.
    #[must_use]
    pub fn agrees(&self, test: &Test, outcome: &Outcome) -> bool {
        self.formula.holds(test, outcome) != (self.quantifier == Quantifier::Forbid)
    }

    /// The condition in a test file's notation, without the variants: `always x=0`.
    #[must_use]
    pub fn display(&self, test: &Test) -> String {
        format!("{} {}", self.quantifier, self.formula.display(test))
    }
}
