//! A test as text.

use std::fmt::{Display, Write};

use ifq_model::revision::Defect;
use ifq_model::scenario::{Op, Socket, Source, Step, Test, VarId};

use super::words::SCHEDULE_VERSION;

/// Writes a valid test as text, always in the same way. [`super::parse()`] reads it back unchanged.
#[must_use]
pub fn print(test: &Test) -> String {
    let mut out = String::new();
    line(&mut out, format_args!("test {}", test.name));
    if !test.about.is_empty() {
        line(&mut out, format_args!("about {}", test.about));
    }
    line(&mut out, format_args!("revision {}", words(&test.revisions)));
    line(&mut out, format_args!("ring {}", words(&test.rings)));
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

/// One step as it stands in a file, without indentation: `c = A: wait after x`.
#[must_use]
pub fn step(test: &Test, step: &Step) -> String {
    let var = |id: VarId| test.vars[usize::from(id)].name.as_str();
    let mut text = String::new();
    if let Some(bind) = step.bind {
        text += &format!("{} = ", var(bind));
    }
    if let Some(ring) = step.op.ring() {
        text += &format!("{}: ", test.rings[usize::from(ring)]);
    }
    text += &operation(test, &step.op);
    if !step.after.is_empty() {
        let names: Vec<&str> = step.after.iter().map(|&id| var(id)).collect();
        text += &format!(" after {}", names.join(" "));
    }
    text
}

fn operation(test: &Test, op: &Op) -> String {
    let var = |id: VarId| test.vars[usize::from(id)].name.as_str();
    let socket = |id: u8| test.sockets[usize::from(id)].name.as_str();
    match *op {
        Op::Register { source, buffers, entries, .. } => {
            let source = match source {
                Source::Nodev => "nodev".to_owned(),
                Source::Queue(queue) => format!("queue={queue}"),
            };
            format!("register {source} buffers={buffers} entries={entries}")
        }
        Op::Export { ifq, .. } => format!("export {}", var(ifq)),
        Op::Import { fd, .. } => format!("import {}", var(fd)),
        Op::Flush { ifq, .. } => format!("flush {}", var(ifq)),
        Op::Exit { .. } => "exit".to_owned(),
        Op::Close { fd } => format!("close {}", var(fd)),
        Op::Recv { ifq, socket: from, len: 0, .. } => format!("recv {} {}", var(ifq), socket(from)),
        Op::Recv { ifq, socket: from, len, .. } => {
            format!("recv {} {} len={len}", var(ifq), socket(from))
        }
        Op::Wait { .. } => "wait".to_owned(),
        Op::Return { cqe, ifq, locked } => {
            let unlocked = if locked { "" } else { " unlocked" };
            format!("return {} to {}{unlocked}", var(cqe), var(ifq))
        }
        Op::Send { socket: to, len } => format!("{}: send {len}", socket(to)),
        Op::Shutdown { socket: to } => format!("{}: shutdown", socket(to)),
    }
}

/// Faults, observed results, expectations, the schedule.
fn verdicts(out: &mut String, test: &Test) {
    if !test.faults.is_empty() {
        let faults = words(&test.faults);
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
        let with = with(&expect.defects);
        match expect.violates {
            None => line(out, format_args!("expect holds{with}")),
            Some(invariant) => line(out, format_args!("expect violates {invariant}{with}")),
        }
    }
    if let Some(schedule) = &test.schedule {
        let with = with(&schedule.defects);
        let text = format!("schedule {SCHEDULE_VERSION}{with} : {}", words(&schedule.decisions));
        line(out, text.trim_end());
    }
}

fn with(defects: &[Defect]) -> String {
    if defects.is_empty() { String::new() } else { format!(" with {}", words(defects)) }
}
