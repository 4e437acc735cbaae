//! Plants all mutants of a file in its syntax.
//!
//! Left alone, and counted: constants, `const fn`, macros and the text of `Debug` and `Display`. The first two
//! must be known to the compiler, the last two have no result that a test of the kernel code could see.

use std::collections::BTreeMap;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{BinOp, Block, Expr, File, Stmt, UnOp};

use crate::mutant::Mutant;
use crate::operators;
use crate::syntax::{self, text};

/// The name that replaces an errno, and the one that replaces that.
const OTHER_ERRNO: [&str; 2] = ["ENFILE", "EMFILE"];

/// Calls that only name what runs, for the report of a run.
const LABELS: [&str; 2] = ["func", "scope"];

/// Plants mutants, in the order of the source.
#[derive(Debug, Default)]
pub struct Rewriter {
    /// All mutants so far. The number of a mutant is its position plus one.
    pub mutants: Vec<Mutant>,
    /// What was left alone, with its number.
    pub left_alone: BTreeMap<&'static str, usize>,
    file: String,
    functions: Vec<String>,
    owner: Option<String>,
}

impl Rewriter {
    /// Rewrites a file.
    ///
    /// # Errors
    /// The text is no Rust.
    pub fn rewrite(&mut self, path: &str, source: &str) -> syn::Result<String> {
        let mut file: File = syn::parse_file(source)?;
        path.clone_into(&mut self.file);
        self.visit_file_mut(&mut file);
        Ok(prettyplease::unparse(&file))
    }

    fn plant(&mut self, span: Span, original: String, change: String) -> usize {
        let (line, column) = syntax::place(span);
        let function = match (&self.owner, self.functions.last()) {
            (Some(owner), Some(function)) => format!("{owner}::{function}"),
            (None, Some(function)) => function.clone(),
            _ => String::new(),
        };
        let file = self.file.clone();
        let id = String::new();
        self.mutants.push(Mutant { file, line, column, function, change, original, id });
        self.mutants.len()
    }

    fn leave(&mut self, what: &'static str) {
        *self.left_alone.entry(what).or_default() += 1;
    }

    /// A function: what it returns at once, then its body.
    fn function(&mut self, signature: &syn::Signature, block: &mut Block) {
        if signature.constness.is_some() {
            self.leave("functions that are `const`");
            return;
        }
        self.functions.push(signature.ident.to_string());
        let mut early = Vec::new();
        for result in syntax::early_results(&signature.output) {
            let change = match result {
                "" => "returns at once".to_owned(),
                result => format!("returns `{result}` at once"),
            };
            let name = format!("fn {}", signature.ident);
            early.push((self.plant(signature.ident.span(), name, change), result));
        }
        let is_unit = matches!(signature.output, syn::ReturnType::Default);
        self.block(block, is_unit);
        for (number, result) in early {
            operators::return_early(block, number, result);
        }
        self.functions.pop();
    }

    /// A block; the last statement of a block without a value may be left out as well.
    fn block(&mut self, block: &mut Block, is_unit: bool) {
        let last = block.stmts.len().saturating_sub(1);
        for (at, statement) in block.stmts.iter_mut().enumerate() {
            let is_tail = at == last && matches!(statement, Stmt::Expr(_, None));
            if is_tail && !is_unit {
                self.visit_stmt_mut(statement);
            } else {
                self.statement(statement, is_tail);
            }
        }
    }

    fn statement(&mut self, statement: &mut Stmt, is_tail: bool) {
        let span = statement.span();
        match statement {
            Stmt::Expr(expr, semicolon) if semicolon.is_some() || is_tail => {
                if !syntax::is_deletable(expr) || is_label(expr) {
                    self.visit_expr_mut(expr);
                    return;
                }
                let original = text(expr);
                let deleted =
                    self.plant(span, original.clone(), "the statement is left out".to_owned());
                let ignored = matches!(expr, Expr::Try(_))
                    .then(|| self.plant(span, original, "goes on after an error".to_owned()));
                self.visit_expr_mut(expr);
                let attempt = match expr {
                    Expr::Try(attempt) => Some((*attempt.expr).clone()),
                    _ => None,
                };
                if let (Some(attempt), Some(number)) = (attempt, ignored) {
                    *statement = operators::ignore_error(&attempt, statement, number);
                }
                *statement = operators::delete(statement, deleted);
            }
            // Not the last one: its `else` has no value.
            Stmt::Expr(Expr::If(branch), None) if !is_tail => {
                let number = branch.else_branch.as_ref().map(|(_, branch)| {
                    self.plant(branch.span(), text(branch), "`else` is left out".to_owned())
                });
                visit_mut::visit_stmt_mut(self, statement);
                if let (Some(number), Stmt::Expr(Expr::If(branch), _)) = (number, &mut *statement)
                    && let Some((_, branch)) = &mut branch.else_branch
                {
                    **branch = operators::empty_else(branch, number);
                }
            }
            Stmt::Local(local) => {
                let is_guard = matches!(&local.pat, syn::Pat::Ident(name)
                    if name.ident.to_string().ends_with("_guard"));
                let number = local.init.as_ref().filter(|_| is_guard).map(|init| {
                    self.plant(span, text(&init.expr), "the lock is not taken".to_owned())
                });
                self.visit_local_mut(local);
                if let (Some(number), Some(init)) = (number, &mut local.init) {
                    *init.expr = operators::skip_lock(&init.expr, number);
                }
            }
            _ => self.visit_stmt_mut(statement),
        }
    }

    fn binary(&mut self, expr: &mut Expr) {
        let Expr::Binary(binary) = expr else { return };
        let (span, original) = (binary.op.span(), text(binary));
        let symbol = text(&binary.op);
        if matches!(binary.op, BinOp::And(_) | BinOp::Or(_)) {
            self.lazy(expr, span, &original, &symbol);
            return;
        }
        if matches!(binary.op, BinOp::Eq(_) | BinOp::Ne(_)) {
            let other = if symbol == "==" { "!=" } else { "==" };
            let number = self.plant(span, original, format!("`{symbol}` becomes `{other}`"));
            visit_mut::visit_expr_binary_mut(self, binary);
            *expr = operators::negate(expr, number);
            return;
        }
        let swaps = syntax::swaps(&binary.op);
        let mut planted = Vec::new();
        for other in swaps {
            let change = format!("`{symbol}` becomes `{other}`");
            planted.push((self.plant(span, original.clone(), change), *other));
        }
        visit_mut::visit_expr_binary_mut(self, binary);
        match planted[..] {
            [] => {}
            [(number, other)] if symbol.ends_with('=') && !syntax::is_comparison(&binary.op) => {
                *expr = operators::swap_assignment(binary, number, other);
            }
            _ => *expr = operators::swap(binary, &planted),
        }
    }

    /// `&&` and `||`. Beside a `let` the operator must stay.
    fn lazy(&mut self, expr: &mut Expr, span: Span, original: &str, symbol: &str) {
        let has_let = syntax::has_let(expr);
        let Expr::Binary(binary) = expr else { return };
        if has_let {
            let ignored = !syntax::has_let(&binary.right);
            let (span, right) = (binary.right.span(), text(&binary.right));
            let number =
                ignored.then(|| self.plant(span, right, "the operand is ignored".to_owned()));
            visit_mut::visit_expr_binary_mut(self, binary);
            if let Some(number) = number {
                *binary.right = operators::always_true(&binary.right, number);
            }
            return;
        }
        let other = if symbol == "&&" { "||" } else { "&&" };
        let number = self.plant(span, original.to_owned(), format!("`{symbol}` becomes `{other}`"));
        let is_and = symbol == "&&";
        let ignore = |rewriter: &mut Self, operand: &Expr| {
            let nested = matches!(operand, Expr::Binary(inner)
                if matches!(inner.op, BinOp::And(_) | BinOp::Or(_)));
            let change = "the operand is ignored".to_owned();
            (!nested).then(|| rewriter.plant(operand.span(), text(operand), change))
        };
        let ignored = [ignore(self, &binary.left), ignore(self, &binary.right)];
        visit_mut::visit_expr_binary_mut(self, binary);
        for (operand, number) in [&mut binary.left, &mut binary.right].into_iter().zip(ignored) {
            match number {
                Some(number) if is_and => **operand = operators::always_true(operand, number),
                Some(number) => **operand = operators::always_false(operand, number),
                None => {}
            }
        }
        *expr = operators::swap_lazy(binary, number, other);
    }

    /// The condition of `if` or `while`.
    fn condition(&mut self, condition: &mut Expr) {
        let original = text(condition);
        let span = condition.span();
        if syntax::has_let(condition) {
            let change = "the condition fails after it was evaluated".to_owned();
            let number = self.plant(span, original, change);
            self.visit_expr_mut(condition);
            *condition = operators::fail_let(condition, number);
        } else if syntax::negates_itself(condition) {
            self.visit_expr_mut(condition);
        } else {
            let number = self.plant(span, original, "the condition is negated".to_owned());
            match condition {
                // Another method would be the same mutant.
                Expr::MethodCall(call) => visit_mut::visit_expr_method_call_mut(self, call),
                _ => self.visit_expr_mut(condition),
            }
            *condition = operators::negate(condition, number);
        }
    }

    fn branch(&mut self, expr: &mut Expr) {
        let Expr::If(branch) = expr else { return };
        self.condition(&mut branch.cond);
        let jump = match branch.then_branch.stmts.last() {
            Some(Stmt::Expr(jump, _)) if branch.else_branch.is_none() => is_jump(jump),
            _ => false,
        };
        let number = jump.then(|| {
            let jump = branch.then_branch.stmts.last();
            let span = jump.span();
            self.plant(span, text(&jump), "the jump is left out".to_owned())
        });
        self.visit_block_mut(&mut branch.then_branch);
        if let (Some(number), Some(jump)) = (number, branch.then_branch.stmts.last_mut()) {
            *jump = operators::delete(jump, number);
        }
        if let Some((_, branch)) = &mut branch.else_branch {
            self.visit_expr_mut(branch);
        }
    }

    fn path(&mut self, expr: &mut Expr) {
        let Expr::Path(path) = &*expr else { return };
        if let Some(name) = syntax::ordering(&path.path) {
            let change = format!("`{name}` becomes `Relaxed`");
            let number = self.plant(path.span(), text(path), change);
            let relaxed: Expr = syn::parse_quote!(crate::platform::Order::Relaxed);
            *expr = operators::choose(&relaxed, path, number);
        } else if let Some(name) = syntax::errno(&path.path) {
            let other = if name == OTHER_ERRNO[0] { OTHER_ERRNO[1] } else { OTHER_ERRNO[0] };
            let number =
                self.plant(path.span(), name.clone(), format!("`{name}` becomes `{other}`"));
            let other = syn::Ident::new(other, Span::call_site());
            let other: Expr = syn::parse_quote!(crate::errno::#other);
            *expr = operators::choose(&other, path, number);
        }
    }

    fn literal(&mut self, expr: &mut Expr) {
        let Expr::Lit(literal) = &*expr else { return };
        match &literal.lit {
            syn::Lit::Int(value) => {
                let Ok(old) = value.base10_parse::<u128>() else { return };
                let mut plant = |new: u128| {
                    self.plant(value.span(), text(value), format!("`{old}` becomes `{new}`"))
                };
                let higher = plant(old + 1);
                let lower = old.checked_sub(1).map(plant);
                if let Some(changed) = operators::change_literal(value, higher, lower) {
                    *expr = changed;
                }
            }
            syn::Lit::Bool(value) => {
                let change = format!("`{}` becomes `{}`", value.value, !value.value);
                let number = self.plant(value.span(), text(value), change);
                *expr = operators::negate(expr, number);
            }
            _ => {}
        }
    }
}

/// Whether a call only names what runs.
fn is_label(expr: &Expr) -> bool {
    matches!(expr, Expr::Call(call) if matches!(&*call.func, Expr::Path(path)
        if path.path.segments.last().is_some_and(|last| LABELS.iter().any(|label| last.ident == label))))
}

/// Whether an expression leaves a block.
fn is_jump(expr: &Expr) -> bool {
    match expr {
        Expr::Return(_) | Expr::Continue(_) => true,
        Expr::Break(jump) => jump.expr.is_none(),
        _ => false,
    }
}

impl VisitMut for Rewriter {
    fn visit_item_mut(&mut self, item: &mut syn::Item) {
        if !syntax::is_test_only(syntax::attributes(item)) {
            visit_mut::visit_item_mut(self, item);
        }
    }

    fn visit_item_fn_mut(&mut self, item: &mut syn::ItemFn) {
        let owner = self.owner.take();
        self.function(&item.sig, &mut item.block);
        self.owner = owner;
    }

    fn visit_impl_item_fn_mut(&mut self, item: &mut syn::ImplItemFn) {
        self.function(&item.sig, &mut item.block);
    }

    fn visit_trait_item_fn_mut(&mut self, item: &mut syn::TraitItemFn) {
        // An empty body that implementations may replace has nothing to leave out.
        if let Some(block) = item.default.as_mut().filter(|block| !block.stmts.is_empty()) {
            self.function(&item.sig, block);
        }
    }

    fn visit_item_impl_mut(&mut self, item: &mut syn::ItemImpl) {
        let of = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        if of.is_some_and(|last| last.ident == "Debug" || last.ident == "Display") {
            self.leave("implementations of `Debug` and `Display`");
            return;
        }
        let name = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        let outer = std::mem::replace(&mut self.owner, name);
        visit_mut::visit_item_impl_mut(self, item);
        self.owner = outer;
    }

    fn visit_item_const_mut(&mut self, _: &mut syn::ItemConst) {
        self.leave("constants");
    }

    fn visit_impl_item_const_mut(&mut self, _: &mut syn::ImplItemConst) {
        self.leave("constants");
    }

    fn visit_item_static_mut(&mut self, _: &mut syn::ItemStatic) {
        self.leave("constants");
    }

    fn visit_macro_mut(&mut self, mac: &mut syn::Macro) {
        if !mac.path.is_ident("format_args") && !mac.path.is_ident("matches") {
            self.leave("macros");
        }
    }

    // Patterns and types must be known to the compiler.
    fn visit_pat_mut(&mut self, _: &mut syn::Pat) {}
    fn visit_type_mut(&mut self, _: &mut syn::Type) {}
    fn visit_generic_argument_mut(&mut self, _: &mut syn::GenericArgument) {}
    fn visit_attribute_mut(&mut self, _: &mut syn::Attribute) {}
    // The number of a constructor such as `Enum::A = 1`.
    fn visit_variant_mut(&mut self, _: &mut syn::Variant) {}

    fn visit_block_mut(&mut self, block: &mut Block) {
        self.block(block, false);
    }

    fn visit_arm_mut(&mut self, arm: &mut syn::Arm) {
        let numbers = arm.guard.as_ref().map(|(_, guard)| {
            let (span, original) = (guard.span(), text(guard));
            let ignored = self.plant(span, original.clone(), "the guard is ignored".to_owned());
            (ignored, self.plant(span, original, "the arm is skipped".to_owned()))
        });
        visit_mut::visit_arm_mut(self, arm);
        if let (Some((ignored, skipped)), Some((_, guard))) = (numbers, &mut arm.guard) {
            let changed = operators::always_true(guard, ignored);
            **guard = operators::always_false(&changed, skipped);
        }
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Binary(_) => self.binary(expr),
            Expr::If(_) => self.branch(expr),
            Expr::Path(_) => self.path(expr),
            Expr::Lit(_) => self.literal(expr),
            Expr::While(turn) => {
                self.condition(&mut turn.cond);
                self.visit_block_mut(&mut turn.body);
            }
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => {
                let change = "`!` is left out".to_owned();
                let number = self.plant(unary.op.span(), text(unary), change);
                self.visit_expr_mut(&mut unary.expr);
                *expr = operators::drop_not(&unary.expr, number);
            }
            Expr::MethodCall(call) => {
                let name = call.method.to_string();
                let planted = syntax::other_method(&name).map(|other| {
                    let change = format!("`{name}` becomes `{other}`");
                    (self.plant(call.method.span(), text(call), change), other)
                });
                visit_mut::visit_expr_method_call_mut(self, call);
                if let Some((number, other)) = planted {
                    *expr = operators::swap_method(call, number, other);
                }
            }
            Expr::Macro(mac) if mac.mac.path.is_ident("matches") => {
                let number = self.plant(mac.span(), text(mac), "the result is negated".to_owned());
                *expr = operators::negate(expr, number);
            }
            // The length must be known to the compiler.
            Expr::Repeat(array) => self.visit_expr_mut(&mut array.expr),
            Expr::Const(_) => {}
            _ => visit_mut::visit_expr_mut(self, expr),
        }
    }
}
