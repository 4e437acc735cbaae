//! A search with a schedule in words against all interleavings, filtered by an independent matcher.
//!
//! Method: enumerate every run of a small program without a visited set. A matcher that reads only traces decides which
//! of them match. A thread counts as blocked where no run continues with it.

use std::collections::BTreeSet;
use std::rc::Rc;

use ifq_model::platform::{AtomicWord, Order, Platform, RawLock};
use ifq_model::test::schedule::{
    Access, AccessKind, CodePlace, ObjectName, Place, Position, Switch, ThreadName,
};

use super::{Det, Main, program, two};
use crate::executor::run::run;
use crate::executor::scheduler::Replay;
use crate::executor::trace::Trace;
use crate::search::limits::Limits;
use crate::search::reference::search;

type Atomic = <Det as Platform>::Atomic;

struct Shared {
    lock: <Det as Platform>::Lock,
    x: Atomic,
    y: Atomic,
    seen: Atomic,
}

/// Two threads that contend for a lock; the outcome is what the second one reads.
fn contention() -> impl Fn() -> Main {
    two(
        || Shared {
            lock: Det::lock("pp_lock"),
            x: Det::atomic("refs", 0),
            y: Det::atomic("events", 0),
            seen: Det::atomic("result", 9),
        },
        |s| async move {
            let _func = Det::func("io_close_queue");
            s.y.store(1, Order::Relaxed).await;
            {
                let _guard = s.lock.lock().await;
                s.x.store(1, Order::Relaxed).await;
                s.x.store(2, Order::Relaxed).await;
            }
            s.y.store(2, Order::Relaxed).await;
        },
        |s| async move {
            let _func = Det::func("import_zcrx");
            let early = s.y.load(Order::Relaxed).await;
            let _guard = s.lock.lock().await;
            let _inner = Det::func("zcrx_export");
            let late = s.x.load(Order::Relaxed).await;
            s.seen.store(early * 10 + late, Order::Relaxed).await;
        },
        |s| async move { vec![s.seen.load_in_step()] },
    )
}

/// A line as it is in a trace: what the thread does next, or has done.
#[derive(Clone, Copy)]
struct Line {
    /// Index among the threads of the trace.
    thread: usize,
    or_any: bool,
    /// `None`: the thread has ended.
    at: Option<At>,
}

#[derive(Clone, Copy)]
struct At {
    before: bool,
    function: &'static str,
    kind: AccessKind,
    object: &'static str,
    occurrence: u32,
}

impl Line {
    fn switch(self) -> Switch {
        let until = self.at.map_or(Place::Done, |at| {
            let object = ObjectName { owner: None, name: at.object.to_owned() };
            Place::At(CodePlace {
                function: Some(at.function.to_owned()),
                position: if at.before { Position::Before } else { Position::After },
                access: Some(Access { kind: at.kind, object }),
                occurrence: at.occurrence,
            })
        });
        let thread = ThreadName::of_slot(self.thread as u32);
        Switch { thread, or_any: self.or_any, until, failing: Vec::new() }
    }
}

impl At {
    fn is(self, trace: &Trace, event: usize) -> bool {
        let verb = match self.kind {
            AccessKind::Lock => "lock",
            AccessKind::Load => "read",
            _ => "write",
        };
        let event = &trace.events[event];
        event.function == self.function && event.action == format!("{verb} {}", self.object)
    }
}

/// Whether a run matches. `prefixes` are those of all runs.
fn matches(
    trace: &Trace,
    decisions: &[u32],
    lines: &[Line],
    prefixes: &BTreeSet<Vec<u32>>,
) -> bool {
    let own = |thread: usize, from: usize, to: usize| {
        (from..to).filter(move |i| decisions[*i] as usize == thread)
    };
    let (mut current, mut began) = (0, None);
    for k in 0..=decisions.len() {
        while let Some(line) = lines.get(current) {
            let spawned = own(line.thread, 0, decisions.len()).next().filter(|i| *i < k);
            let Some(spawned) = spawned else { break };
            let began_at = *began.get_or_insert(k);
            let is_fresh = own(line.thread, spawned + 1, began_at).next().is_none();
            let reached = match line.at {
                None => own(line.thread, k, decisions.len()).next().is_none(),
                Some(at) if at.before => {
                    // Each time that the thread came to a scheduling point: the next step that it takes there.
                    let from = if is_fresh { spawned } else { began_at };
                    let points = own(line.thread, from, k).map(|i| {
                        own(line.thread, i + 1, decisions.len())
                            .next()
                            .is_some_and(|n| at.is(trace, n))
                    });
                    points.filter(|is| *is).count() as u32 >= at.occurrence
                }
                Some(at) => {
                    let done = own(line.thread, began_at, k).filter(|i| at.is(trace, *i));
                    done.count() as u32 >= at.occurrence
                }
            };
            if !reached {
                break;
            }
            (current, began) = (current + 1, None);
        }
        let (Some(next), Some(line)) = (decisions.get(k), lines.get(current)) else { continue };
        let starts = trace.events[k].action == "spawn";
        if began.is_none() || line.or_any || starts || *next as usize == line.thread {
            continue;
        }
        let mut continued = decisions[..k].to_vec();
        continued.push(line.thread as u32);
        if prefixes.contains(&continued) {
            return false;
        }
    }
    current == lines.len()
}

fn before(thread: usize, function: &'static str, kind: AccessKind, object: &'static str) -> Line {
    Line {
        thread,
        or_any: false,
        at: Some(At { before: true, function, kind, object, occurrence: 1 }),
    }
}

fn after(thread: usize, function: &'static str, kind: AccessKind, object: &'static str) -> Line {
    Line {
        thread,
        or_any: false,
        at: Some(At { before: false, function, kind, object, occurrence: 1 }),
    }
}

fn done(thread: usize) -> Line {
    Line { thread, or_any: false, at: None }
}

fn schedules() -> Vec<Vec<Line>> {
    let second = |line: Line| Line { at: line.at.map(|at| At { occurrence: 2, ..at }), ..line };
    let any = |line: Line| Line { or_any: true, ..line };
    let (close, import) = ("io_close_queue", "import_zcrx");
    vec![
        vec![],
        vec![done(1)],
        vec![done(2)],
        vec![before(2, import, AccessKind::Lock, "pp_lock"), done(1)],
        vec![after(2, import, AccessKind::Lock, "pp_lock"), done(1), done(2)],
        vec![before(1, close, AccessKind::Store, "events")],
        vec![second(before(1, close, AccessKind::Store, "refs")), done(2)],
        vec![second(after(1, close, AccessKind::Store, "events")), done(2)],
        vec![any(after(1, close, AccessKind::Store, "refs")), done(1)],
        vec![
            after(1, close, AccessKind::Store, "events"),
            before(2, "zcrx_export", AccessKind::Load, "refs"),
            any(before(1, close, AccessKind::Lock, "pp_lock")),
            done(1),
        ],
        // The second thread never comes there.
        vec![before(2, import, AccessKind::Load, "refs")],
        vec![second(after(1, close, AccessKind::Lock, "pp_lock"))],
    ]
}

#[test]
fn a_search_with_a_schedule_sees_exactly_the_runs_that_match() {
    let main = contention();
    let program = program(&main);
    let unbounded = Limits { remember_states: false, ..Limits::default() };
    let all_runs = |switches: &[Switch], limits: &Limits| {
        let mut runs = BTreeSet::new();
        let found = search(&program, Some(switches.into()), limits, &mut |run| {
            runs.insert(run.decisions.clone());
            true
        });
        (runs, found)
    };
    let (mut everything, mut plain) = (BTreeSet::new(), BTreeSet::new());
    search(&program, None, &unbounded, &mut |run| {
        everything.insert(run.decisions.clone());
        plain.extend(run.outcome.clone());
        true
    });
    assert!(everything.len() > 100, "{} runs", everything.len());
    let prefixes: BTreeSet<Vec<u32>> =
        everything.iter().flat_map(|run| (0..=run.len()).map(|n| run[..n].to_vec())).collect();
    let traces: Vec<(&Vec<u32>, Rc<Trace>, _)> = everything
        .iter()
        .map(|decisions| {
            let run = run(&program, Box::new(Replay::new(decisions)), true);
            (decisions, Rc::new(run.trace.expect("a trace")), run.outcome)
        })
        .collect();
    let (mut restricted, mut unmatched) = (0, 0);
    for (i, lines) in schedules().into_iter().enumerate() {
        let switches: Vec<Switch> = lines.iter().map(|line| line.switch()).collect();
        let fitting =
            traces.iter().filter(|(run, trace, _)| matches(trace, run, &lines, &prefixes));
        let (wanted, outcomes): (BTreeSet<_>, BTreeSet<_>) = fitting
            .map(|(run, _, outcome)| ((*run).clone(), outcome.clone().expect("an outcome")))
            .unzip();
        let (runs, found) = all_runs(&switches, &unbounded);
        assert_eq!(runs.len(), wanted.len(), "schedule {i}");
        assert_eq!(runs, wanted, "schedule {i}");
        assert_eq!(found.outcomes, outcomes, "schedule {i}");
        let (_, remembered) = all_runs(&switches, &Limits::default());
        assert_eq!(remembered.outcomes, outcomes, "schedule {i}: the visited set loses outcomes");
        assert_eq!(remembered.unfollowed.is_some(), wanted.is_empty(), "schedule {i}");
        restricted += usize::from(outcomes.len() < plain.len());
        unmatched += usize::from(wanted.is_empty());
    }
    assert!(restricted > 5 && unmatched >= 2, "{restricted} {unmatched}");
}
