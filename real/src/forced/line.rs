//! A schedule that a kernel can follow, derived from the trace of a run of the model.

use ifq_model::test::schedule::{
    Access, AccessKind, CodePlace, ObjectName, Place, Position, Switch, ThreadName,
};
use ifq_model::test::{Op, Test};
use ifq_sim::executor::trace::{Trace, TraceEvent};

/// The thread of the trace with this name. `None`: it is not one that a schedule orders on a kernel.
fn thread(test: &Test, name: &str) -> Option<ThreadName> {
    if let Some(at) = test.threads.iter().position(|thread| thread.name == name) {
        return Some(ThreadName::Test(at));
    }
    name.strip_prefix("exit-")?.parse().ok().map(ThreadName::Exit)
}

/// Whether an event is one of user space or of the executor, which no schedule names.
fn is_internal(event: &TraceEvent) -> bool {
    event.action == "spawn" || event.function.is_empty()
}

/// The access that an event begins with.
fn access(event: &TraceEvent) -> Access {
    let (verb, rest) = event.action.split_once(' ').unwrap_or((&event.action, ""));
    let change = event.changes.iter().find(|change| change.word == rest);
    let kind = match (verb, change) {
        ("lock", _) => AccessKind::Lock,
        ("read", _) => AccessKind::Load,
        ("write", Some(change)) if change.new == change.old.wrapping_add(1) => AccessKind::Inc,
        ("write", Some(change)) if change.new == change.old.wrapping_sub(1) => AccessKind::Dec,
        ("write", _) => AccessKind::Store,
        _ => AccessKind::Wait,
    };
    let name = match event.action.strip_prefix("wait_event(") {
        Some(condition) => condition.split_whitespace().next().unwrap_or_default(),
        None => rest,
    };
    let name = name.split_once('.').map_or(name, |(_, field)| field).to_owned();
    Access { kind, object: ObjectName { owner: None, name } }
}

fn place(event: &TraceEvent) -> (String, Access) {
    (event.function.clone(), access(event))
}

/// The context switches of a run between the threads of the test and the exit work items of rings. Those of other
/// work items and RCU callbacks are left to the kernel. Trailing lines that order nothing are left out.
pub(crate) fn switches(test: &Test, trace: &Trace) -> Vec<Switch> {
    let threads: Vec<Option<ThreadName>> =
        trace.threads.iter().map(|name| thread(test, name)).collect();
    let events: Vec<(ThreadName, &TraceEvent)> = trace
        .events
        .iter()
        .filter(|event| !is_internal(event))
        .filter_map(|event| Some((threads[event.thread]?, event)))
        .collect();
    let first = events.iter().position(|(thread, _)| !thread.is_kernel()).unwrap_or(events.len());
    let mut lines: Vec<Switch> = Vec::new();
    let mut from = 0;
    while from < events.len() {
        let thread = events[from].0;
        let len = events[from..].iter().take_while(|(other, _)| *other == thread).count();
        let until = from + len;
        let next = events[until..].iter().find(|(other, _)| *other == thread);
        let until_place = next.map_or(Place::Done, |(_, next)| {
            let wanted = place(next);
            let started = events[..from].iter().any(|(other, _)| *other == thread);
            let passed = &events[from + usize::from(started)..until];
            let before = passed.iter().filter(|(_, event)| place(event) == wanted).count();
            Place::At(CodePlace {
                function: Some(wanted.0),
                position: Position::Before,
                access: Some(wanted.1),
                occurrence: before as u32 + 1,
            })
        });
        // Work items that run before any thread of the test does are left to the kernel, too.
        if until > first {
            lines.push(Switch { thread, or_any: false, until: until_place, failing: Vec::new() });
        }
        from = until;
    }
    while lines.last().is_some_and(|line| line.thread.is_kernel()) {
        lines.pop();
    }
    lines
}

/// The function of the model in which the operation begins.
pub(crate) fn entry(op: &Op) -> Option<&'static str> {
    Some(match op {
        Op::Recv { .. } | Op::Wait { .. } => "io_uring_enter",
        Op::Close { .. } | Op::Exit { .. } | Op::CloseSocket { .. } => "close",
        Op::Mmap { .. } => "io_uring_mmap",
        Op::Send { .. } => "tcp_rcv_established",
        Op::Shutdown { .. } => "tcp_fin",
        Op::Reset { .. } => "tcp_reset",
        Op::Return { .. } => "refill",
        Op::Register { .. }
        | Op::Export { .. }
        | Op::Import { .. }
        | Op::Flush { .. }
        | Op::AddArea { .. }
        | Op::Arm { .. }
        | Op::Enable { .. }
        | Op::Cancel { .. }
        | Op::CancelSocket { .. }
        | Op::CancelAll { .. } => "io_uring_register",
        _ => return None,
    })
}

/// Whether a place is the beginning of an operation: its first access in the model.
pub(crate) fn begins_operation(place: &CodePlace) -> bool {
    let (Some(function), Some(access)) = (&place.function, &place.access) else { return false };
    let object = access.object.name.as_str();
    place.position == Position::Before
        && match function.as_str() {
            "io_uring_register" | "io_uring_enter" | "io_uring_mmap" => object == "fd",
            "close" => object == "file_lock",
            "tcp_rcv_established" => object == "readable",
            "tcp_fin" | "tcp_reset" => object == "sk_lock",
            "refill" => object == "producer_lock",
            _ => false,
        }
}

/// A place in words, for people.
pub(crate) fn describe(place: &Place) -> String {
    match place {
        Place::Done => "done".to_owned(),
        Place::Blocked => "blocked".to_owned(),
        Place::At(code) => {
            let function = code.function.as_deref().unwrap_or("any");
            let access = code.access.as_ref().map_or(String::new(), |access| {
                format!(" {}({})", access.kind.name(), access.object.name)
            });
            let number = match code.occurrence {
                0 | 1 => String::new(),
                number => format!(" #{number}"),
            };
            format!("{function}: {}{access}{number}", code.position.name())
        }
    }
}

/// A thread in words.
pub(crate) fn thread_name(test: &Test, thread: ThreadName) -> String {
    let ring = |ring: u8| test.rings.get(usize::from(ring)).map_or("?", |name| name.as_str());
    match thread {
        ThreadName::Main => "main()".to_owned(),
        ThreadName::Test(at) => test.threads.get(at).map_or("?".into(), |t| t.name.clone()),
        ThreadName::Exit(number) => format!("exit({})", ring(number)),
        ThreadName::Rcu(number) => format!("rcu({})", ring(number)),
        other => format!("{other:?}"),
    }
}
