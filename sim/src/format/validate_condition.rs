//! Validation of the conditions of a [`Test`].

use ifq_model::outcome::Value;
use ifq_model::revision::Variant;
#[cfg(doc)]
use ifq_model::test::Test;
use ifq_model::test::condition::{Comparison, Operand};
use ifq_model::test::{Condition, Formula, VarId, VarKind, limits};

use super::place::{Invalid, Place};
use super::validate::Checker;

impl Checker<'_> {
    pub(super) fn conditions(&self) -> Result<(), Invalid> {
        for (i, condition) in self.test.conditions.iter().enumerate() {
            self.condition(i, condition)?;
        }
        Ok(())
    }

    fn condition(&self, i: usize, condition: &Condition) -> Result<(), Invalid> {
        self.formula(i, &mut 0, 0, &condition.formula)?;
        let place = |j| Place::ConditionRevision(i, j);
        self.ascending(&condition.revisions, &place)?;
        self.ascending(&condition.defects, &|j| Place::ConditionDefect(i, j))?;
        self.ascending(&condition.without, &|j| Place::ConditionWithout(i, j))?;
        for (j, &revision) in condition.revisions.iter().enumerate() {
            if !self.test.revisions.contains(&revision) {
                let message = format!("the test does not apply to `{revision}`");
                return self.fail(place(j), message, "a revision of the line `revision`");
            }
            let (defects, without) = (condition.defects.clone(), condition.without.clone());
            let variant = Variant { revision, defects, without };
            if let Some(invariant) = self.test.expected(&variant) {
                // A search ends with a violation, so that the outcomes are not complete.
                let message = format!("`{variant}` is expected to violate {invariant}");
                return self.fail(place(j), message, "a revision on which all invariants hold");
            }
        }
        let variants = condition.variants(self.test);
        if variants.is_empty() {
            let message =
                "a condition for no variant: each one is expected to violate an invariant";
            let expected = "a condition for a variant on which all invariants hold";
            return self.fail(Place::Condition(i), message, expected);
        }
        let revisions: Vec<_> = variants.iter().map(|variant| variant.revision).collect();
        let at = (|j| Place::ConditionDefect(i, j), |j| Place::ConditionWithout(i, j));
        let (with, without) = (&condition.defects, &condition.without);
        self.defect_changes(&revisions, (with, &at.0), (without, &at.1))
    }

    /// `seen` counts the comparisons of the condition.
    fn formula(
        &self,
        i: usize,
        seen: &mut usize,
        depth: usize,
        formula: &Formula,
    ) -> Result<(), Invalid> {
        if depth > limits::FORMULA_DEPTH {
            let message = format!("formulas inside each other, {depth} deep");
            return self.fail(Place::Condition(i), message, "a simpler condition");
        }
        match formula {
            Formula::Compare { var, is, to } => {
                let j = *seen;
                *seen += 1;
                self.comparison((i, j), *var, *is, *to)
            }
            Formula::Not(inner) => self.formula(i, seen, depth + 1, inner),
            Formula::And(parts) | Formula::Or(parts) => {
                if parts.len() < 2 {
                    let message = format!("`and` or `or` of {} formulas", parts.len());
                    return self.fail(Place::Condition(i), message, "two or more");
                }
                parts.iter().try_for_each(|part| self.formula(i, seen, depth + 1, part))
            }
        }
    }

    fn comparison(
        &self,
        (i, j): (usize, usize),
        var: VarId,
        is: Comparison,
        to: Operand,
    ) -> Result<(), Invalid> {
        let (left, right) = (Place::Compared(i, j), Place::ComparedTo(i, j));
        self.observed(left, var)?;
        if let Operand::Var(other) = to {
            self.observed(right, other)?;
        }
        let is_fd = |var: VarId| self.test.vars[usize::from(var)].kind == VarKind::Fd;
        let name = self.name(var);
        if is.is_order() && (is_fd(var) || matches!(to, Operand::Var(other) if is_fd(other))) {
            let message = format!("`{is}` compares numbers, and a descriptor's is not observed");
            return self.fail(left, message, "`=` or `!=`");
        }
        match to {
            Operand::Value(Value::Fd) if !is_fd(var) => {
                let message = format!("`{name}` is no descriptor");
                self.fail(right, message, "a number, an errno or `-`")
            }
            Operand::Value(Value::Number(0..)) if is_fd(var) => {
                let message = format!("the number of the descriptor `{name}` is not observed");
                self.fail(right, message, "`fd`, an errno or `-`")
            }
            Operand::Value(Value::Fd | Value::Unbound) if is.is_order() => {
                self.fail(right, format!("`{is}` compares numbers"), "a number or an errno")
            }
            _ => Ok(()),
        }
    }

    fn observed(&self, place: Place, var: VarId) -> Result<(), Invalid> {
        self.var(place, var)?;
        if self.test.observe.contains(&var) {
            return Ok(());
        }
        let message = format!("`{}` is not observed", self.name(var));
        let observed = self.test.observe.iter().map(|var| self.name(*var));
        let names = super::words::one_of(observed);
        self.fail(place, message, format!("an observed name ({names}), or the name in `observe`"))
    }
}
