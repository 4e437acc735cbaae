//! Goal: conditions are read, printed and evaluated as documented, and each mistake in one names its place.
//!
//! Method: one text for each case; `»` marks the place that an error must name.

mod headers;

use headers::{HEAD, SHARED};
use ifq_model::outcome::{Outcome, Value};
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::format;
use ifq_sim::report::results::{ConditionVerdict, Results};
use ifq_sim::search::explore::{Limits, explore};
use ifq_sim::shrink::smaller;
use ifq_sim::symmetry::{Symmetries, permutation_count};

/// Steps after [`SHARED`] that bind a number `c` and an unobserved `hidden`.
const STEPS: &str = "thread a\n r = A: recv ifq s\n c = A: wait\n hidden = A: exit\n\
                     observe ifq box imp r c\n";

fn parse(lines: &str) -> Test {
    format::parse("t.ifq", &format!("{HEAD}{SHARED}{STEPS}{lines}\n")).unwrap()
}

/// Parses the lines without the mark. The error must be at the mark and contain the given words.
#[track_caller]
fn refused(lines: &str, message: &str, expected: &str) {
    let text = format!("{HEAD}{SHARED}{STEPS}{lines}\n");
    let before = text.split('»').next().unwrap();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    let error = format::parse("t.ifq", &text.replacen('»', "", 1)).expect_err("it is wrong");
    let whole = error.to_string();
    assert_eq!((error.line(), error.column()), (line, column), "{whole}");
    assert!(error.message().contains(message), "message: {whole}");
    assert!(error.expected().contains(expected), "expected: {whole}");
}

#[test]
fn a_name_that_does_not_exist_or_is_not_observed_is_refused_at_its_place() {
    refused(
        "always »cc=0",
        "unknown name `cc` (did you mean `c`?)",
        "`ifq`, `box`, `imp`, `r` or `c`",
    );
    refused("always »hidden=0", "`hidden` is not observed", "in `observe`");
    refused("always c=0 and r=»hidden", "`hidden` is not observed", "an observed name");
    refused("always r=»rr", "unknown value `rr` (did you mean `r`?)", "an observed name");
}

#[test]
fn a_value_that_a_result_cannot_have_is_refused_at_its_place() {
    refused("always c=»-EEXITS", "unknown errno `EEXITS` (did you mean `EEXIST`?)", "after `-`");
    refused("always c=»EEXIST", "did you mean `-EEXIST`?", "a number");
    refused("always c=»fd", "`c` is no descriptor", "a number");
    refused("forbid box=»3", "the number of the descriptor `box` is not observed", "`fd`");
    refused("forbid »box<0", "`<` compares numbers, and a descriptor's", "`=` or `!=`");
    refused("forbid »c>=box", "`>=` compares numbers, and a descriptor's", "`=` or `!=`");
    refused("forbid c<=»-", "`<=` compares numbers", "a number or an errno");
    refused("always c=»99999999999999999999", "is not a number of 64 bits", "in decimal");
    refused("always c=»1x", "is not a number of 64 bits", "in decimal");
}

#[test]
fn a_formula_that_is_not_complete_is_refused_at_its_place() {
    refused("exists»", "ends too early", "`not`, `(` or a comparison");
    refused("exists c»", "ends too early", "`=`, `!=`, `<`");
    refused("exists c=»", "ends too early", "a number, an errno");
    refused("exists c=»=0", "unexpected `=`", "a number, an errno");
    refused("exists (c=0»", "ends too early", "`and`, `or` or `)`");
    refused("exists c=0»)", "unexpected `)`", "`and`, `or`");
    refused("exists c=0 »c=1", "unexpected `c`", "`and`, `or`, `with`");
    refused("exists c=0 and»", "ends too early", "a comparison");
    refused("exists »!c=0", "unexpected `!`", "`not`");
    let deep = "not ".repeat(32);
    refused(&format!("exists {deep}»(c=0)"), "more than 32 of `not` and `(`", "simpler");
    parse(&format!("exists {deep}c=0"));
}

#[test]
fn a_variant_that_is_not_the_tests_own_is_refused_at_its_place() {
    refused("exists c=0 on »import-7.2", "does not apply to `import-7.2`", "`revision`");
    refused("exists c=0 with »earlyput", "unknown defect `earlyput`", "`P1`");
    refused(
        "exists c=0 without »P1",
        "`import-7.3` does not have `P1`",
        "only revisions that have it",
    );
    refused("expect violates I1\n»exists c=0", "a condition for no variant", "all invariants hold");
    refused(
        "expect violates I1\nexists c=0 on »import-7.3",
        "`import-7.3` is expected to violate I1",
        "all invariants hold",
    );
}

#[test]
fn a_word_of_a_formula_is_no_name() {
    for word in ["and", "or", "not", "fd", "exists", "forbid", "always"] {
        let text = format!("{HEAD}expect holds\nsetup\n {word} = A: exit\n");
        assert!(format::parse("t.ifq", &text).is_err(), "{word}");
    }
}

#[test]
fn conditions_are_printed_in_canonical_form_and_read_back() {
    let cases = [
        ("always c = -17", "always c=-EEXIST"),
        ("exists ((c=0))", "exists c=0"),
        ("forbid c=1 and r=0 or not(c!=2 and c<r)", "forbid (c=1 and r=0) or not (c!=2 and c<r)"),
        ("exists c=- and box=fd", "exists c=- and box=fd"),
        ("exists c=0 or (r=0 or imp=0)", "exists c=0 or (r=0 or imp=0)"),
        ("exists not not c>=-99999", "exists not not c>=-99999"),
        (
            "always r<=0 with early-put S1 on import-7.3",
            "always r<=0 with S1 early-put on import-7.3",
        ),
    ];
    for (text, canonical) in cases {
        let test = parse(text);
        let printed = format::print(&test);
        assert_eq!(printed.lines().last(), Some(canonical));
        assert_eq!(format::parse("printed.ifq", &printed).unwrap(), test);
        assert_eq!(format::from_json(&format::to_json(&test)).unwrap(), test);
    }
}

#[test]
fn a_condition_in_json_is_checked_like_one_in_a_text() {
    let json = format::to_json(&parse("always c=0 and r=0"));
    for (from, to, message) in [
        ("\"var\": 4", "\"var\": 5", "condition 1, comparison 1: `hidden` is not observed"),
        ("\"var\": 4", "\"var\": 77", "there is no result 77"),
        ("\"number\": 0", "\"number\": 0.5", "invalid type"),
    ] {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json, "{from}");
        let error = format::from_json(&changed).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn an_outcome_satisfies_a_formula_by_its_values() {
    let outcome = |c: Value| {
        let zero = Value::Number(0);
        Outcome(vec![zero, Value::Fd, zero, zero, c])
    };
    let holds = |formula: &str, c: Value| {
        let test = parse(&format!("exists {formula}"));
        test.conditions[0].formula.holds(&test, &outcome(c))
    };
    for (formula, satisfying, other) in [
        ("c=-EEXIST", Value::Number(-17), Value::Number(17)),
        ("c!=0", Value::Unbound, Value::Number(0)),
        ("c=-", Value::Unbound, Value::Number(-1)),
        ("c<0", Value::Number(-1), Value::Number(0)),
        ("c<0", Value::Number(i64::MIN), Value::Unbound),
        ("c<=r", Value::Number(0), Value::Number(1)),
        ("c>0", Value::Number(1), Value::Unbound),
        ("c>=1", Value::Number(1), Value::Number(0)),
        ("not c=0", Value::Number(1), Value::Number(0)),
        ("c=1 and box=fd", Value::Number(1), Value::Number(2)),
        ("c=1 or c=2 and r=1", Value::Number(1), Value::Number(2)),
        ("c=imp", Value::Number(0), Value::Number(1)),
    ] {
        assert!(holds(formula, satisfying), "{formula} for {satisfying}");
        assert!(!holds(formula, other), "{formula} for {other}");
    }
}

#[test]
fn a_condition_selects_the_variants_that_it_names() {
    let names = |lines: &str| -> Vec<String> {
        let text = format!(
            "test t\nrevision import-7.1 import-7.2 import-7.3\nring A\nsetup\nx = A: exit\n{lines}\n"
        );
        let test = format::parse("t.ifq", &text).unwrap();
        test.variants().iter().map(ToString::to_string).collect()
    };
    assert_eq!(names("always x=0"), ["import-7.1", "import-7.2", "import-7.3"]);
    assert_eq!(names("always x=0 on import-7.2"), ["import-7.2"]);
    assert_eq!(
        names("expect violates I1 on import-7.2\nalways x=0"),
        ["import-7.2", "import-7.1", "import-7.3"]
    );
    assert_eq!(names("always x=0 with early-put on import-7.3"), ["import-7.3 with early-put"]);
    let [both, own] = ["expect holds\nalways x=0 with early-put", "expect holds\nalways x=0"];
    assert_eq!((names(both).len(), names(own).len()), (6, 3));
}

#[test]
fn a_condition_applies_to_its_variant_only() {
    let test = parse("always c=0\nexists c=1 with early-put");
    let on =
        |variant: Variant| -> Vec<usize> { test.conditions_on(&variant).map(|(i, _)| i).collect() };
    assert_eq!(on(Variant::of(Revision::Import73)), [0]);
    assert_eq!(on(Variant::with(Revision::Import73, &[Defect::EarlyPut])), [1]);
    assert_eq!(on(Variant::of(Revision::Import72)), [0; 0]);
}

#[test]
fn the_lines_of_conditions_are_found_in_a_text() {
    let text =
        "test t\n# exists x=0\n\n always x=0\nabout exists\nexists(x=0)\n\tforbid x=1 # no\n";
    assert_eq!(format::condition_lines(text), [4, 6, 7]);
}

/// Two importers with the same steps: the search permutes their rings.
const SYMMETRIC: &str = "test t\nrevision import-7.3\nring A B C\nsetup\n\
    ifq = A: register nodev buffers=1 entries=1\nbox = A: export ifq\n\
    thread a\nclose box\nthread b\nb = B: import box\nB: exit\n\
    thread c\nc = C: import box\nC: exit\nobserve b c\n\
    exists b=0 and c!=0\nexists b!=0 and c=0\nforbid b=1\nalways b=0 or c!=0\n";

#[test]
fn a_condition_that_tells_symmetric_results_apart_is_decided_on_all_outcomes() {
    let test = format::parse("t.ifq", SYMMETRIC).unwrap();
    assert_eq!(permutation_count(&test), 2);
    let variant = Variant::of(Revision::Import73);
    let verdicts = [Symmetries::NONE, Symmetries::RINGS].map(|symmetry| {
        let limits = Limits { symmetry, ..Limits::default() };
        let seen = explore(&test, &variant, &limits, &mut |_| {});
        let results = Results::of((&test, &variant), &seen.outcomes, seen.exhaustive, None);
        results.conditions.iter().map(|one| one.verdict).collect::<Vec<_>>()
    });
    use ConditionVerdict::{Holds, Violated};
    assert_eq!(verdicts, [[Holds, Holds, Holds, Violated]; 2]);
}

#[test]
fn a_smaller_test_keeps_the_conditions_on_results_that_it_still_observes() {
    let test = format::parse("t.ifq", SYMMETRIC).unwrap();
    let smaller = smaller(&test);
    let names = |test: &Test| -> Vec<String> {
        test.conditions.iter().map(|condition| condition.display(test)).collect()
    };
    let all = names(&test);
    let without = |name: &str| {
        let observes = |small: &&Test| {
            small.observe.iter().all(|var| small.vars[usize::from(*var)].name != name)
                && small.observe.len() == 1
        };
        smaller.iter().find(observes).map(names)
    };
    assert_eq!(without("b"), Some(Vec::new()), "each condition names b");
    assert_eq!(without("c"), Some(vec!["forbid b=1".to_owned()]));
    for small in &smaller {
        assert!(!small.expect.is_empty() || !small.conditions.is_empty());
        assert!(names(small).iter().all(|condition| all.contains(condition)));
    }
}
