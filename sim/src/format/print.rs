//! Prints a test as text.

use std::fmt::{Display, Write};

use ifq_model::fault::FaultPoint;
use ifq_model::revision::Defect;
use ifq_model::test::arg::{Arg, NumberForm, UsedResult};
use ifq_model::test::literal::Literal;
use ifq_model::test::{Layout, RqWord, Socket, Source, Step, Test, VarId};

use super::switch::print_switch;
use super::words::SCHEDULE_VERSION;

/// Prints a valid test in canonical form. [`super::parse()`] reads it back unchanged.
#[must_use]
pub fn print(test: &Test) -> String {
    let mut out = String::new();
    line(&mut out, format_args!("test {}", test.name));
    if !test.about.is_empty() {
        line(&mut out, format_args!("about {}", test.about));
    }
    line(&mut out, format_args!("revision {}", words(&test.revisions)));
    if !test.shows.is_empty() {
        line(&mut out, format_args!("shows {}", words(&test.shows)));
    }
    rings(&mut out, test);
    if !test.sockets.is_empty() {
        let sockets: Vec<String> = test.sockets.iter().map(socket).collect();
        line(&mut out, format_args!("socket {}", words(&sockets)));
    }
    if test.queues > 0 {
        line(&mut out, format_args!("queues {}", test.queues));
    }
    section(&mut out, test, "setup", &test.setup);
    for thread in &test.threads {
        line(&mut out, format_args!("thread {}", thread.name));
        steps(&mut out, test, &thread.steps);
    }
    section(&mut out, test, "finally", &test.finally);
    verdicts(&mut out, test);
    out
}

fn line(out: &mut String, text: impl Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

fn words<T: Display>(items: &[T]) -> String {
    let words: Vec<String> = items.iter().map(T::to_string).collect();
    words.join(" ")
}

/// One line for each run of rings that are set up in the same way.
fn rings(out: &mut String, test: &Test) {
    let setups = |ring: usize| -> Vec<&str> {
        let of = test.setups.iter().filter(|(r, _)| usize::from(*r) == ring);
        of.map(|(_, setup)| setup.name()).collect()
    };
    let rings: Vec<(&str, Vec<&str>)> =
        test.rings.iter().enumerate().map(|(i, name)| (name.as_str(), setups(i))).collect();
    for run in rings.chunk_by(|a, b| a.1 == b.1) {
        let names: Vec<&str> = run.iter().map(|(name, _)| *name).collect();
        let with = list("with", &run[0].1);
        line(out, format_args!("ring {}{with}", words(&names)));
    }
}

fn socket(socket: &Socket) -> String {
    match socket.queue {
        Some(queue) => format!("{}@{queue}", socket.name),
        None => socket.name.clone(),
    }
}

fn section(out: &mut String, test: &Test, name: &str, list: &[Step]) {
    if !list.is_empty() {
        line(out, name);
        steps(out, test, list);
    }
}

fn steps(out: &mut String, test: &Test, list: &[Step]) {
    for one in list {
        line(out, format_args!("    {}", step(test, one)));
    }
}

/// One step as in a file, without indentation: `c = A: wait after x`.
#[must_use]
pub fn step(test: &Test, step: &Step) -> String {
    let var = |id: VarId| test.vars[usize::from(id)].name.as_str();
    let mut text = String::new();
    if let Some(bind) = step.bind {
        text += &format!("{} = ", var(bind));
    }
    let (mut prefix, mut arguments, mut op) = (String::new(), String::new(), step.op);
    op.for_each_arg(|arg| match arg {
        Arg::Driver(ring) => prefix = format!("{}: ", test.rings[usize::from(*ring)]),
        Arg::Peer(socket) => prefix = format!("{}: ", test.sockets[usize::from(*socket)].name),
        other => {
            if let Some(argument) = argument(test, &other) {
                arguments += &format!(" {argument}");
            }
        }
    });
    text += &format!("{prefix}{}{arguments}", step.op.verb());
    text + &list("after", &step.after.iter().map(|&id| var(id)).collect::<Vec<_>>())
}

/// One argument after the verb; `None` if its value is not written.
fn argument(test: &Test, arg: &Arg<'_>) -> Option<String> {
    Some(match arg {
        Arg::Driver(_) | Arg::Peer(_) => return None,
        Arg::OtherRing(ring) => test.rings[usize::from(**ring)].clone(),
        Arg::Socket(socket) => test.sockets[usize::from(**socket)].name.clone(),
        Arg::Result(var, used) => match (Literal::of(**var), used) {
            (None, _) => test.vars[usize::from(**var)].name.clone(),
            (Some(Literal::Number(number)), UsedResult::AnyFd) => format!("fd={number}"),
            (Some(Literal::Number(number)), _) => number.to_string(),
            (Some(Literal::Ring(ring)), _) => format!("ring={}", test.rings[usize::from(ring)]),
        },
        Arg::Keyword(word) => (*word).to_owned(),
        Arg::Source(Source::Nodev) => "nodev".to_owned(),
        Arg::Source(Source::Queue(queue)) => format!("queue={queue}"),
        Arg::Number(value, spec) => match spec.form {
            NumberForm::OptionalKeyed if **value == 0 => return None,
            NumberForm::OptionalKeyed | NumberForm::Keyed => format!("{}={value}", spec.key),
            NumberForm::Plain => value.to_string(),
        },
        Arg::Event(event) => event.name().to_owned(),
        Arg::RqWord(word) => rq_word(**word),
        Arg::Value(value) => number(**value),
        Arg::Layout(Layout::Pages) => return None,
        Arg::Layout(Layout::Frags(number)) => format!("frags={number}"),
        Arg::Layout(Layout::Packets(number)) => format!("packets={number}"),
        Arg::Locked(true) | Arg::Checked(true) => return None,
        Arg::Locked(false) => "unlocked".to_owned(),
        Arg::Checked(false) => "unchecked".to_owned(),
        Arg::Modifiers(modifiers) => {
            let words: Vec<_> = modifiers.iter().collect();
            return (!words.is_empty()).then(|| list("with", &words).trim_start().to_owned());
        }
    })
}

fn rq_word(word: RqWord) -> String {
    match word {
        RqWord::Head => "head".to_owned(),
        RqWord::Tail => "tail".to_owned(),
        RqWord::Off(index) => format!("off={index}"),
        RqWord::Pad(index) => format!("pad={index}"),
    }
}

/// Prints small numbers in decimal, and offsets and flags in hexadecimal.
fn number(value: u64) -> String {
    if value < 1 << 12 { value.to_string() } else { format!("{value:#x}") }
}

/// Prints faults, observed results, expectations, conditions and the schedule.
fn verdicts(out: &mut String, test: &Test) {
    if !test.faults.is_empty() {
        let all = test.faults == FaultPoint::ALL;
        let faults = if all { "all".to_owned() } else { words(&test.faults) };
        match test.max_faults {
            1 => line(out, format_args!("fault {faults}")),
            max => line(out, format_args!("fault {faults} max {max}")),
        }
    }
    let all = (0..test.vars.len()).eq(test.observe.iter().map(|&id| usize::from(id)));
    if test.observe.is_empty() && !all {
        line(out, "observe nothing");
    } else if !all {
        let names = test.observe.iter().map(|&id| test.vars[usize::from(id)].name.as_str());
        line(out, format_args!("observe {}", words(&names.collect::<Vec<_>>())));
    }
    for expect in &test.expect {
        let defects = defect_changes(&expect.defects, &expect.without);
        let on = list("on", &expect.revisions);
        match expect.violates {
            None => line(out, format_args!("expect holds{defects}{on}")),
            Some(invariant) => line(out, format_args!("expect violates {invariant}{defects}{on}")),
        }
    }
    for condition in &test.conditions {
        let defects = defect_changes(&condition.defects, &condition.without);
        let on = list("on", &condition.revisions);
        line(out, format_args!("{}{defects}{on}", condition.display(test)));
    }
    if let Some(schedule) = &test.schedule {
        let defects = defect_changes(&schedule.defects, &schedule.without);
        if let Some(decisions) = schedule.decisions() {
            let decisions = words(decisions);
            let text = format!("schedule {SCHEDULE_VERSION}{defects} : {decisions}");
            line(out, text.trim_end());
        }
        if let Some(switches) = schedule.switches() {
            line(out, format_args!("schedule{defects}"));
            for switch in switches {
                line(out, format_args!("    {}", print_switch(test, switch)));
            }
        }
    }
}

fn defect_changes(defects: &[Defect], without: &[Defect]) -> String {
    list("with", defects) + &list("without", without)
}

/// ` WORD ITEM...`, or nothing.
fn list<T: Display>(word: &str, items: &[T]) -> String {
    if items.is_empty() { String::new() } else { format!(" {word} {}", words(items)) }
}
