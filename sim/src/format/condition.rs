//! Reads the header lines `exists`, `forbid` and `always`.

use ifq_model::errno;
use ifq_model::outcome::Value;
use ifq_model::test::condition::{Comparison, Operand};
use ifq_model::test::{Condition, Formula, Quantifier, VarId, limits};

use super::cursor::{Cursor, pick};
use super::error::Problem;
use super::header::Header;
use super::lex::{Token, line};
use super::place::Place;
use super::step::Scope;
use super::words::{one_of, unknown};

/// The line, counted from 1, of each condition of a text, in order.
///
/// The text of a valid test has one for each of [`ifq_model::test::Test::conditions`].
#[must_use]
pub fn condition_lines(text: &str) -> Vec<usize> {
    let is_condition = |content: &str| {
        let first = line(content, 0).ok().and_then(|l| l.tokens.first().map(|t| t.text));
        first.is_some_and(|first| Quantifier::ALL.iter().any(|q| q.name() == first))
    };
    let lines = (1..).zip(text.lines());
    lines.filter(|(_, content)| is_condition(content)).map(|(number, _)| number).collect()
}

impl<'t> Header<'t> {
    /// Reads the conditions after all names are known and the observed ones are resolved.
    pub(super) fn conditions(&mut self, scope: &Scope<'t>) -> Result<(), Problem> {
        for line in std::mem::take(&mut self.conditions) {
            self.condition(&mut Cursor::new(&line), scope)?;
        }
        Ok(())
    }

    /// `QUANTIFIER FORMULA [with DEFECT...] [without DEFECT...] [on REVISION...]`.
    fn condition(&mut self, cursor: &mut Cursor<'_, 't>, scope: &Scope<'t>) -> Result<(), Problem> {
        let i = self.test.conditions.len();
        let word = cursor.word("a condition")?;
        self.note(Place::Condition(i), word.span.clone());
        let quantifier = pick("condition", word, Quantifier::ALL, Quantifier::name)?;
        let mut reader = FormulaReader { header: self, scope, condition: i, comparisons: 0 };
        let formula = reader.any(cursor, 0)?;
        let defects = self.defects(cursor, "with", |j| Place::ConditionDefect(i, j))?;
        let without = self.defects(cursor, "without", |j| Place::ConditionWithout(i, j))?;
        let revisions = self.on_revisions(cursor, |j| Place::ConditionRevision(i, j))?;
        self.test.conditions.push(Condition { quantifier, formula, revisions, defects, without });
        cursor.finish("`and`, `or`, `with`, `without`, `on` or the end of the line")
    }
}

/// Reads the formula of one condition.
struct FormulaReader<'a, 't> {
    header: &'a mut Header<'t>,
    scope: &'a Scope<'t>,
    condition: usize,
    /// How many comparisons have been read.
    comparisons: usize,
}

impl<'t> FormulaReader<'_, 't> {
    /// `FORMULA or FORMULA...`; `and` binds tighter.
    fn any(&mut self, cursor: &mut Cursor<'_, 't>, depth: usize) -> Result<Formula, Problem> {
        let first = self.all(cursor, depth)?;
        let mut parts = vec![first];
        while cursor.eat("or") {
            parts.push(self.all(cursor, depth)?);
        }
        Ok(one_or(parts, Formula::Or))
    }

    /// `FORMULA and FORMULA...`.
    fn all(&mut self, cursor: &mut Cursor<'_, 't>, depth: usize) -> Result<Formula, Problem> {
        let first = self.part(cursor, depth)?;
        let mut parts = vec![first];
        while cursor.eat("and") {
            parts.push(self.part(cursor, depth)?);
        }
        Ok(one_or(parts, Formula::And))
    }

    /// `not FORMULA`, `( FORMULA )` or a comparison.
    fn part(&mut self, cursor: &mut Cursor<'_, 't>, depth: usize) -> Result<Formula, Problem> {
        let expected = "`not`, `(` or a comparison, as in `x=0`";
        let Some(token) = cursor.peek() else { return Err(cursor.unexpected(expected)) };
        if matches!(token.text, "not" | "(") && depth == limits::FORMULA_DEPTH {
            let message = format!("more than {depth} of `not` and `(` inside each other");
            return Err(Problem::new(token.span.clone(), message, "a simpler condition"));
        }
        if cursor.eat("not") {
            return Ok(Formula::Not(Box::new(self.part(cursor, depth + 1)?)));
        }
        if cursor.eat("(") {
            let inner = self.any(cursor, depth + 1)?;
            cursor.exactly(")", "`and`, `or` or `)`")?;
            return Ok(inner);
        }
        self.comparison(cursor, cursor.clone().word(expected)?)
    }

    /// `NAME=VALUE`, with any comparison, or `NAME=NAME`.
    fn comparison(
        &mut self,
        cursor: &mut Cursor<'_, 't>,
        name: &Token<'t>,
    ) -> Result<Formula, Problem> {
        let (i, j) = (self.condition, self.comparisons);
        self.comparisons += 1;
        cursor.word("a name")?;
        let var = self.var(name)?;
        self.header.note(Place::Compared(i, j), name.span.clone());
        let names = one_of(Comparison::ALL.iter().map(|is| is.name()));
        let Some(is) = Comparison::ALL.iter().copied().find(|is| cursor.eat(is.name())) else {
            return Err(cursor.unexpected(&names));
        };
        let to = cursor.word("a number, an errno as `-EEXIST`, `fd`, `-` or a name")?;
        self.header.note(Place::ComparedTo(i, j), to.span.clone());
        Ok(Formula::Compare { var, is, to: self.operand(to)? })
    }

    fn var(&self, name: &Token<'t>) -> Result<VarId, Problem> {
        self.scope.vars.get(name.text).copied().ok_or_else(|| {
            let known = || self.observed();
            let message = unknown("name", name.text, known());
            Problem::new(
                name.span.clone(),
                message,
                format!("an observed name: {}", one_of(known())),
            )
        })
    }

    /// The names of the observed results.
    fn observed(&self) -> impl Iterator<Item = &'t str> {
        let all = self.scope.vars.iter();
        let observed = &self.header.test.observe;
        let mut named: Vec<(VarId, &'t str)> = all
            .map(|(name, var)| (*var, *name))
            .filter(|(var, _)| observed.contains(var))
            .collect();
        named.sort_unstable();
        named.into_iter().map(|(_, name)| name)
    }

    /// A value or a name.
    fn operand(&self, word: &Token<'t>) -> Result<Operand, Problem> {
        let text = word.text;
        let problem = |message: String, expected: String| {
            Err(Problem::new(word.span.clone(), message, expected))
        };
        let digits = text.strip_prefix('-').unwrap_or(text);
        match text {
            "fd" => return Ok(Operand::Value(Value::Fd)),
            "-" => return Ok(Operand::Value(Value::Unbound)),
            _ if digits.starts_with(|c: char| c.is_ascii_digit()) => {
                return match text.parse() {
                    Ok(number) => Ok(Operand::Value(Value::Number(number))),
                    Err(_) => problem(
                        format!("`{text}` is not a number of 64 bits"),
                        "a number in decimal".to_owned(),
                    ),
                };
            }
            _ => {}
        }
        if text.starts_with('-') {
            if let Some((_, number)) = errno::NAMES.iter().find(|(name, _)| *name == digits) {
                return Ok(Operand::Value(Value::Number(-number)));
            }
            let known = || errno::NAMES.iter().map(|(name, _)| *name);
            let message = unknown("errno", digits, known());
            return problem(message, format!("{}, after `-`", one_of(known())));
        }
        if let Some(var) = self.scope.vars.get(text) {
            return Ok(Operand::Var(*var));
        }
        if errno::NAMES.iter().any(|(name, _)| *name == text) {
            return problem(format!("unknown name `{text}` (did you mean `-{text}`?)"), {
                "a number, an errno as `-EEXIST`, `fd`, `-` or an observed name".to_owned()
            });
        }
        problem(
            unknown("value", text, self.observed().chain(["fd"])),
            "a number, an errno as `-EEXIST`, `fd`, `-` or an observed name".to_owned(),
        )
    }
}

/// The only part, or all parts as one formula.
fn one_or(mut parts: Vec<Formula>, join: fn(Vec<Formula>) -> Formula) -> Formula {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            join(parts)
        }
    }
}
