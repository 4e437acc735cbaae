//! The test-file format: what is written is read back, and nothing breaks the parser.
//!
//! Method: generated tests, arbitrary texts and the library.

mod generate;
mod headers;

use std::path::PathBuf;

use headers::{HEAD, SHARED};
use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::{Op, RingSetup, Step, Test};
use ifq_sim::format::{self, JsonError, LoadError, Place};
use proptest::prelude::*;

#[test]
fn modifiers_are_a_set_and_stand_before_after() {
    let steps = "thread a\n A: recv ifq s len=7 with addr oneshot after imp\n";
    let test = format::parse("t.ifq", &format!("{HEAD}expect holds\n{SHARED}{steps}")).unwrap();
    let printed = format::print_step(&test, &test.threads[0].steps[0]);
    assert_eq!(printed, "A: recv ifq s len=7 with oneshot addr after imp");
}

#[test]
fn rings_that_are_set_up_alike_stand_on_one_line() {
    let text = "test t\nrevision import-7.3\nring A\nring B with clamp no-cqe32\n\
                ring C with no-cqe32 clamp\nring D\nring E\nexpect holds\n";
    let test = format::parse("t.ifq", text).unwrap();
    assert_eq!(test.setups.iter().map(|(ring, _)| *ring).collect::<Vec<_>>(), [1, 1, 2, 2]);
    let rings: Vec<String> =
        format::print(&test).lines().filter(|l| l.starts_with("ring")).map(str::to_owned).collect();
    assert_eq!(rings, ["ring A", "ring B C with no-cqe32 clamp", "ring D E"]);
}

#[test]
fn all_fault_points_are_one_word() {
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
fn switches_and_revisions_are_stored_sorted() {
    let text = "test t\nrevision import-7.1 import-7.3\nring A\nexpect holds\n\
                expect violates I1 with S1 P1 on import-7.3 import-7.1\n\
                schedule v1 with S1 P1 without M7 M6 :\n";
    let test = format::parse("t.ifq", text).unwrap();
    assert_eq!(test.expect[1].defects, [Defect::P1, Defect::S1]);
    assert_eq!(test.expect[1].revisions, [Revision::Import71, Revision::Import73]);
    let with = Variant::with(Revision::Import71, &[Defect::S1, Defect::P1]);
    assert_eq!(test.expected(&with), Some(Invariant::I1));
    assert_eq!(test.expected(&Variant::of(Revision::Import71)), None);
    let printed = format::print(&test);
    assert!(printed.ends_with("\nschedule v1 with P1 S1 without M6 M7 :\n"), "{printed}");
    let mut unsorted = test;
    unsorted.expect[1].defects.reverse();
    let error = format::validate(&unsorted).unwrap_err().to_string();
    assert!(error.contains("expect 2, defect 2: `P1` is out of order"), "{error}");
}

#[test]
fn the_diagnostic_shows_the_line() {
    use miette::Diagnostic;
    let error = format::parse("t.ifq", "test t\nrung A\n").unwrap_err();
    let label = error.labels().unwrap().next().unwrap();
    assert_eq!((label.offset(), label.len()), (7, 4));
    let source = error.source_code().unwrap();
    let shown = source.read_span(label.inner(), 0, 0).unwrap();
    assert_eq!((shown.data(), shown.line(), shown.name()), (&b"rung"[..], 1, Some("t.ifq")));
}

#[test]
fn json_errors_say_where() {
    let test = generate::test(&[7; 64]);
    let json = format::to_json(&test);
    let JsonError::Shape(error) = format::from_json(&json[..json.len() / 2]).unwrap_err() else {
        panic!("half a text has no shape");
    };
    assert!(error.line() > 1 && error.to_string().contains("line"), "{error}");

    let text = format!("{HEAD}expect holds\n{SHARED}");
    let mut test = format::parse("t.ifq", &text).unwrap();
    test.setup[1].op = Op::Export { ring: 0, ifq: 9, modifiers: ArgModifiers::NONE };
    let JsonError::Invalid(error) = format::from_json(&format::to_json(&test)).unwrap_err() else {
        panic!("the shape is right");
    };
    assert_eq!(
        error.to_string(),
        "setup, step 2, ifq: there is no result 9; expected the result of a step"
    );
    assert!(matches!(error.place(), Place::Step(..)));
}

#[test]
fn what_a_text_cannot_say_is_invalid() {
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
    assert!(invalid(unsorted).contains("set-ups out of order"));
    assert!(
        invalid(|t| t.setup.push(flush_with(ArgModifier::Flags))).contains("nothing for `flush`")
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
fn a_file_of_another_kind_is_not_loaded() {
    assert!(matches!(format::load("a.txt"), Err(LoadError::Ending { .. })));
    assert!(matches!(format::load("does-not-exist.ifq"), Err(LoadError::Read { .. })));
}

/// The text without comments and what they leave behind.
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
fn the_library_is_canonical() {
    for path in library() {
        let test = format::load(&path).unwrap_or_else(|e| panic!("{e}"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(format::print(&test), without_comments(&text), "{}", path.display());
        assert_eq!(Some(test.name.as_str()), path.file_stem().and_then(|s| s.to_str()));
        assert!(!test.about.is_empty() && text.lines().count() <= 60, "{}", path.display());
        assert_eq!(format::from_json(&format::to_json(&test)).unwrap(), test);
    }
}

#[test]
fn most_of_the_library_needs_no_device() {
    let loopback = library().iter().filter(|p| format::load(p).unwrap().queues == 0).count();
    assert!(loopback >= 12, "only {loopback} run over loopback");
}

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
    "schedule",
    "setup",
    "thread",
    "finally",
    "register",
    "nodev",
    "clone",
    "add-area",
    "arm",
    "copy",
    "mmap",
    "unregister-netdev",
    "scribble",
    "tail",
    "off=1",
    "0x7f",
    "export",
    "import",
    "flush",
    "exit",
    "close",
    "recv",
    "wait",
    "return",
    "send",
    "shutdown",
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

/// Texts that are nearly right: the words of the format in any order.
fn word_salad() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(WORDS), 0..80).prop_map(|words| words.join(" "))
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

/// Parses, and checks what must hold whatever the text is.
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
    fn what_is_printed_is_read_back(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let test = generate::test(&bytes);
        prop_assert_eq!(format::validate(&test), Ok(()));
        let text = format::print(&test);
        let again = format::parse("t.ifq", &text);
        prop_assert!(again.is_ok(), "{}\n{}", again.unwrap_err(), text);
        prop_assert_eq!(&again.unwrap(), &test);
        prop_assert_eq!(format::from_json(&format::to_json(&test)).unwrap(), test);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_anything(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_words_are_parsed_or_refused(text in word_salad()) {
        parse_anything(&text)?;
        parse_anything(&format!("{HEAD}expect holds\n{text}"))?;
    }

    #[test]
    fn damaged_files_are_parsed_or_refused(text in damaged()) {
        parse_anything(&text)?;
    }
}
