//! Goal: printed tests parse to the same test, and no text makes the parser panic.
//!
//! Method: generated tests, arbitrary texts and the library.

mod generate;
mod headers;

use std::path::{Path, PathBuf};

use headers::{HEAD, SHARED};
use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::op::OPERATIONS;
use ifq_model::test::{Op, RingSetup, Step, Test};
use ifq_sim::format::{self, JsonError, LoadError, Place};
use proptest::prelude::*;

#[test]
fn modifiers_are_printed_in_order_and_before_the_word_after() {
    let steps = "thread a\n A: recv ifq s len=7 with addr oneshot after imp\n";
    let test = format::parse("t.ifq", &format!("{HEAD}expect holds\n{SHARED}{steps}")).unwrap();
    let printed = format::print_step(&test, &test.threads[0].steps[0]);
    assert_eq!(printed, "A: recv ifq s len=7 with oneshot addr after imp");
}

#[test]
fn consecutive_rings_with_the_same_options_are_printed_on_one_line() {
    let text = "test t\nrevision import-7.3\nring A\nring B with clamp no-cqe32\n\
                ring C with no-cqe32 clamp\nring D\nring E\nexpect holds\n";
    let test = format::parse("t.ifq", text).unwrap();
    assert_eq!(test.setups.iter().map(|(ring, _)| *ring).collect::<Vec<_>>(), [1, 1, 2, 2]);
    let rings: Vec<String> =
        format::print(&test).lines().filter(|l| l.starts_with("ring")).map(str::to_owned).collect();
    assert_eq!(rings, ["ring A", "ring B C with no-cqe32 clamp", "ring D E"]);
}

#[test]
fn all_fault_points_are_printed_as_one_word() {
    let test = format::parse("t.ifq", &format!("{HEAD}expect holds\nfault all max 2\n")).unwrap();
    assert_eq!(test.faults, FaultPoint::ALL);
    assert_eq!(test.max_faults, 2);
    assert!(format::print(&test).contains("\nfault all max 2\n"));
}

#[test]
fn a_scribbled_value_is_decimal_or_hexadecimal() {
    let values = ["0", "4095", "0x1000", "0xffffffffffffffff"];
    let steps: String = values.map(|v| format!(" scribble ifq pad=65535 {v}\n")).concat();
    let text = format!("{HEAD}expect holds\n{SHARED}thread a\n{steps}");
    let test = format::parse("t.ifq", &text).unwrap();
    for (step, value) in test.threads[0].steps.iter().zip(values) {
        assert_eq!(format::print_step(&test, step), format!("scribble ifq pad=65535 {value}"));
    }
}

#[test]
fn defects_and_revisions_are_stored_sorted() {
    let text = "test t\nrevision import-7.1 import-7.3\nring A\nexpect holds\n\
                expect violates I1 with M5 S1 on import-7.3 import-7.1\n\
                schedule v1 with M5 S1 without M7 M6 :\n";
    let test = format::parse("t.ifq", text).unwrap();
    assert_eq!(test.expect[1].defects, [Defect::S1, Defect::M5]);
    assert_eq!(test.expect[1].revisions, [Revision::Import71, Revision::Import73]);
    let with = Variant::with(Revision::Import71, &[Defect::M5, Defect::S1]);
    assert_eq!(test.expected(&with), Some(Invariant::I1));
    assert_eq!(test.expected(&Variant::of(Revision::Import71)), None);
    let printed = format::print(&test);
    assert!(printed.ends_with("\nschedule v1 with S1 M5 without M6 M7 :\n"), "{printed}");
    let mut unsorted = test;
    unsorted.expect[1].defects.reverse();
    let error = format::validate(&unsorted).unwrap_err().to_string();
    assert!(error.contains("expect 2, defect 2: `S1` is out of order"), "{error}");
}

#[test]
fn the_diagnostic_labels_the_wrong_word() {
    use miette::Diagnostic;
    let error = format::parse("t.ifq", "test t\nrung A\n").unwrap_err();
    let label = error.labels().unwrap().next().unwrap();
    assert_eq!((label.offset(), label.len()), (7, 4));
    let source = error.source_code().unwrap();
    let shown = source.read_span(label.inner(), 0, 0).unwrap();
    assert_eq!((shown.data(), shown.line(), shown.name()), (&b"rung"[..], 1, Some("t.ifq")));
}

#[test]
fn json_errors_name_the_place() {
    let test = generate::test(&[7; 64]);
    let json = format::to_json(&test);
    let JsonError::Shape(error) = format::from_json(&json[..json.len() / 2]).unwrap_err() else {
        panic!("a truncated text is not JSON");
    };
    assert!(error.line() > 1 && error.to_string().contains("line"), "{error}");

    let text = format!("{HEAD}expect holds\n{SHARED}");
    let mut test = format::parse("t.ifq", &text).unwrap();
    test.setup[1].op = Op::Export { ring: 0, ifq: 9, modifiers: ArgModifiers::NONE };
    let JsonError::Invalid(error) = format::from_json(&format::to_json(&test)).unwrap_err() else {
        panic!("the text is JSON of a test");
    };
    assert_eq!(
        error.to_string(),
        "setup, step 2, ifq: there is no result 9; expected the result of a step"
    );
    assert!(matches!(error.place(), Place::Step(..)));
}

#[test]
fn tests_that_no_text_can_express_are_invalid() {
    let text = format!("{HEAD}expect holds\n{SHARED}");
    let good = format::parse("t.ifq", &text).unwrap();
    let invalid = |change: fn(&mut Test)| {
        let mut test = good.clone();
        change(&mut test);
        format::validate(&test).expect_err("it was changed").to_string()
    };
    assert!(invalid(|t| t.setup[0].bind = Some(1)).contains("bound out of order"));
    assert!(invalid(|t| t.setup[2].bind = None).contains("`imp` is bound by no step"));
    assert!(invalid(|t| t.vars[0].kind = t.vars[1].kind).contains("expected an ifq"));
    assert!(invalid(|t| t.setup[2].op = Op::Exit { ring: 2 }).contains("expected a status"));
    assert!(invalid(|t| t.setup[0].op = register(7)).contains("there is no ring 7"));
    assert!(invalid(|t| t.about = "a\nb".to_owned()).contains("does not fit on a line"));
    assert!(invalid(|t| t.about = "a # b".to_owned()).contains("does not fit on a line"));
    assert!(invalid(|t| t.observe.push(7)).contains("there is no result 7"));
    assert!(invalid(|t| t.max_faults = 1).contains("0 to 0"));
    assert!(invalid(|t| t.setups.push((7, RingSetup::Clamp))).contains("there is no ring 7"));
    let unsorted = |t: &mut Test| t.setups = [1, 0].map(|r| (r, RingSetup::Clamp)).to_vec();
    assert!(invalid(unsorted).contains("setup options out of order"));
    assert!(
        invalid(|t| t.setup.push(flush_with(ArgModifier::Flags)))
            .contains("does not apply to `flush`")
    );
}

fn flush_with(modifier: ArgModifier) -> Step {
    let op = Op::Flush { ring: 0, ifq: 0, modifiers: ArgModifiers::NONE.and(modifier) };
    Step { op, bind: None, after: Vec::new() }
}

fn register(ring: u8) -> Op {
    let source = ifq_model::test::Source::Nodev;
    Op::Register { ring, source, buffers: 1, entries: 1, modifiers: ArgModifiers::NONE }
}

#[test]
fn a_file_with_another_extension_is_not_loaded() {
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(matches!(format::load(other), Err(LoadError::Ending { .. })));
    for missing in ["does-not-exist.ifq", "does-not-exist.txt"] {
        assert!(matches!(format::load(missing), Err(LoadError::Read { .. })));
    }
}

/// The text without comments, trailing spaces and empty lines.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|l| l.split(" #").next().unwrap().trim_end());
    let lines = lines.filter(|l| !l.is_empty() && !l.trim_start().starts_with('#'));
    lines.map(|l| format!("{l}\n")).collect()
}

fn library() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/library");
    let files = format::test_files(folder).expect("the library is there");
    assert!(files.len() >= 16, "only {} files", files.len());
    files
}

#[test]
fn the_library_is_in_canonical_form() {
    for path in library() {
        let test = format::load(&path).unwrap_or_else(|e| panic!("{e}"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(format::print(&test), without_comments(&text), "{}", path.display());
        assert_eq!(Some(test.name.as_str()), path.file_stem().and_then(|s| s.to_str()));
        assert!(!test.about.is_empty() && text.lines().count() <= 100, "{}", path.display());
        assert_eq!(format::from_json(&format::to_json(&test)).unwrap(), test);
    }
}

#[test]
fn at_least_twelve_files_of_the_library_need_no_device() {
    let loopback = library().iter().filter(|p| format::load(p).unwrap().queues == 0).count();
    assert!(loopback >= 12, "only {loopback} run over loopback");
}

/// The words of the format, without the verbs, and some arguments.
const WORDS: &[&str] = &[
    "test",
    "about",
    "revision",
    "import-7.3",
    "proxy-v1",
    "shows",
    "ring",
    "socket",
    "queues",
    "fault",
    "observe",
    "expect",
    "exists",
    "forbid",
    "always",
    "and",
    "or",
    "not",
    "(",
    ")",
    "!=",
    "<",
    "-EEXIST",
    "x=0",
    "schedule",
    "setup",
    "thread",
    "finally",
    "nodev",
    "copy",
    "tail",
    "off=1",
    "0x7f",
    "after",
    "with",
    "without",
    "on",
    "resv",
    "no-defer",
    "all",
    "max",
    "holds",
    "violates",
    "I1",
    "early-put",
    "P1",
    "N4",
    "v1",
    "A",
    "B",
    "s",
    "x",
    "y",
    ":",
    "=",
    "@",
    "to",
    "unlocked",
    "nothing",
    "buffers=1",
    "entries=1",
    "0",
    "7",
    "#",
    "\n",
    "\n",
    "\n",
    " A: ",
    "x = A: ",
    "\nthread a\n",
    "\nring A B\n",
    "ä",
    "\t",
    "\r",
];

/// The words of the format in any order.
fn shuffled_words() -> impl Strategy<Value = String> {
    let verbs = OPERATIONS.iter().map(|operation| operation.verb);
    let words: Vec<&str> = WORDS.iter().copied().chain(verbs).collect();
    prop::collection::vec(prop::sample::select(words), 0..80).prop_map(|words| words.join(" "))
}

/// A library file with a few bytes changed.
fn damaged() -> impl Strategy<Value = String> {
    let texts: Vec<String> =
        library().iter().map(|p| std::fs::read_to_string(p).unwrap()).collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    (prop::sample::select(texts), changes).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Parses a text and checks the properties that hold for any text.
fn parse_anything(text: &str) -> Result<(), TestCaseError> {
    match format::parse("any", text) {
        Ok(test) => {
            prop_assert_eq!(format::validate(&test), Ok(()));
            let printed = format::print(&test);
            prop_assert_eq!(format::parse("printed", &printed).unwrap(), test);
        }
        Err(error) => {
            prop_assert!(error.line() <= text.matches('\n').count() + 1);
            let line = text.split('\n').nth(error.line() - 1).unwrap();
            prop_assert!(error.column() <= line.chars().count() + 1, "{}", error);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_printed_test_parses_to_the_same_test(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let test = generate::test(&bytes);
        prop_assert_eq!(format::validate(&test), Ok(()));
        let text = format::print(&test);
        let again = format::parse("t.ifq", &text);
        prop_assert!(again.is_ok(), "{}\n{}", again.unwrap_err(), text);
        prop_assert_eq!(&again.unwrap(), &test);
        prop_assert_eq!(format::from_json(&format::to_json(&test)).unwrap(), test);
    }

    #[test]
    fn arbitrary_bytes_are_parsed_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_anything(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn arbitrary_words_are_parsed_or_rejected(text in shuffled_words()) {
        parse_anything(&text)?;
        parse_anything(&format!("{HEAD}expect holds\n{text}"))?;
    }

    #[test]
    fn damaged_files_are_parsed_or_rejected(text in damaged()) {
        parse_anything(&text)?;
    }
}
