//! Questions about syntax that the rewriting asks.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ExprLet, Item, ReturnType, Type};

/// The source text of a node, in one line.
pub(crate) fn text(node: &impl Spanned) -> String {
    let text = node.span().source_text().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Line and column of the start of a span, both from one.
pub(crate) fn place(span: Span) -> (usize, usize) {
    let start = span.start();
    (start.line, start.column + 1)
}

struct FindLet(bool);

impl<'ast> Visit<'ast> for FindLet {
    fn visit_expr_let(&mut self, _: &'ast ExprLet) {
        self.0 = true;
    }
    // A `let` inside these belongs to another condition.
    fn visit_block(&mut self, _: &'ast syn::Block) {}
    fn visit_expr_closure(&mut self, _: &'ast syn::ExprClosure) {}
}

/// Whether a condition has a `let`.
pub(crate) fn has_let(expr: &Expr) -> bool {
    let mut find = FindLet(false);
    visit::visit_expr(&mut find, expr);
    find.0 || matches!(expr, Expr::Let(_))
}

/// Whether a mutant of the expression itself, and not of a part of it, negates it.
pub(crate) fn negates_itself(expr: &Expr) -> bool {
    match expr {
        Expr::Binary(binary) => is_comparison(&binary.op),
        Expr::Unary(unary) => matches!(unary.op, syn::UnOp::Not(_)),
        Expr::Paren(paren) => negates_itself(&paren.expr),
        _ => false,
    }
}

pub(crate) fn is_comparison(op: &BinOp) -> bool {
    matches!(
        op,
        BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_)
    )
}

/// The operators that may replace an operator.
pub(crate) fn swaps(op: &BinOp) -> &'static [&'static str] {
    match op {
        BinOp::Lt(_) => &["<=", ">="],
        BinOp::Le(_) => &["<", ">"],
        BinOp::Gt(_) => &[">=", "<="],
        BinOp::Ge(_) => &[">", "<"],
        BinOp::Add(_) => &["-"],
        BinOp::Sub(_) => &["+"],
        BinOp::Mul(_) => &["+"],
        BinOp::Div(_) => &["*"],
        BinOp::Rem(_) => &["/"],
        BinOp::BitAnd(_) => &["|"],
        BinOp::BitOr(_) => &["&"],
        BinOp::BitXor(_) => &["|"],
        BinOp::Shl(_) => &[">>"],
        BinOp::Shr(_) => &["<<"],
        BinOp::AddAssign(_) => &["-="],
        BinOp::SubAssign(_) => &["+="],
        BinOp::BitAndAssign(_) => &["|="],
        BinOp::BitOrAssign(_) => &["&="],
        _ => &[],
    }
}

/// The method that may replace a method with the same arguments and result.
pub(crate) fn other_method(name: &str) -> Option<&'static str> {
    Some(match name {
        "min" => "max",
        "max" => "min",
        "wrapping_add" => "wrapping_sub",
        "wrapping_sub" => "wrapping_add",
        "saturating_sub" => "wrapping_sub",
        "any" => "all",
        "all" => "any",
        "is_none_or" => "is_some_and",
        "is_some_and" => "is_none_or",
        "is_some" => "is_none",
        "is_none" => "is_some",
        "is_ok" => "is_err",
        "is_err" => "is_ok",
        _ => return None,
    })
}

/// Whether an expression is a call that may stand alone as a statement.
pub(crate) fn is_call(expr: &Expr) -> bool {
    match expr {
        Expr::Call(_) | Expr::MethodCall(_) => true,
        Expr::Await(wait) => is_call(&wait.base),
        Expr::Try(attempt) => is_call(&attempt.expr),
        _ => false,
    }
}

/// Whether a statement of this expression may be left out: calls, and assignments to what has a value already.
pub(crate) fn is_deletable(expr: &Expr) -> bool {
    match expr {
        Expr::Assign(assign) => !matches!(*assign.left, Expr::Path(_)),
        Expr::Binary(binary) => {
            // `a += b` is the only kind of binary expression whose statement has an effect.
            matches!(swaps(&binary.op), [op] if op.ends_with('='))
                || matches!(binary.op, BinOp::ShlAssign(_) | BinOp::ShrAssign(_))
        }
        _ => is_call(expr),
    }
}

/// The name of an errno that a path stands for.
pub(crate) fn errno(path: &syn::Path) -> Option<String> {
    let name = path.segments.last()?.ident.to_string();
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    let alone = path.segments.len() == 1 || path.segments[0].ident == "errno";
    (alone && name.starts_with('E') && name.len() >= 4 && name.chars().all(is_name)).then_some(name)
}

/// The memory ordering that a path stands for, if a weaker one may replace it.
pub(crate) fn ordering(path: &syn::Path) -> Option<String> {
    let mut segments = path.segments.iter().rev();
    let (last, before) = (segments.next()?, segments.next()?);
    let name = last.ident.to_string();
    let can_be_weaker = ["Acquire", "Release", "Full"].contains(&name.as_str());
    (before.ident == "Order" && can_be_weaker).then_some(name)
}

/// Results that a function of this type may return at once, as source text.
pub(crate) fn early_results(output: &ReturnType) -> Vec<&'static str> {
    let ReturnType::Type(_, ty) = output else { return vec![""] };
    let Type::Path(path) = &**ty else { return Vec::new() };
    let Some(last) = path.path.segments.last() else { return Vec::new() };
    match last.ident.to_string().as_str() {
        "bool" => vec!["true", "false"],
        "u32" | "u64" | "usize" | "i64" => vec!["0", "1"],
        "Option" => vec!["None"],
        "Vec" => vec!["Vec::new()"],
        "Result" => match &last.arguments {
            syn::PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
                Some(syn::GenericArgument::Type(Type::Tuple(unit))) if unit.elems.is_empty() => {
                    vec!["Ok(())"]
                }
                Some(syn::GenericArgument::Type(Type::Path(ok)))
                    if ["u32", "u64", "usize", "i64"].iter().any(|name| ok.path.is_ident(name)) =>
                {
                    vec!["Ok(0)"]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Whether an item is compiled for tests only.
pub(crate) fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && text(attribute).contains("test")
            || attribute.path().is_ident("test")
    })
}

/// Attributes of an item that can have them.
pub(crate) fn attributes(item: &Item) -> &[syn::Attribute] {
    match item {
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        _ => &[],
    }
}
