//! Goal: every error of a schedule in words names its place and what was expected, and so does a schedule that no run
//! follows.
//!
//! Method: one text for each error; `»` marks the place that the error must name.

use ifq_model::revision::{Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::format;
use ifq_sim::report::unfollowed::unfollowed_text;
use ifq_sim::search::explore::{Limits, explore};

const HEAD: &str = "test t
revision import-7.3
ring A B
setup
    ifq = A: register nodev buffers=1 entries=1
    box = A: export ifq
thread a
    y = close box
thread b
    imp = B: import box
fault xa-alloc
expect holds
schedule
";

/// Parses the lines of a schedule without the mark. The error must be at the mark and contain the given words.
#[track_caller]
fn refused(lines: &str, message: &str, expected: &str) {
    let text = format!("{HEAD}{lines}\n");
    let before = text.split('»').next().unwrap();
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before[start..].chars().count() + 1;
    let error = format::parse("t.ifq", &text.replacen('»', "", 1)).expect_err("the text is wrong");
    let whole = error.to_string();
    assert_eq!((error.line(), error.column()), (line, column), "{whole}");
    assert!(error.message().contains(message), "message: {whole}");
    assert!(error.expected().contains(expected), "expected: {whole}");
}

#[test]
fn an_unknown_name_is_reported_with_the_most_similar_one() {
    refused("»aa until done", "did you mean `a`?", "`main()`");
    refused("»exti(A) until done", "unknown work item `exti` (did you mean `exit`?)", "`exit`");
    refused("exit(»C) until done", "unknown ring `C`", "`A` or `B`");
    refused("release(»A) until done", "`A` is no ifq", "`ifq0`");
    refused("b until »import_zcx: before lock(rtnl)", "did you mean `import_zcrx`?", "function");
    refused("b until enter »import_zcx", "did you mean `import_zcrx`?", "function");
    refused("b until import_zcrx: »befor lock(rtnl)", "did you mean `before`?", "`after`");
    refused("b until import_zcrx: before »lok(rtnl)", "did you mean `lock`?", "`load`");
    refused("b until before lock(»pp_lok)", "did you mean `pp_lock`?", "field or lock");
    refused("b until before lock(»C.pp_lock)", "unknown field or lock `C.pp_lock`", "`refs`");
    refused("b until after alloc(»ifk)", "did you mean `ifq`?", "`ring`");
    refused("b until done failing »xa-aloc", "did you mean `xa-alloc`?", "`ifq-alloc`");
}

#[test]
fn an_incomplete_or_wrong_line_is_reported_where_it_goes_wrong() {
    refused("b done»", "no `until`", "`THREAD until PLACE`");
    refused("b until»", "ends too early", "`done`, `blocked`");
    refused("b until done »done", "unexpected `done`", "end of the line");
    refused("b until import_zcrx»", "ends too early", "`:` after the function");
    refused("b until return »import_zcrx", "unexpected `import_zcrx`", "`from FUNCTION`");
    refused("b until before lock(»)", "unexpected `)`", "an object");
    refused("b until before lock(rtnl»", "ends too early", "`)`");
    refused("b until before lock(rtnl)»#0", "`#0` is no occurrence", "from 1");
    refused("b until enter »import_zcrx#x", "is no occurrence", "from 1");
    refused("b until before »unlock(rtnl)", "no scheduling point", "`after unlock(...)`");
    refused("b until done failing »xa-store", "does not fail in this test", "`xa-alloc`");
    refused("pp(ifq0 »1024) until done", "out of range", "0 to 1023");
}

#[test]
fn a_schedule_has_a_line() {
    let text = HEAD.to_owned();
    let error = format::parse("t.ifq", &text).unwrap_err();
    assert!(error.message().contains("0 lines in the schedule"), "{error}");
    assert_eq!(error.line(), text.lines().count());
}

#[test]
fn a_space_before_the_occurrence_starts_a_comment() {
    let parse = |line: &str| format::parse("t.ifq", &format!("{HEAD}{line}\n")).unwrap().schedule;
    let once = parse("b until before lock(A.uring_lock)");
    assert_eq!(parse("b until before lock(A.uring_lock) #2"), once);
    assert_ne!(parse("b until before lock(A.uring_lock)#2"), once);
}

/// What the search says about a schedule that no run follows.
fn unmatched(lines: &str) -> String {
    let text = format!("{HEAD}{lines}\n");
    let test: Test = format::parse("t.ifq", &text).unwrap();
    let variant = Variant::of(Revision::Import73);
    let found = explore(&test, &variant, &Limits::default(), &mut |_| {});
    assert!(found.outcomes.is_empty() && found.counterexample.is_none());
    unfollowed_text(&test, &found.unfollowed.expect("no run matches"))
}

#[test]
fn a_schedule_that_no_run_follows_is_explained_at_its_line() {
    let ended = unmatched("b until import_zcrx: before lock(B.uring_lock)");
    assert!(
        ended.starts_with("line 1, `b until import_zcrx: before lock(B.uring_lock)`: "),
        "{ended}"
    );
    assert!(ended.contains("the thread ended without coming to the place"), "{ended}");
    assert!(ended.contains("it came to `") && ended.contains("lock(B.uring_lock)"), "{ended}");
    let never = unmatched("pp(ifq0) until done");
    assert!(never.contains("the thread never started"), "{never}");
    let times = unmatched("b until before lock(B.uring_lock)#99");
    assert!(times.contains("it came to the place only "), "{times}");
    let fault = unmatched("b until before lock(B.uring_lock) failing xa-alloc");
    assert!(fault.contains("did not reach a fault point"), "{fault}");
}
