//! Goal: the rewriting plants exactly the mutants that its operators describe, keeps the original behaviour for
//! all others, and leaves alone what the compiler must know.
//!
//! Method: rewrite small sources, and compare the mutants and the printed source with what is expected.

use ifq_mutation::mutant::{self, Mutant, draw};
use ifq_mutation::rewrite::Rewriter;

/// The mutants of a source, and the source with them.
fn rewrite(source: &str) -> (Vec<Mutant>, String) {
    let mut rewriter = Rewriter::default();
    let text = rewriter.rewrite("a.rs", source).expect("the source is Rust");
    mutant::name(&mut rewriter.mutants);
    (rewriter.mutants, text)
}

/// Original and change of the mutants in the body of a function that returns a type without early results.
fn changes(body: &str) -> Vec<(String, String)> {
    let (mutants, _) = rewrite(&format!("fn f() -> Thing {{ {body} }}"));
    mutants.into_iter().map(|mutant| (mutant.original, mutant.change)).collect()
}

fn assert_changes(body: &str, expected: &[(&str, &str)]) {
    let found = changes(body);
    let found: Vec<_> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(found, expected, "{body}");
}

#[test]
fn comparisons_and_arithmetic_get_other_operators() {
    assert_changes("g(a == b)", &[("a == b", "`==` becomes `!=`")]);
    assert_changes("g(a < b)", &[("a < b", "`<` becomes `<=`"), ("a < b", "`<` becomes `>=`")]);
    assert_changes("g(a + b)", &[("a + b", "`+` becomes `-`")]);
    assert_changes("g(a << b)", &[("a << b", "`<<` becomes `>>`")]);
    assert_changes("g(!a)", &[("!a", "`!` is left out")]);
    assert_changes("g(a.min(b))", &[("a.min(b)", "`min` becomes `max`")]);
}

#[test]
fn literals_change_by_one_and_zero_does_not_go_below() {
    assert_changes("g(7)", &[("7", "`7` becomes `8`"), ("7", "`7` becomes `6`")]);
    assert_changes("g(0u32)", &[("0u32", "`0` becomes `1`")]);
    assert_changes("g(true)", &[("true", "`true` becomes `false`")]);
    let (_, text) = rewrite("fn f() -> Thing { g(7u32) }");
    assert!(text.contains("8u32") && text.contains("6u32") && text.contains("7u32"), "{text}");
}

#[test]
fn errno_values_and_orderings_are_replaced() {
    assert_changes("g(-EINVAL)", &[("EINVAL", "`EINVAL` becomes `ENFILE`")]);
    assert_changes("g(-ENFILE)", &[("ENFILE", "`ENFILE` becomes `EMFILE`")]);
    let acquire = ("Order::Acquire", "`Acquire` becomes `Relaxed`");
    assert_changes("g(Order::Acquire)", &[acquire]);
    assert_changes("g(Order::Relaxed)", &[]);
}

#[test]
fn a_condition_is_negated_once() {
    assert_changes("if g(a) { b } else { c }", &[("g(a)", "the condition is negated")]);
    assert_changes("if a != b { c } else { d }", &[("a != b", "`!=` becomes `==`")]);
    assert_changes("if !a { c } else { d }", &[("!a", "`!` is left out")]);
    assert_changes(
        "if a.is_some() { b } else { c }",
        &[("a.is_some()", "the condition is negated")],
    );
}

#[test]
fn operators_beside_a_let_stay_and_their_operands_are_ignored() {
    let fails = "the condition fails after it was evaluated";
    assert_changes(
        "if let Some(a) = b && c { d } else { e }",
        &[("let Some(a) = b && c", fails), ("c", "the operand is ignored")],
    );
    let (_, text) = rewrite("fn f() -> Thing { if let Some(a) = b { c } else { d } }");
    assert!(text.contains("if let Some(a) = b && !crate::mutant::on(1u32)"), "{text}");
}

#[test]
fn lazy_operators_are_swapped_and_each_operand_is_ignored() {
    let ignored = "the operand is ignored";
    assert_changes("g(a && b)", &[("a && b", "`&&` becomes `||`"), ("a", ignored), ("b", ignored)]);
    // The same operand is not ignored twice in a chain.
    let chain = changes("g(a || b || c)");
    let operands = chain.iter().filter(|(_, change)| change == ignored);
    assert_eq!(operands.map(|(operand, _)| operand.as_str()).collect::<Vec<_>>(), ["c", "a", "b"]);
}

#[test]
fn statements_jumps_errors_locks_and_else_branches_are_left_out() {
    let left_out = "the statement is left out";
    assert_changes("g(a); h", &[("g(a)", left_out)]);
    assert_changes("a.b = c; h", &[("a.b = c", left_out)]);
    assert_changes(
        "g(a).await?; h",
        &[("g(a).await?", left_out), ("g(a).await?", "goes on after an error")],
    );
    assert_changes(
        "if a { return b; } h",
        &[("a", "the condition is negated"), ("return b;", "the jump is left out")],
    );
    assert_changes(
        "let _guard = a.lock().await; h",
        &[("a.lock().await", "the lock is not taken")],
    );
    assert_changes(
        "if a { b } else { c } h",
        &[("{ c }", "`else` is left out"), ("a", "the condition is negated")],
    );
}

#[test]
fn guards_of_arms_are_ignored_and_their_arms_are_skipped() {
    assert_changes(
        "match a { Some(1) if b => c, _ => d }",
        &[("b", "the guard is ignored"), ("b", "the arm is skipped")],
    );
}

#[test]
fn functions_return_at_once_what_their_type_has() {
    let early = |source: &str| -> Vec<String> {
        rewrite(source).0.into_iter().map(|mutant| mutant.change).collect()
    };
    assert_eq!(early("fn f() {}"), ["returns at once"]);
    assert_eq!(
        early("fn f() -> bool { g }"),
        ["returns `true` at once", "returns `false` at once",]
    );
    assert_eq!(early("fn f() -> Result<(), i64> { g }"), ["returns `Ok(())` at once"]);
    assert_eq!(early("fn f() -> Option<u32> { g }"), ["returns `None` at once"]);
    assert_eq!(early("fn f() -> Ptr<P, Req<P>> { g }"), Vec::<String>::new());
}

#[test]
fn constants_patterns_macros_and_debug_text_are_left_alone() {
    let source = "const A: u32 = 1 + 2;
        const fn f() -> u32 { 1 + 2 }
        fn g(a: [u8; 4]) -> Thing { match a { [1, ..] => b, _ => [c; 8] } }
        checks! { a b; }
        impl Debug for Thing { fn fmt(&self) -> u32 { 1 + 2 } }
        #[cfg(test)] mod tests { fn t() { g(1 + 2); } }";
    let mut rewriter = Rewriter::default();
    rewriter.rewrite("a.rs", source).expect("the source is Rust");
    assert_eq!(rewriter.mutants, []);
    let left: Vec<_> = rewriter.left_alone.values().copied().collect();
    assert_eq!(left, [1, 1, 1, 1], "{:?}", rewriter.left_alone);
}

#[test]
fn a_mutant_says_where_it_is() {
    let (mutants, _) =
        rewrite("struct T;\nimpl T {\n    fn f() -> Thing {\n        g(a == b)\n    }\n}");
    let [mutant] = &mutants[..] else { panic!("{mutants:?}") };
    assert_eq!((mutant.line, mutant.column, mutant.function.as_str()), (4, 13, "T::f"));
}

#[test]
fn the_name_of_a_mutant_depends_on_neither_its_line_nor_other_functions() {
    let source = "fn f() -> Thing { g(a == b, a == b) }";
    let (before, _) = rewrite(source);
    let (after, _) = rewrite(&format!("fn other() {{ x(1); }}\n\n{source}"));
    let names = |mutants: &[Mutant]| -> Vec<String> {
        mutants.iter().filter(|m| m.function == "f").map(|m| m.id.clone()).collect()
    };
    assert_eq!(names(&before), names(&after));
    assert_eq!(before.len(), 2);
    assert_ne!(before[0].id, before[1].id);
}

#[test]
fn a_draw_depends_on_the_seed_and_keeps_its_beginning() {
    let source: String = (0..40).map(|n| format!("fn f{n}() -> Thing {{ g(a == b) }}\n")).collect();
    let (mutants, _) = rewrite(&source);
    let ids = |mutants: &[Mutant], drawn: &[usize]| -> Vec<String> {
        drawn.iter().map(|at| mutants[*at].id.clone()).collect()
    };
    assert_eq!(draw(&mutants, 1, 10), draw(&mutants, 1, 20)[..10]);
    assert_ne!(draw(&mutants, 1, 40), draw(&mutants, 2, 40));
    // Without one of them, the draw has the others in the same order.
    let fewer: Vec<_> = mutants[1..].to_vec();
    let mut expected = ids(&mutants, &draw(&mutants, 1, 40));
    expected.retain(|id| *id != mutants[0].id);
    assert_eq!(ids(&fewer, &draw(&fewer, 1, 40)), expected);
}
