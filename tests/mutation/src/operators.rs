//! What stands in the rewritten source where a mutant may change it. `on(N)` is true if mutant `N` is chosen.
//!
//! Each form has the type of the original for both choices. An operand is evaluated once, as in the original.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Block, Expr, ExprBinary, ExprMethodCall, Ident, LitInt, Stmt, parse_quote};

/// `on(N)`.
pub(crate) fn on(number: usize) -> TokenStream {
    let number = number as u32;
    quote!(crate::mutant::on(#number))
}

fn operator(text: &str) -> TokenStream {
    text.parse().expect("an operator is one token")
}

/// Negates a condition.
pub(crate) fn negate(expr: &Expr, number: usize) -> Expr {
    let on = on(number);
    parse_quote!(((#expr) ^ #on))
}

/// The operand of an operator, with the value `true`, although it is evaluated.
pub(crate) fn always_true(expr: &Expr, number: usize) -> Expr {
    let on = on(number);
    parse_quote!(((#expr) | #on))
}

/// As [`always_true`], `false`.
pub(crate) fn always_false(expr: &Expr, number: usize) -> Expr {
    let on = on(number);
    parse_quote!(((#expr) & !#on))
}

/// A binary operation with another operator, for operands that can be copied.
pub(crate) fn swap(binary: &ExprBinary, others: &[(usize, &str)]) -> Expr {
    let (left, op, right) = (&binary.left, &binary.op, &binary.right);
    let cases = others.iter().map(|(number, other)| {
        let (on, other) = (on(*number), operator(other));
        quote!(if #on { l #other r } else)
    });
    parse_quote!(({ let (l, r) = (#left, #right); #(#cases)* { l #op r } }))
}

/// `a += b` with another operator.
pub(crate) fn swap_assignment(binary: &ExprBinary, number: usize, other: &str) -> Expr {
    let (left, op, right) = (&binary.left, &binary.op, &binary.right);
    let (on, other) = (on(number), operator(other));
    parse_quote!((if #on { #left #other #right } else { #left #op #right }))
}

/// `&&` and `||` for each other. The second operand is evaluated only if the operator needs it.
pub(crate) fn swap_lazy(binary: &ExprBinary, number: usize, other: &str) -> Expr {
    let (left, op, right) = (&binary.left, &binary.op, &binary.right);
    let (on, other) = (on(number), operator(other));
    parse_quote!(({ let l = #left; if #on { l #other (#right) } else { l #op (#right) } }))
}

/// `!a` without `!`.
pub(crate) fn drop_not(operand: &Expr, number: usize) -> Expr {
    let on = on(number);
    parse_quote!(({ let v = #operand; if #on { v } else { !v } }))
}

/// A method call with another method.
pub(crate) fn swap_method(call: &ExprMethodCall, number: usize, other: &str) -> Expr {
    let mut changed = call.clone();
    changed.method = Ident::new(other, call.method.span());
    choose(&changed, call, number)
}

/// `changed` if the mutant is chosen, otherwise `original`.
pub(crate) fn choose(changed: &impl ToTokens, original: &impl ToTokens, number: usize) -> Expr {
    let on = on(number);
    parse_quote!((if #on { #changed } else { #original }))
}

/// An integer one higher and one lower; zero cannot be lower.
pub(crate) fn change_literal(
    literal: &LitInt,
    higher: usize,
    lower: Option<usize>,
) -> Option<Expr> {
    let value: u128 = literal.base10_parse().ok()?;
    let number = |value: u128| -> Option<LitInt> {
        syn::parse_str(&format!("{value}{}", literal.suffix())).ok()
    };
    let (on, up) = (on(higher), number(value.checked_add(1)?)?);
    Some(match lower {
        Some(lower) => {
            let (on_lower, down) = (self::on(lower), number(value.checked_sub(1)?)?);
            parse_quote!((if #on { #up } else if #on_lower { #down } else { #literal }))
        }
        None => parse_quote!((if #on { #up } else { #literal })),
    })
}

/// A statement that is left out.
pub(crate) fn delete(statement: &Stmt, number: usize) -> Stmt {
    let on = on(number);
    parse_quote!(if !#on { #statement })
}

/// `e?;` that goes on after an error.
pub(crate) fn ignore_error(attempt: &Expr, statement: &Stmt, number: usize) -> Stmt {
    let on = on(number);
    parse_quote!(if #on { let _ = #attempt; } else { #statement })
}

/// A block that does nothing.
pub(crate) fn empty_else(branch: &Expr, number: usize) -> Expr {
    let on = on(number);
    parse_quote!({ if !#on { #branch } })
}

/// A condition with `let` that fails after it was evaluated.
pub(crate) fn fail_let(condition: &Expr, number: usize) -> Expr {
    let on = on(number);
    let tokens = quote!(#condition && !#on);
    syn::parse2::<Expr>(quote!(if #tokens {}))
        .ok()
        .and_then(|expr| match expr {
            Expr::If(branch) => Some(*branch.cond),
            _ => None,
        })
        .expect("a condition that goes on with `&&`")
}

/// A lock that is not taken.
pub(crate) fn skip_lock(init: &Expr, number: usize) -> Expr {
    let on = on(number);
    parse_quote!((if #on { None } else { Some(#init) }))
}

/// Returns at the beginning of a function.
pub(crate) fn return_early(block: &mut Block, number: usize, result: &str) {
    let (on, result): (_, TokenStream) =
        (on(number), result.parse().expect("a result is an expression"));
    block.stmts.insert(0, parse_quote!(if #on { return #result; }));
}
