//! Goal: every error of a test file names its place and what was expected.
//!
//! Method: one text for each error; `»` marks the place that the error must name.

mod headers;

use headers::{HEAD, SHARED};
use ifq_sim::format;

/// Parses the text without the mark. The error must be at the mark and contain the given words.
#[track_caller]
fn refused(text: &str, message: &str, expected: &str) {
    let before = text.split('»').next().unwrap();
    let line = before.matches('\n').count() + 1;
    let column = before.lines().last().map_or(0, |l| l.chars().count());
    let column = if before.ends_with('\n') { 1 } else { column + 1 };
    let text = text.replacen('»', "", 1);
    let error = format::parse("t.ifq", &text).expect_err("the text is wrong");
    let whole = error.to_string();
    assert_eq!((error.line(), error.column()), (line, column), "{whole}");
    assert!(error.message().contains(message), "message: {whole}");
    assert!(error.expected().contains(expected), "expected: {whole}");
    assert!(whole.starts_with(&format!("t.ifq:{line}:{column}: ")), "{whole}");
}

/// [`refused`] for steps after a valid header.
#[track_caller]
fn refused_steps(steps: &str, message: &str, expected: &str) {
    refused(&format!("{HEAD}expect holds\n{steps}\n"), message, expected);
}

/// [`refused`] for steps after a valid header and setup.
#[track_caller]
fn refused_shared(steps: &str, message: &str, expected: &str) {
    refused_steps(&format!("{SHARED}{steps}"), message, expected);
}

#[test]
fn the_first_line_is_test() {
    refused("»", "an empty file", "`test NAME`");
    refused("# only this\n»", "an empty file", "`test NAME`");
    refused("\n»ring A\n", "starts with `ring`", "`test NAME`");
    refused("test»", "ends too early", "the test's name");
    refused("test »a.b\nrevision import-7.3\nring A\nexpect holds", "`a.b` is no name", "a letter");
}

#[test]
fn a_missing_line_is_reported_at_the_end_of_the_text() {
    refused("test t\nring A\nexpect holds\n»", "no revision", "`revision NAME...`");
    refused("test t\nrevision import-7.3\nexpect holds\n»", "no ring", "`ring NAME...`");
    refused("test t\nrevision import-7.3\nring A\n»", "no expectation", "`expect holds`");
}

#[test]
fn an_unknown_word_is_reported_with_the_most_similar_word() {
    refused(&format!("{HEAD}»obsrve x\n"), "did you mean `observe`?", "`schedule`");
    refused_steps("»finaly\n", "did you mean `finally`?", "`setup`");
    refused_steps("setup\n »exepct holds\n", "did you mean `expect`?", "a step, or");
    refused_steps("setup\n A: »regster nodev", "did you mean `register`?", "`cancel-all`");
    refused_steps("setup\n x = »qqq", "unknown verb `qqq`", "`register`, `clone`, `export`");
    refused(
        "test t\nrevision »import-7.33\n",
        "unknown revision `import-7.33` (did you mean `import-7.3`?)",
        "`import-7.3`",
    );
    refused(&format!("{HEAD}fault »copy-user\n"), "did you mean `copy-to-user`?", "`ifq-alloc`");
    refused(&format!("{HEAD}expect violates »I12\n"), "unknown invariant `I12`", "`I11`");
    refused(&format!("{HEAD}expect holds with »early\n"), "unknown defect `early`", "`P1`");
    refused(&format!("{HEAD}expect holds without »M9\n"), "unknown defect `M9`", "`P1`");
    refused(&format!("{HEAD}expect holds on »import-7.33\n"), "mean `import-7.3`?", "`proxy-v1`");
    refused("test t\nshows P1 »N7\n", "unknown entry `N7`", "`P1`");
    refused(&format!("{HEAD}ring C with »no-cqe\n"), "did you mean `no-cqe32`?", "`no-defer`");
    refused_shared("thread a\n A: arm ifq »coyp", "did you mean `copy`?", "`alloc-fail`");
    refused_shared("thread a\n A: flush ifq with »rsev", "did you mean `resv`?", "`arg-fault`");
    refused_shared("thread a\n scribble ifq »tial 1", "did you mean `tail`?", "`head`, `tail`");
    refused(&format!("{HEAD}expect »hold\n"), "unexpected `hold`", "`holds` or `violates");
}

#[test]
fn unknown_names_list_the_known_ones() {
    refused_shared("thread a\n »C: exit", "unknown ring `C`", "a ring: `A` or `B`");
    refused_shared("thread a\n »v: send 1", "unknown socket `v`", "a socket: `s` or `u`");
    refused_shared("thread a\n A: recv ifq »v", "unknown socket `v`", "a socket");
    refused_shared(
        "thread a\n close »bxo",
        "unknown name `bxo` (did you mean `box`?)",
        "a name: `box`, `ifq` or `imp`",
    );
    refused_shared("thread a\n A: exit after »zzzz", "unknown name `zzzz`", "a name");
    refused_shared("observe »zzzz\n", "unknown name `zzzz`", "a name");
    refused_shared("thread a\n »s: exit", "`s` is a socket", "a ring");
    refused_shared("thread a\n »A: send 1", "`A` is a ring", "a socket");
    refused_shared("thread a\n A: flush »A", "`A` is a ring", "a name");
}

#[test]
fn each_name_is_used_once() {
    refused(
        "test t\nrevision import-7.3\nring A »A\nexpect holds",
        "already the name",
        "not taken",
    );
    refused_steps("ring C\nsocket »C", "already the name of a ring", "not taken");
    refused_shared(
        "thread a\n »box = A: wait",
        "`box` is already the name of a result",
        "not taken",
    );
    refused_shared("thread a\n »A = A: wait", "`A` is already the name of a ring", "not taken");
    refused_steps("thread a\nthread »a", "already a thread `a`", "not taken");
    refused_steps("ring »wait", "`wait` is a word of the format", "another name");
    refused_steps("setup\n »after = A: wait", "`after` is a word", "another name");
    refused_steps("ring »with", "`with` is a word of the format", "another name");
    refused_steps("ring »scribble", "`scribble` is a word of the format", "another name");
    refused_steps("ring »7up", "`7up` is no name", "a letter, then");
    refused_steps("setup\n »= A: wait", "unexpected `=`", "a step, or");
}

#[test]
fn each_header_and_section_occurs_once() {
    refused_steps("»queues 1", "a second line `queues`", "once");
    refused_steps("setup\nfinally\n»setup", "a second section `setup`", "once");
    refused_steps("finally\n»finally", "a second section `finally`", "once");
    refused_steps("»test u", "a second line `test`", "once");
    refused_steps("»expect violates I1", "second expectation for the same", "one for each");
    refused("test t\nrevision import-7.3\nshows P1 N3 »P1\n", "`P1` is listed twice", "once");
    refused_shared("thread a\n A: flush ifq with resv »resv", "`resv` is listed twice", "once");
    refused_steps("ring C with clamp »clamp", "`clamp` is listed twice", "once");
    refused_steps("fault xa-store »xa-store", "`xa-store` is listed twice", "once");
    refused(
        "test t\nrevision import-7.3 »import-7.3\nring A\nexpect holds",
        "listed twice",
        "once",
    );
    refused_shared("observe ifq »ifq", "`ifq` is observed twice", "once");
    refused_shared("thread a\n A: exit after box »box", "`box` is waited for twice", "once");
}

#[test]
fn a_step_must_be_in_a_section() {
    refused_steps("»A: exit", "a step outside a section", "`setup`, `thread NAME` or `finally`");
    refused_steps("setup\nobserve nothing\n»A: exit", "outside a section", "before it");
}

#[test]
fn a_result_must_have_the_kind_that_the_operation_uses() {
    refused_shared("thread a\n A: recv »box s", "`box` is a file descriptor", "an ifq");
    refused_shared("thread a\n close »ifq", "`ifq` is an ifq", "a file descriptor");
    refused_shared("thread a\n B: import »imp", "`imp` is an ifq", "a file descriptor");
    refused_shared("thread a\n return »ifq to ifq", "`ifq` is an ifq", "a completion");
    refused_shared("thread a\n c = A: wait\n return c to »box", "a file descriptor", "an ifq");
    refused_shared("thread a\n x = A: exit\n A: flush »x", "`x` is a status", "an ifq");
}

#[test]
fn an_ifq_can_only_be_used_with_its_ring() {
    refused_shared("thread a\n B: flush »ifq", "`ifq` is an ifq of ring `A`", "ring `B` has");
    refused_shared("thread a\n A: recv »imp s", "`imp` is an ifq of ring `B`", "ring `A` has");
    refused_shared("thread a\n A: export »imp", "`imp` is an ifq of ring `B`", "ring `A` has");
    refused_shared("thread a\n A: mmap »imp", "`imp` is an ifq of ring `B`", "ring `A` has");
    refused_shared("thread a\n A: clone B »ifq", "`ifq` is an ifq of ring `A`", "ring `B` has");
    let steps = "thread a\n p = B: clone A ifq\n scribble imp tail 1\n B: flush p\n";
    let text = format!("{HEAD}expect holds\n{SHARED}{steps}");
    format::parse("t.ifq", &text).expect("an ifq of the source, any ifq, an ifq of one's own");
}

/// Goal: a comma or semicolon anywhere gets the list with spaces. The text of `about` is free.
#[test]
fn words_are_separated_by_spaces_and_not_by_commas() {
    refused("test t\nring A», B\n", "unexpected `,`", "a space between words: `ring A B`");
    refused("test t\nring A»,B\n", "unexpected `,`", "`ring A B`");
    refused("test t\nring A »; B\n", "unexpected `;`", "`ring A B`");
    let lines = [
        ("revision import-7.1», import-7.3", "`revision import-7.1 import-7.3`"),
        ("shows P1», P2", "`shows P1 P2`"),
        ("socket x», y", "`socket x y`"),
        ("ring C with no-defer», clamp", "`ring C with no-defer clamp`"),
        ("fault xa-store», xa-alloc max 1", "`fault xa-store xa-alloc max 1`"),
        ("observe x», y", "`observe x y`"),
        ("expect violates I1 with early-put», M7", "`expect violates I1 with early-put M7`"),
        ("expect holds on import-7.3»,", "`expect holds on import-7.3`"),
        ("queues 1»;", "`queues 1`"),
        ("thread a»;", "`thread a`"),
        ("schedule v1 : 0», 1", "a space"),
        ("setup\n A: register nodev», buffers=1", "a space between words"),
        ("setup\n close box», ifq", "`close box ifq`"),
        ("setup\n A: exit after x», y", "a space"),
    ];
    for (line, expected) in lines {
        let mark = if line.contains("»;") { ";" } else { "," };
        refused(&format!("test t\n{line}\n"), &format!("unexpected `{mark}`"), expected);
    }
    let text = format!("{HEAD}about Owner, importer; both exit.\nexpect holds # one, two\n");
    format::parse("t.ifq", &text).expect("text and comments are free");
}

/// Goal: a `:` after a name of the wrong kind gets a message that says what to write.
#[test]
fn a_verb_with_the_wrong_receiver_says_what_to_write() {
    let close = "takes no ring or socket before it";
    refused_shared("thread a\n »s: close", close, "a socket cannot be closed before the end");
    refused_shared("thread a\n »s: close", close, "`s: shutdown` ends the peer's stream");
    refused_shared("thread a\n »A: close", close, "`A: exit` closes the descriptor of the ring");
    refused_shared("thread a\n »box: close", close, "`close box`");
    refused_shared("thread a\n »s: return c to ifq", "takes no ring or socket", "`return CQE");
    let needs = |name: &str, is: &str, verb: &str, what: &str| {
        format!("`{name}` is {is}, and `{verb}` needs {what} before the `:`")
    };
    let (ring, socket, result) = ("a ring", "a socket", "the result of a step");
    for (step, is, verb, what, expected) in [
        ("s: exit", socket, "exit", ring, "a ring: `A` or `B`; `s: shutdown` ends"),
        ("s: recv ifq s", socket, "recv", ring, "the socket is the last argument"),
        ("s: wait", socket, "wait", ring, "`RING: wait`"),
        ("s: flush ifq", socket, "flush", ring, "`RING: flush IFQ"),
        ("A: send 1", ring, "send", socket, "a socket: `s` or `u`; `SOCKET: send"),
        ("A: shutdown", ring, "shutdown", socket, "`A: exit` closes the ring"),
        ("ifq: flush ifq", result, "flush", ring, "a ring: `A` or `B`; `RING: flush"),
        ("box: exit", result, "exit", ring, "`close box` closes a descriptor"),
        ("box: shutdown", result, "shutdown", socket, "a socket: `s` or `u`"),
    ] {
        let name = step.split(':').next().unwrap();
        let text = format!("thread a\n »{step}");
        refused_shared(&text, &needs(name, is, verb, what), expected);
    }
    refused_shared("thread a\n A» exit", "a `:` is missing after `A`", "`A: exit`");
    refused_shared("thread a\n x = s» shutdown", "a `:` is missing after `s`", "`s: shutdown`");
}

#[test]
fn a_verb_must_have_the_right_prefix() {
    refused_steps("setup\n »wait", "`wait` needs a ring before it", "`RING: wait`");
    refused_steps("setup\n x = »send 1", "`send` needs a socket before it", "`SOCKET: send");
    refused_shared("thread a\n »A: close box", "takes no ring or socket", "`close FD`");
    refused_shared("thread a\n »A: return ifq to ifq", "takes no ring or socket", "`return CQE");
}

#[test]
fn missing_and_extra_arguments_are_errors() {
    refused_shared("thread a\n A: recv ifq»", "ends too early", "a socket, as in `RING: recv");
    refused_shared("thread a\n A: flush»  # none", "ends too early", "an ifq, as in");
    refused_shared("thread a\n A: exit »now", "unexpected `now`", "`after NAME...` or the end");
    refused_shared("thread a\n A: exit after»", "ends too early", "a name to wait for");
    refused_shared("thread a\n A: exit after box »:", "unexpected `:`", "a name or the end");
    refused_shared("thread a\n c = A: wait\n return c »ifq", "unexpected `ifq`", "`to`, as in");
    refused_steps("setup\n A:»", "ends too early", "a verb");
    refused_shared("thread a\n B: clone A»", "ends too early", "an ifq, as in `RING: clone RING");
    refused_shared("thread a\n B: clone »ifq ifq", "`ifq` is the result of a step", "a ring: `A`");
    refused_shared("thread a\n A: add-area ifq»", "ends too early", "`buffers=N`, as in");
    refused_shared("thread a\n A: arm ifq»", "ends too early", "an event, as in");
    refused_shared("thread a\n A: mmap ifq »with resv", "unexpected `with`", "`after NAME...`");
    refused_shared("thread a\n A: flush ifq with»", "ends too early", "a modifier of the argument");
    refused_shared("thread a\n »A: unregister-netdev", "takes no ring", "`unregister-netdev`");
    refused_shared("thread a\n scribble ifq off »3", "unexpected `3`", "`off=N`, as in");
    refused_shared("thread a\n scribble ifq tail»", "ends too early", "a value, as in `scribble");
    refused("test t\nring A with»", "ends too early", "a setup option of the rings");
    refused("test t\nfault all »xa-store", "unexpected `xa-store`", "the end of the line");
    refused("test t\nexpect holds on»", "ends too early", "a revision");
    refused("test t\nexpect holds on import-7.3 »with", "unknown revision `with`", "`proxy-v1`");
    refused_steps("setup\n A: register »buffers=1", "unexpected `buffers`", "`nodev` or `queue=N`");
    refused_steps("setup\n A: register nodev »entries=1", "unexpected `entries`", "`buffers=N`");
    refused_steps("setup\n A: register nodev buffers »1", "unexpected `1`", "`buffers=N`");
    refused_steps("setup »now", "unexpected `now`", "the end of the line");
    refused_steps("thread»", "ends too early", "the thread's name");
    refused_steps("thread a »b", "unexpected `b`", "the end of the line");
    refused_steps("observe»", "ends too early", "names or `nothing`");
    refused("test t »u", "unexpected `u`", "the end of the line");
    refused("test t\nring»", "ends too early", "a ring's name");
    refused("test t\nsocket s@ »@", "unexpected `@`", "queue, a number");
    refused("test t\nsocket s »= 1", "unexpected `=`", "a socket");
}

#[test]
fn numbers_must_be_in_range() {
    let register = |args: &str| format!("setup\n A: register {args}");
    refused_steps(&register("nodev buffers=»0 entries=1"), "buffers 0 is out of", "1 to 4096");
    refused_steps(&register("nodev buffers=»4097 entries=1"), "4097 is out of", "1 to 4096");
    refused_steps(&register("nodev buffers=1 entries=»65537"), "65537 is out of", "0 to 65536");
    refused_steps(&register("nodev buffers=»x entries=1"), "`x` is not a number", "1 to 4096");
    refused_steps(&register("nodev buffers=»-1 entries=1"), "`-1` is not a number", "1 to 4096");
    refused_steps(&register("nodev buffers=»99999999999 entries=1"), "out of range", "1 to 4096");
    refused_steps("setup\n s: send »32768", "32768 is out of range", "1 to 32767");
    refused_steps("setup\n s: send »0x10", "`0x10` is not a number", "1 to 32767");
    refused_shared("thread a\n A: recv ifq s len=»4294967296", "out of range", "0 to 4294967295");
    let add = "thread a\n A: add-area ifq buffers=";
    refused_shared(&format!("{add}»0"), "buffers 0 is out of", "1 to 4096");
    let scribble = |word: &str| format!("thread a\n scribble ifq {word}");
    refused_shared(&scribble("off=»65536 1"), "65536 is out of range", "0 to 65535");
    refused_shared(&scribble("tail »-1"), "not a number of 64 bits", "in decimal or as `0x`");
    refused_shared(&scribble("tail »0x"), "not a number of 64 bits", "hexadecimal");
    refused_shared(&scribble("tail »0x+1"), "not a number of 64 bits", "hexadecimal");
    refused_shared(&scribble("pad=1 »18446744073709551616"), "of 64 bits", "in decimal");
    refused("test t\nqueues »17", "17 is out of range", "0 to 16");
    refused_steps("fault xa-store max »1025", "1025 is out of range", "1 to 1024");
    refused_steps("fault xa-store max »0", "0 is out of range", "1 to 1024");
}

#[test]
fn a_queue_must_exist() {
    refused_steps(
        "setup\n A: register queue=»2 buffers=1 entries=1",
        "queue 2 is out of range",
        "0 to 1, see `queues`",
    );
    refused_steps("socket v@»2", "queue 2 is out of range", "0 to 1");
    let none = "test t\nrevision import-7.3\nring A\nexpect holds\n";
    refused(&format!("{none}socket v@»0"), "no network device", "`queues N`");
    let step = "setup\n A: register queue=»0 buffers=1 entries=1";
    refused(&format!("{none}{step}"), "no network device", "`queues N`");
}

#[test]
fn unregister_netdev_needs_a_network_device() {
    let none = "test t\nrevision import-7.3\nring A\nexpect holds\nsetup\n";
    refused(&format!("{none} »unregister-netdev"), "no network device", "`queues N`");
}

#[test]
fn a_modifier_must_apply_to_the_verb() {
    refused_shared(
        "thread a\n A: flush ifq with »oneshot",
        "does not apply to `flush`",
        "`arg-fault`",
    );
    refused_shared(
        "thread a\n A: recv ifq s with oneshot »resv",
        "does not apply to `recv`",
        "`addr`",
    );
    refused_shared(
        "thread a\n A: arm ifq copy with »flags",
        "does not apply to `arm`",
        "`op-resv`",
    );
}

#[test]
fn an_expectation_must_name_existing_variants() {
    let head = "test t\nrevision proxy-v1 import-7.1 import-7.3\nring A\n";
    let expect = |text: &str, message, expected| {
        refused(&format!("{head}{text}\n"), message, expected);
    };
    expect("expect holds on »import-6.19", "does not apply to `import-6.19`", "line `revision`");
    expect("expect holds without »P1", "`import-7.1` does not have `P1`", "have");
    expect("expect holds without M7 »P1 on proxy-v1 import-7.1", "`import-7.1` does not", "have");
    expect("expect violates I10 with »M7", "`proxy-v1` already has `M7`", "none");
    expect(
        "expect violates I3 with »P1 on import-7.1",
        "`import-7.1` has no code that `P1` could be in",
        "only revisions that have it: `proxy-v1`, `proxy-v2`, `proxy-v3`, `proxy-v4` or `proxy-fixed`",
    );
    expect(
        "expect holds with »M6 on proxy-v1",
        "`proxy-v1` has no code that `M6` could be in",
        "`import-6.19`, `import-7.0`, `import-7.1`, `import-7.2`, `import-7.3` or `import-next`",
    );
    expect("expect holds without »early-put", "does not have `early-put`", "no revision has it");
    expect(
        "expect holds on import-7.1\nexpect violates I1 on »import-7.1",
        "second expectation for the same defects on `import-7.1`",
        "one for each revision",
    );
    expect(
        "expect holds on proxy-v1 import-7.1 import-7.3\n»expect violates I1",
        "other expectations name every revision",
        "at least one revision",
    );
    expect(
        "expect violates I10 on import-7.1\nexpect holds\nschedule v1 with »P1 : 0",
        "`proxy-v1` already has `P1`",
        "none",
    );
    let good = "expect violates I10 with M7 on import-7.3\nexpect holds on import-7.3\n\
                expect violates I1\nexpect holds without M6 M7 on import-7.1\n\
                expect holds without M7 on import-7.1\nexpect holds without M7 on proxy-v1\n";
    format::parse("t.ifq", &format!("{head}{good}")).expect("every variant is there");
    // Only import-7.3 is left for the last expectation, and it has no defects.
    expect(&format!("{good}expect violates I1 without »M7"), "`import-7.3` does not", "have");
}

/// Goal: a file cannot ask for a defect that would change nothing. Method: each defect on each revision.
#[test]
fn each_defect_is_refused_on_each_revision_that_has_no_code_for_it() {
    use ifq_model::revision::{Defect, Revision};
    let mut refusals = 0;
    for revision in Revision::ALL {
        let head = format!("test t\nrevision {revision}\nring A\nexpect holds\n");
        for &defect in Defect::ALL.iter().filter(|d| !revision.defects().contains(d)) {
            let line = format!("expect holds with »{defect}\n");
            let schedule = format!("schedule v1 with »{defect} :\n");
            for line in [line, schedule] {
                let text = format!("{head}{line}");
                if defect.has_code_in(revision) {
                    format::parse("t.ifq", &text.replace('»', "")).expect("it has the code");
                } else {
                    let message = format!("`{revision}` has no code that `{defect}` could be in");
                    refused(&text, &message, "only revisions that have it");
                    refusals += 1;
                }
            }
        }
    }
    assert!(refusals > 100, "{refusals}");
}

#[test]
fn a_cycle_of_waits_is_reported_with_its_names() {
    refused_steps(
        "thread a\n A: exit after »y\n x = A: wait\nthread b\n y = B: exit after x",
        "a cycle: `y` waits for `x` waits for `y`",
        "do not wait for each other",
    );
    refused_steps(
        "thread a\n x = A: wait after »z\nthread b\n y = B: wait after x\nthread c\n \
         z = s: send 1 after y",
        "a cycle: `z` waits for `y` waits for `x` waits for `z`",
        "do not wait for each other",
    );
    refused_steps(
        "thread a\n x = A: wait after »x",
        "`x` waits for itself",
        "an earlier step binds",
    );
    refused_steps(
        "setup\n close »box\n ifq = A: register nodev buffers=1 entries=1\n box = A: export ifq",
        "`box` waits for itself",
        "an earlier step binds",
    );
    // The ifqs of two rings, each imported from the other.
    refused_steps(
        "thread a\n i = A: import »f\n e = A: export i\nthread b\n j = B: import e\n \
         f = B: export j",
        "a cycle: `f` waits for `j`",
        "do not wait for each other",
    );
}

#[test]
fn a_step_that_waits_for_a_cycle_is_not_reported_as_part_of_it() {
    refused_steps(
        "thread a\n w = s: send 1\n A: wait after y\nthread b\n y = B: exit after »z\n \
         z = u: send 1",
        "`z` waits for itself",
        "an earlier step binds",
    );
}

#[test]
fn a_section_cannot_use_a_name_of_a_later_section() {
    refused_steps(
        "setup\n B: exit after »x\nthread a\n x = A: exit",
        "`x` is bound later, in thread a",
        "before the end of setup",
    );
    refused_steps(
        "thread a\n A: exit after »x\nfinally\n x = B: exit",
        "`x` is bound later, in finally",
        "before the end of thread a",
    );
}

#[test]
fn one_thread_takes_the_completions_of_a_ring() {
    refused_shared(
        "thread a\n A: wait\nthread b\n »A: wait",
        "thread `a` already waits for completions of ring `A`",
        "one thread",
    );
    let free = format!("{HEAD}expect holds\n{SHARED}thread a\n A: wait\nthread b\n A: flush ifq\n");
    format::parse("t.ifq", &free).expect("other steps, setup and finally are free");
}

#[test]
fn after_an_exec_its_rings_can_only_be_closed() {
    let last = ("is not the last step of a thread", "`exec` as the last step");
    refused_shared("thread a\n »exec\n A: flush ifq", last.0, last.1);
    refused_shared("finally\n »exec", last.0, last.1);
    refused_shared(
        "thread a\n A: flush ifq\n exec\nfinally\n »A: flush ifq",
        "the task of ring `A` has executed another program",
        "`exit`",
    );
    let closed =
        format!("{HEAD}expect holds\n{SHARED}thread a\n A: flush ifq\n exec\nfinally\n A: exit\n");
    format::parse("t.ifq", &closed).expect("a ring can be closed");
}

#[test]
fn a_process_dies_last() {
    let last = ("`die` is not the last step of `finally`", "`die` as the last step");
    refused_shared("thread a\n »die", last.0, last.1);
    refused_shared("finally\n »die\n A: exit", last.0, last.1);
}

#[test]
fn a_ring_cancels_its_own_requests() {
    let use_of = |steps: &str| format!("thread a\n x = A: flush ifq\n{steps}");
    refused_shared(
        &use_of(" A: cancel »x"),
        "`x` is no request of ring `A`",
        "a result of `A: recv`",
    );
    refused_shared(&use_of(" A: cancel »ifq"), "`ifq` is no request", "a result of `A: recv`");
}

#[test]
fn a_schedule_must_be_numbers_of_a_known_version() {
    refused(&format!("{HEAD}schedule »v2 : 0"), "unexpected `v2`", "the version `v1`");
    refused(&format!("{HEAD}schedule v1 »0"), "unexpected `0`", "`:` and the decisions");
    refused(&format!("{HEAD}schedule v1 : 0 »a"), "`a` is not a number", "0 to 4294967295");
    refused(&format!("{HEAD}schedule v1 : 0 »-1"), "`-1` is not a number", "0 to 4294967295");
    refused(&format!("{HEAD}schedule v1 : »4294967296"), "out of range", "0 to 4294967295");
    refused(&format!("{HEAD}schedule v1 with »x : 0"), "unknown defect `x`", "`P1`");
    let text = format!("{HEAD}expect holds\nschedule v1 with early-put : 0 0 4294967295\n");
    let test = format::parse("t.ifq", &text).unwrap();
    assert_eq!(test.schedule.unwrap().decisions(), Some(&[0, 0, u32::MAX][..]));
}

#[test]
fn lists_have_a_maximal_length() {
    let names = |n: usize| (0..n).map(|i| format!(" n{i}")).collect::<String>();
    refused(&format!("test t\nring{} »z", names(64)), "more than 64 rings", "fewer");
    refused(&format!("test t\nsocket{} »z", names(96)), "more than 96 sockets", "fewer");
    let threads: String = (0..96).map(|i| format!("thread t{i}\n")).collect();
    refused_steps(&format!("{threads}thread »z"), "more than 96 threads", "fewer");
    let steps = " A: exit\n".repeat(4096);
    refused_steps(&format!("setup\n{steps} »A: exit"), "more than 4096 steps", "fewer");
    let steps: String = (0..4096).map(|i| format!(" x{i} = A: exit\n")).collect();
    let text = format!("setup\n{steps}finally\n »z = A: exit");
    refused_steps(&text, "more than 4096 bound names", "fewer");
}

#[test]
fn a_test_uses_a_limited_number_of_steps_exports_buffers_and_entries() {
    let steps = " A: exit\n".repeat(4096);
    let sections = format!("setup\n{steps}thread a\n{steps}finally\n");
    refused_steps(&format!("{sections} A: »exit"), "more than 8192 steps in the test", "fewer");
    let areas = " A: add-area ifq buffers=4096\n".repeat(31);
    let register = "setup\n ifq = A: register nodev buffers=4096 entries=1\n";
    let full = format!("{register}{areas}");
    format::parse("t.ifq", &format!("{HEAD}expect holds\n{full}")).expect("131072 buffers");
    refused_steps(
        &format!("{full} A: add-area ifq buffers=»1"),
        "more than 131072 buffers",
        "fewer",
    );
    let exports = "setup\n ifq = A: register nodev buffers=1 entries=1\n".to_owned();
    let exports = exports + &" A: export ifq\n".repeat(832);
    refused_steps(&format!("{exports} A: »export ifq"), "more than 832 exports", "fewer");
    let register = |mark: &str| format!(" A: register nodev buffers=1 entries={mark}65536\n");
    let steps = format!("setup\n{}{}", register("").repeat(4), register("»"));
    refused_steps(&steps, "more than 131072 entries", "fewer");
}

#[test]
fn control_characters_are_errors_outside_comments() {
    refused("test t # \u{1}\nring »\u{1}A", "control character U+0001", "printable text");
    refused("test t\nabout ä»\u{7f}", "control character U+007F", "printable text");
}
