//! The controller: lets the threads of a test run in the order of a schedule.

mod events;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ifq_model::test::schedule::{Place, Switch, ThreadName};
use ifq_model::test::{RingId, Step, Test};
use ifq_sim::format::print_switch;

use super::code::What;
use super::guest::{Guest, Hit};
use super::line::{Border, border, is_ordered, is_packet, producer_access, step_in};
use super::park::Stand;
use super::places;
use super::record::{ForcedRun, Line};
use super::remote::Reg;
use crate::abi::marker::{Marker, ProducerAccess};

/// Time limit of one line of a schedule. A busy host needs it; a place that is reached takes some milliseconds.
const LINE_TIME: Duration = Duration::from_secs(12);
/// The same in timer ticks of the guest: an idle guest skips its time.
const LINE_TICKS: u64 = 6_000;
/// Time limit of the set-up, and of what follows the schedule.
const PHASE_TIME: Duration = Duration::from_secs(25);
/// So often [`PHASE_TIME`] may pass between two tests.
const SILENT_PHASES: u32 = 3;
/// Timer ticks of the guest after which a thread that is not on its processor counts as blocked, if it is to block.
const BLOCKED_TICKS: u64 = 50;
/// The same for a thread that is to come to another place: it may wait for an RCU grace period.
const STUCK_TICKS: u64 = 750;
/// Time between two looks at the thread whose turn it is.
const LOOK: Duration = Duration::from_millis(10);
/// Time limit of work items that the set-up has queued.
const SETUP_WORK_TIME: Duration = Duration::from_secs(3);

/// A thread or work item that the schedule orders.
#[derive(Debug, Default)]
struct Actor {
    task: Option<u64>,
    stand: Option<Stand>,
    /// The step that a thread of the test executes, or is about to.
    step: Option<usize>,
    done: bool,
    /// Of a work item: the return address, and where it is on the stack.
    back: Option<(u64, u64)>,
}

/// Where a line of the schedule ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// The thread is about to execute this step.
    Step(usize),
    /// The thread is at one of these addresses for the n-th time.
    Address(places::Addresses, u32),
    /// The thread is about to access the refill ring, as its producer, for the n-th time.
    Producer(ProducerAccess, u32),
    /// The thread is about to write its n-th packet to the device.
    Packet(u32),
    Done,
    Blocked,
}

/// What has stopped the guest.
enum Event {
    Marker(Hit, Marker),
    At(Hit),
}

/// The controller of a guest.
#[derive(Debug)]
pub(super) struct Controller {
    guest: Guest,
    /// The entry of `io_ring_exit_work`.
    exit_work: u64,
    /// Where a ring's exit work is queued.
    queues_work: u64,
}

/// One run of a test.
struct Run<'a> {
    guest: &'a mut Guest,
    exit_work: u64,
    queues_work: u64,
    test: &'a Test,
    lines: &'a [Switch],
    actors: BTreeMap<ThreadName, Actor>,
    /// The step of the set-up or the final step that is executed.
    outside: Option<&'a Step>,
    /// The ring of each exit work item.
    works: BTreeMap<u64, RingId>,
    /// The rings that are being closed, and whose work item is not queued.
    closing: BTreeSet<RingId>,
    /// The rings whose work item was queued before the first line.
    closed_before: BTreeSet<RingId>,
    /// A thread has been let go.
    started: bool,
    /// All threads go on.
    released: bool,
    /// The thread whose turn it is.
    turn: Option<ThreadName>,
    /// A thread that runs because the one whose turn it is is blocked.
    helper: Option<ThreadName>,
    /// The parked tasks whose sleep the next parked task that stops has to end.
    to_wake: Vec<u64>,
    /// The thread that has stopped last and the guest has not run since then.
    fresh: Option<(ThreadName, Hit)>,
    ended: bool,
    log: Vec<Line>,
}

impl Controller {
    /// A controller of a guest that it has met.
    pub(super) fn new(mut guest: Guest) -> Result<Self, String> {
        let exit_work = guest.symbols.function("io_ring_exit_work")?;
        let queue = guest.symbols.function("queue_work_on")?;
        let mut queues_work = None;
        for name in ["io_ring_ctx_wait_and_kill", "io_uring_release"] {
            let Some(function) = guest.symbols.address(name) else { continue };
            let sites = guest.sites(function)?;
            let calls = |what| matches!(what, What::Call { target, .. } if target == queue);
            queues_work = queues_work.or(sites.iter().find(|site| calls(site.what)).map(|s| s.at));
        }
        let queues_work = queues_work.ok_or("io_uring_release queues no work")?;
        guest.add_breakpoint(exit_work)?;
        guest.add_breakpoint(queues_work)?;
        Ok(Controller { guest, exit_work, queues_work })
    }

    /// Ends the guest.
    pub(super) fn end_guest(&mut self) {
        // It may have ended by itself.
        let _ = self.guest.kill();
    }

    /// Serves the guest until it ends. `schedule` is called with the index of a test in this boot, `record` with the
    /// result.
    pub(super) fn serve<'t>(
        &mut self,
        schedule: &dyn Fn(usize) -> Option<(&'t Test, &'t [Switch])>,
        record: &mut dyn FnMut(usize, ForcedRun),
    ) -> Result<(), String> {
        let mut silent = 0;
        loop {
            let Some(hit) = self.guest.run(PHASE_TIME)? else {
                silent += 1;
                if silent == SILENT_PHASES {
                    return Err("no test began or ended for a long time".to_owned());
                }
                continue;
            };
            silent = 0;
            let marker = self.guest.marker(&hit)?;
            self.guest.step_over(&hit)?;
            let Some(Marker::Begin(number)) = marker else { continue };
            let Some((test, lines)) = schedule(number as usize) else { continue };
            let mut run = Run {
                guest: &mut self.guest,
                exit_work: self.exit_work,
                queues_work: self.queues_work,
                test,
                lines,
                actors: BTreeMap::new(),
                outside: None,
                works: BTreeMap::new(),
                closing: BTreeSet::new(),
                closed_before: BTreeSet::new(),
                started: false,
                released: false,
                turn: None,
                helper: None,
                to_wake: Vec::new(),
                fresh: None,
                ended: false,
                log: Vec::new(),
            };
            let (start, stops, running) = (Instant::now(), run.guest.stops, run.guest.running);
            let mut failure = run.follow().err();
            let followed = start.elapsed();
            let end = run.finish();
            if let Err(reason) = &end {
                failure.get_or_insert(reason.clone());
            }
            let lines = std::mem::take(&mut run.log);
            let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let result = ForcedRun {
                lines,
                failure,
                ms: ms(start.elapsed()),
                end_ms: ms(start.elapsed() - followed),
                running_ms: ms(run.guest.running - running),
                stops: run.guest.stops - stops,
            };
            record(number as usize, result);
            // Its threads stand where no other test may find them.
            end?;
        }
    }
}

impl<'a> Run<'a> {
    /// Runs the set-up and the schedule.
    fn follow(&mut self) -> Result<(), String> {
        for at in 0..self.test.threads.len() {
            self.actors.insert(ThreadName::Test(at), Actor::default());
        }
        for line in self.lines {
            self.actors.entry(line.thread).or_default();
        }
        self.gather()?;
        self.started = true;
        for line in self.lines {
            let start = Instant::now();
            let asked = print_switch(self.test, line);
            let result = self.line(line);
            let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            let reached = result.as_ref().ok().cloned();
            self.log.push(Line { asked: asked.clone(), reached, ms });
            result.map_err(|reason| format!("{asked}: {reason}"))?;
        }
        Ok(())
    }

    /// Waits until each thread of the test stands before its first step, except threads whose first step needs a
    /// result of another thread, and until the work items that the set-up has queued have ended.
    fn gather(&mut self) -> Result<(), String> {
        let test = self.test;
        let bound = |var| test.setup.iter().any(|step| step.bind == Some(var));
        let comes = |at: &usize| {
            let first = test.threads[*at].steps.first();
            first.is_none_or(|step| step.after.iter().copied().chain(step.op.uses()).all(bound))
        };
        let expected: Vec<usize> = (0..test.threads.len()).filter(comes).collect();
        let end = Instant::now() + PHASE_TIME;
        let here = |actor: &Actor| actor.stand.is_some() || actor.done;
        while !expected.iter().all(|at| here(&self.actors[&ThreadName::Test(*at)])) {
            let Some(event) = self.next(end)? else {
                return Err("the threads did not come to their first steps".to_owned());
            };
            self.handle(event)?;
        }
        let end = Instant::now() + SETUP_WORK_TIME;
        while self.setup_works() {
            // In the model they have ended. If the kernel cannot end them yet, the test goes on all the same.
            let Some(event) = self.next(end)? else { break };
            self.handle(event)?;
        }
        Ok(())
    }

    /// Whether a work item that the set-up has queued, and that no line names, has not ended.
    fn setup_works(&self) -> bool {
        self.closed_before.iter().map(|ring| ThreadName::Exit(*ring)).any(|thread| {
            !self.is_named(thread) && !self.actors.get(&thread).is_some_and(|actor| actor.done)
        })
    }

    fn is_named(&self, thread: ThreadName) -> bool {
        self.lines.iter().any(|line| line.thread == thread)
    }

    /// Runs one line; returns where its thread stands.
    fn line(&mut self, line: &Switch) -> Result<String, String> {
        let thread = line.thread;
        if !is_ordered(thread) {
            return Ok("left to the kernel".to_owned());
        }
        let mut target = self.target(line)?;
        let sites = match &target {
            Target::Address(places, _) => places.addresses.clone(),
            _ => Vec::new(),
        };
        for site in &sites {
            self.guest.add_breakpoint(*site)?;
        }
        let result = self.run_to(thread, &mut target, line.until == Place::Blocked);
        for site in &sites {
            self.guest.drop_breakpoint(*site)?;
        }
        result
    }

    fn target(&mut self, line: &Switch) -> Result<Target, String> {
        let place = match (&line.until, line.thread) {
            (Place::Done, _) => return Ok(Target::Done),
            (Place::Blocked, ThreadName::Exit(_)) => {
                // It waits for the last reference to its ring.
                return Ok(Target::Address(places::exit_wait(self.guest)?, 1));
            }
            (Place::Blocked, _) => return Ok(Target::Blocked),
            (Place::At(place), _) => place,
        };
        if let (ThreadName::Test(_), Some(access)) = (line.thread, producer_access(place)) {
            return Ok(Target::Producer(access, place.occurrence.max(1)));
        }
        if let ThreadName::Test(at) = line.thread
            && is_packet(self.test, at, place)
        {
            return Ok(Target::Packet(place.occurrence.max(1)));
        }
        let (ThreadName::Test(at), Some(border)) = (line.thread, border(place)) else {
            return Ok(Target::Address(
                places::addresses(self.guest, place)?,
                place.occurrence.max(1),
            ));
        };
        let step = self.actors[&line.thread].step;
        if border == Border::Begin {
            return step_in(self.test, at, step.map_or(0, |step| step + 1), place)
                .map(Target::Step);
        }
        let next = step_in(self.test, at, step.unwrap_or(0), place)? + 1;
        let ends = next == self.test.threads[at].steps.len();
        Ok(if ends { Target::Done } else { Target::Step(next) })
    }

    /// Lets a thread run until it is at a target, while all others that the schedule names stand.
    /// `blocks`: it is there, too, once it is blocked.
    fn run_to(
        &mut self,
        thread: ThreadName,
        target: &mut Target,
        blocks: bool,
    ) -> Result<String, String> {
        self.turn = Some(thread);
        if *target == Target::Done && self.actor(thread).done {
            return Ok("it has ended before".to_owned());
        }
        let held = match &self.actor(thread).stand {
            Some(Stand::Held(hit)) => Some(hit.clone()),
            _ => None,
        };
        if let Some(hit) = held {
            self.let_go(thread, &hit)?;
        }
        self.wake(thread)?;
        let (end, begin) = (Instant::now() + LINE_TIME, self.guest.jiffies()?);
        let mut off_since = None;
        let ticks = if blocks { BLOCKED_TICKS } else { STUCK_TICKS };
        self.helper = None;
        loop {
            let limit = end.min(Instant::now() + LOOK);
            let Some(event) = self.next(limit)? else {
                if self.is_blocked(thread, ticks, &mut off_since)? {
                    if blocks {
                        return Ok("blocked".to_owned());
                    }
                    // As in the model, another thread runs meanwhile.
                    self.helper = self.helper.or_else(|| self.first_parked());
                    if let Some(helper) = self.helper {
                        self.wake(helper)?;
                    }
                }
                let ticks = self.guest.jiffies()?.wrapping_sub(begin);
                if Instant::now() < end && ticks < LINE_TICKS {
                    continue;
                }
                let whereabouts = self.whereabouts(thread);
                return Err(format!("not reached within {ticks} timer ticks; {whereabouts}"));
            };
            if self.is_of(&event, thread) {
                (off_since, self.helper) = (None, None);
            }
            if let Some(place) = self.reached(thread, target, &event)? {
                return Ok(place);
            }
            self.handle(event)?;
            if self.ended {
                return Err("the test has ended".to_owned());
            }
            if *target != Target::Done && self.actor(thread).done {
                return Err("it has ended".to_owned());
            }
        }
    }

    /// Whether an event comes from a thread.
    fn is_of(&mut self, event: &Event, thread: ThreadName) -> bool {
        let (Event::Marker(hit, _) | Event::At(hit)) = event;
        self.actor(thread).task == Some(hit.task)
    }

    /// Whether an event is the end of the line; the thread stands there then.
    fn reached(
        &mut self,
        thread: ThreadName,
        target: &mut Target,
        event: &Event,
    ) -> Result<Option<String>, String> {
        let hit = match (event, &mut *target) {
            (Event::Marker(hit, Marker::Step(at, step)), Target::Step(wanted))
                if thread == ThreadName::Test(*at as usize) && *step == *wanted as u64 =>
            {
                let actor = self.actor(thread);
                (actor.task, actor.step) = (Some(hit.task), Some(*step as usize));
                self.begins(*at as usize, *step as usize);
                hit
            }
            (Event::Marker(hit, Marker::Producer(at, access)), Target::Producer(wanted, left))
                if thread == ThreadName::Test(*at as usize) && access == wanted =>
            {
                *left -= 1;
                if *left > 0 {
                    return Ok(None);
                }
                hit
            }
            (Event::Marker(hit, Marker::Packet(at, _)), Target::Packet(left))
                if thread == ThreadName::Test(*at as usize) =>
            {
                *left -= 1;
                if *left > 0 {
                    return Ok(None);
                }
                hit
            }
            (Event::Marker(hit, Marker::Done(at)), Target::Done)
                if thread == ThreadName::Test(*at as usize) =>
            {
                self.actor(thread).done = true;
                self.stop(thread, hit)?;
                return Ok(Some("its last step has ended".to_owned()));
            }
            (Event::At(hit), Target::Address(places, left))
                if places.addresses.contains(&hit.address)
                    && self.actor(thread).task == Some(hit.task)
                    && places.verb.is_none_or(|verb| self.verb_of(thread) == Some(verb)) =>
            {
                *left -= 1;
                if *left > 0 {
                    return Ok(None);
                }
                hit
            }
            (Event::At(hit), Target::Done)
                if self.actor(thread).back == Some((hit.address, hit.regs.get(Reg::Rsp)))
                    && self.actor(thread).task == Some(hit.task) =>
            {
                self.leave_work(thread, hit)?;
                return Ok(Some("its work function has returned".to_owned()));
            }
            _ => return Ok(None),
        };
        self.stop(thread, hit)?;
        let how = match self.actor(thread).stand {
            Some(Stand::Held(_)) => ", held",
            _ => "",
        };
        Ok(Some(format!("{}{how}", self.guest.symbols.name(hit.address))))
    }

    /// The verb of the step that a thread of the test executes.
    fn verb_of(&self, thread: ThreadName) -> Option<&'static str> {
        let ThreadName::Test(at) = thread else { return None };
        let step = self.actors.get(&thread)?.step?;
        Some(self.test.threads.get(at)?.steps.get(step)?.op.verb())
    }

    fn actor(&mut self, thread: ThreadName) -> &mut Actor {
        self.actors.entry(thread).or_default()
    }

    /// What is known about a thread that does not come.
    fn whereabouts(&mut self, thread: ThreadName) -> String {
        let actor = &self.actors[&thread];
        match (&actor.stand, actor.step, actor.task) {
            (Some(stand), ..) => {
                format!("it stands at {}", self.guest.symbols.name(stand.address()))
            }
            (None, Some(step), _) => format!("it is in step {step}"),
            (None, None, Some(_)) => "it runs or waits".to_owned(),
            (None, None, None) => "it has not started".to_owned(),
        }
    }

    /// Lets all threads go, and runs the test to its end.
    fn finish(&mut self) -> Result<(), String> {
        self.released = true;
        self.turn = None;
        let held = |(thread, actor): (&ThreadName, &Actor)| match &actor.stand {
            Some(Stand::Held(hit)) => Some((*thread, hit.clone())),
            _ => None,
        };
        let held: Vec<(ThreadName, Hit)> = self.actors.iter().filter_map(held).collect();
        for (thread, hit) in held {
            self.let_go(thread, &hit)?;
        }
        self.wake_all()?;
        let end = Instant::now() + PHASE_TIME;
        while !self.ended || self.actors.values().any(|actor| actor.stand.is_some()) {
            let Some(event) = self.next(end)? else {
                return Err("the test did not end".to_owned());
            };
            self.handle(event)?;
        }
        for actor in self.actors.values_mut() {
            if let Some((at, _)) = actor.back.take() {
                self.guest.drop_breakpoint(at)?;
            }
        }
        Ok(())
    }
}
