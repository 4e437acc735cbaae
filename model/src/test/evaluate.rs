//! Evaluates and prints the conditions of a test.

use super::condition::{Comparison, Condition, Formula, Operand, Quantifier};
use super::{Test, VarId};
use crate::outcome::Outcome;
use crate::revision::Variant;
use crate::value::Value;

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

impl Test {
    /// The conditions on a variant that one outcome contradicts, in the notation of a test file. An outcome
    /// that does not satisfy an `exists` counts: it is the outcome of a witness.
    #[must_use]
    pub fn contradicted(&self, variant: &Variant, outcome: &Outcome) -> Vec<String> {
        let conditions = self.conditions_on(variant).map(|(_, condition)| condition);
        let wrong = conditions.filter(|condition| !condition.agrees(self, outcome));
        wrong.map(|condition| condition.display(self)).collect()
    }
}
