//! Rings that differ by name only: the renamings of rings, connections, threads and results under which a
//! test says what it said.
//!
//! What is renamed must be treated alike by the kernel and by the run's first thread too, so that a state
//! and its image have the same future:
//! - the threads that change places do only what is in [`is_alike`]: no value in memory names a ring then
//!   but those that [`super::renaming::Meaning`] knows, and nothing goes by the order of pointers. What
//!   they export has the number that was free, which is nobody's name;
//! - their rings are closed by their own threads, because the end of a run closes what is open one after
//!   the other; their connections come over loopback, so that closing those at the end gives no buffer
//!   back; the steps at the end do not name them.

use ifq_model::run::{Part, parts};
use ifq_model::test::arg_modifier::ArgModifier;
use ifq_model::test::{Op, Source, Step, Test};
use ifq_model::work::FIRST_KERNEL_SLOT;

use super::renaming::{Group, Renaming};

/// Renamings that are tried for each state, at most. With more, some are left out.
const MOST: usize = 24;

/// In how many ways the rings of a test, with their connections and threads, can change their names so
/// that it says what it said; 1 if only by keeping them.
#[must_use]
pub fn renamings(test: &Test) -> usize {
    1 + group_of(test).others()
}

/// All renamings under which a test is the same.
pub(crate) fn group_of(test: &Test) -> Group {
    let parts = parts(test);
    let position = |part| parts.iter().position(|p| *p == part).unwrap_or(usize::MAX) as u32;
    let threads = position(Part::Threads);
    let in_place: Vec<u32> = (0..).zip(test.steps()).map(|(step, _)| step).collect();
    let none = Pairs::new(test).renaming(test, &parts, &in_place);
    let (count, small) = (test.threads.len(), FIRST_KERNEL_SLOT as usize);
    let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
    let makers: Vec<Renaming> = match count < small {
        true => pairs.filter_map(|(a, b)| swap(test, &parts, a, b)).collect(),
        false => Vec::new(),
    };
    Group::of(none, &makers, threads, MOST)
}

/// What changes places with what; by number.
#[derive(Clone, Debug)]
struct Pairs {
    rings: Vec<Option<u32>>,
    sockets: Vec<Option<u32>>,
    vars: Vec<Option<u32>>,
    threads: Vec<Option<u32>>,
}

/// Two change places, or one stays; `false` if one of them does something else already.
fn pair(pairs: &mut [Option<u32>], a: u32, b: u32) -> bool {
    let free = |at: u32, with: u32| pairs[at as usize].is_none_or(|known| known == with);
    let fits = free(a, b) && free(b, a);
    if fits {
        (pairs[a as usize], pairs[b as usize]) = (Some(b), Some(a));
    }
    fits
}

/// The names in a step, and the step without them.
struct Names {
    rings: Vec<u32>,
    sockets: Vec<u32>,
    vars: Vec<u32>,
    blank: Step,
}

impl Names {
    fn of(step: &Step) -> Self {
        let (mut rings, mut vars) = (Vec::new(), Vec::new());
        let mut blank = step.clone();
        blank.op.for_each_ring(|ring| rings.push(u32::from(std::mem::take(ring))));
        let sockets = blank.op.socket_mut().map(|socket| u32::from(std::mem::take(socket)));
        let mut take = |var: &mut u16| vars.push(u32::from(std::mem::take(var)));
        blank.op.for_each_var(&mut take);
        blank.bind.iter_mut().for_each(&mut take);
        blank.after.iter_mut().for_each(&mut take);
        Names { rings, sockets: sockets.into_iter().collect(), vars, blank }
    }
}

impl Pairs {
    fn new(test: &Test) -> Self {
        Pairs {
            rings: vec![None; test.rings.len()],
            sockets: vec![None; test.sockets.len()],
            vars: vec![None; test.vars.len()],
            threads: vec![None; test.threads.len()],
        }
    }

    /// Whether two steps can change places, besides what does already.
    fn match_steps(&mut self, a: &Step, b: &Step) -> bool {
        let (a, b) = (Names::of(a), Names::of(b));
        let all = |pairs: &mut [Option<u32>], a: &[u32], b: &[u32]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| pair(pairs, *a, *b))
        };
        a.blank == b.blank
            && all(&mut self.rings, &a.rings, &b.rings)
            && all(&mut self.sockets, &a.sockets, &b.sockets)
            && all(&mut self.vars, &a.vars, &b.vars)
    }

    /// Whether two threads can; nothing changes if not.
    fn match_threads(&mut self, test: &Test, a: usize, b: usize) -> bool {
        let mut tried = self.clone();
        let (one, other) = (&test.threads[a].steps, &test.threads[b].steps);
        let fits = pair(&mut tried.threads, a as u32, b as u32)
            && one.len() == other.len()
            && one.iter().zip(other).all(|(a, b)| tried.match_steps(a, b));
        if fits {
            *self = tried;
        }
        fits
    }

    /// What changes places with what, in full: what nobody has asked for stays.
    fn renaming(&self, test: &Test, parts: &[Part], steps: &[u32]) -> Renaming {
        let full = |pairs: &[Option<u32>]| -> Vec<u32> {
            (0..).zip(pairs).map(|(i, pair)| pair.unwrap_or(i)).collect()
        };
        let mut renaming = Renaming {
            rings: full(&self.rings),
            sockets: full(&self.sockets),
            threads: full(&self.threads),
            vars: full(&self.vars),
            steps: steps.to_vec(),
            ops: Vec::new(),
        };
        let new = |numbers: &[u32], number: usize| numbers[number] as usize;
        let image = |part: &Part| match *part {
            Part::Fd(fd) if fd < test.rings.len() => Part::Fd(new(&renaming.rings, fd)),
            Part::Ring(ring) => Part::Ring(new(&renaming.rings, ring)),
            Part::Socket(socket) => Part::Socket(new(&renaming.sockets, socket)),
            Part::Position(socket) => Part::Position(new(&renaming.sockets, socket)),
            Part::Var(var) => Part::Var(new(&renaming.vars, var)),
            Part::ZcrxFd(step) => Part::ZcrxFd(new(steps, step)),
            Part::Region(step) => Part::Region(new(steps, step)),
            Part::Receive(step) => Part::Receive(new(steps, step)),
            Part::Setup(step) => Part::Setup(new(steps, step)),
            Part::Kernel | Part::Run | Part::Threads | Part::Fd(_) => *part,
        };
        let position = |part: Part| parts.iter().position(|p| *p == part).unwrap_or(usize::MAX);
        renaming.ops = parts.iter().map(|part| position(image(part)) as u32).collect();
        renaming
    }
}

/// The renaming that swaps two threads, with as little else as possible.
fn swap(test: &Test, parts: &[Part], a: usize, b: usize) -> Option<Renaming> {
    let mut pairs = Pairs::new(test);
    if !pairs.match_threads(test, a, b) {
        return None;
    }
    for thread in 0..test.threads.len() {
        let partner = (thread..test.threads.len()).find(|other| {
            pairs.threads[thread].is_none() && pairs.match_threads(test, thread, *other)
        });
        if pairs.threads[thread].is_none() && partner.is_none() {
            return None;
        }
    }
    let mut setup: Vec<Option<u32>> = vec![None; test.setup.len()];
    for step in 0..test.setup.len() {
        let partner = (step..test.setup.len()).find(|other| {
            let mut tried = pairs.clone();
            let fits = setup[step].is_none()
                && setup[*other].is_none()
                && tried.match_steps(&test.setup[step], &test.setup[*other]);
            if fits {
                pairs = tried;
                pair(&mut setup, step as u32, *other as u32);
            }
            fits
        });
        if setup[step].is_none() && partner.is_none() {
            return None;
        }
    }
    if !test.finally.iter().all(|step| pairs.match_steps(step, step)) {
        return None;
    }
    let renaming = pairs.renaming(test, parts, &steps(test, &setup, &pairs.threads));
    is_allowed(test, &renaming).then_some(renaming)
}

/// Where each step goes: those of set-up as told, those of a thread with it.
fn steps(test: &Test, setup: &[Option<u32>], threads: &[Option<u32>]) -> Vec<u32> {
    let first = |thread: usize| {
        let before: usize = test.threads[..thread].iter().map(|t| t.steps.len()).sum();
        (test.setup.len() + before) as u32
    };
    let mut steps: Vec<u32> = (0..).zip(setup).map(|(i, new)| new.unwrap_or(i)).collect();
    for (thread, partner) in threads.iter().enumerate() {
        let new = first(partner.map_or(thread, |partner| partner as usize));
        steps.extend((0..test.threads[thread].steps.len() as u32).map(|i| new + i));
    }
    let done = steps.len() as u32;
    steps.extend((done..).take(test.finally.len()));
    steps
}

/// Whether the kernel and the end of a run treat alike what changes places.
fn is_allowed(test: &Test, renaming: &Renaming) -> bool {
    let moved = |numbers: &[u32]| -> Vec<usize> {
        (0..numbers.len()).filter(|i| numbers[*i] as usize != *i).collect()
    };
    let steps: Vec<&Step> = test.steps().collect();
    let alike = moved(&renaming.steps).into_iter().all(|step| {
        // A request's `user_data` of zero is also none.
        is_alike(&steps[step].op) && (step != 0 || !matches!(steps[step].op, Op::Recv { .. }))
    });
    let exits = |ring: usize| {
        let mut steps = test.threads.iter().flat_map(|t| &t.steps);
        steps.any(|s| matches!(s.op, Op::Exit { ring: exits } if usize::from(exits) == ring))
    };
    let driver = |ring: u32| test.driver(ring as u8).map(|thread| thread as u32);
    let rings = moved(&renaming.rings).into_iter().all(|ring| {
        let (number, new) = (ring as u8, renaming.rings[ring]);
        let setups = |of: u8| {
            let setups = test.setups.iter().filter(move |(ring, _)| *ring == of);
            setups.map(|(_, setup)| *setup)
        };
        exits(ring)
            && setups(number).eq(setups(new as u8))
            && driver(u32::from(number)).map(|t| renaming.threads[t as usize]) == driver(new)
    });
    let sockets = moved(&renaming.sockets).into_iter().all(|s| test.sockets[s].queue.is_none());
    let vars = moved(&renaming.vars).into_iter().all(|var| {
        let new = renaming.vars[var] as u16;
        test.vars[var].kind == test.vars[usize::from(new)].kind
            && (!test.observe.contains(&(var as u16)) || test.observe.contains(&new))
    });
    alike && rings && sockets && vars
}

/// Operations that do the same for each ring, but for its name.
fn is_alike(op: &Op) -> bool {
    if let Op::Register { source: Source::Nodev, modifiers, .. } = op {
        // An event's `user_data` names its ifq.
        return !modifiers.has(ArgModifier::Events);
    }
    matches!(
        op,
        Op::Export { .. }
            | Op::Import { .. }
            | Op::Flush { .. }
            | Op::Mmap { .. }
            | Op::Exit { .. }
            | Op::Close { .. }
            | Op::Recv { .. }
            | Op::Wait { .. }
            | Op::Return { .. }
            | Op::Send { .. }
            | Op::Shutdown { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use super::*;
    use crate::executor::run::with_program;
    use crate::executor::scheduler::Random;
    use crate::format::parse;
    use crate::step_table::Code;
    use crate::symmetry::Symmetry;

    fn test(steps: &str) -> Test {
        let text = format!(
            "test t\nrevision import-7.3\nring O A B C\nsocket s t u\nsetup\n\
             ifq = O: register nodev buffers=1 entries=1\nbox = O: export ifq\n{steps}\nexpect holds\n"
        );
        parse("t", &text).unwrap()
    }

    fn ways(steps: &str) -> usize {
        renamings(&test(steps))
    }

    #[test]
    fn threads_that_do_the_same_change_places_with_all_that_is_theirs() {
        let thread = |ring: &str, socket: &str| {
            let name = ring.to_lowercase();
            format!(
                "thread {name}\n{name}1 = {ring}: import box\n{ring}: recv {name}1 {socket}\n{ring}: exit\n"
            )
        };
        let (a, b, c) = (thread("A", "s"), thread("B", "t"), thread("C", "u"));
        assert_eq!(ways(&a), 1);
        assert_eq!(ways(&format!("{a}{b}")), 2);
        assert_eq!(ways(&format!("{a}{b}{c}")), 6);
        assert_eq!(ways(&format!("s: send 1\nt: send 1\n{a}{b}")), 2);
        assert_eq!(ways(&format!("s: send 1\n{a}{b}{c}")), 2, "only one connection has data");
        assert_eq!(ways(&format!("{a}{b}finally\ns: send 1\n")), 1, "the end names a connection");
        assert_eq!(ways(&format!("{a}{b}observe a1\n")), 1, "one result is looked at");
    }

    #[test]
    fn what_is_closed_one_after_the_other_at_the_end_keeps_its_name() {
        let thread = |ring: &str| format!("thread {ring}\nx{ring} = {ring}: import box\n");
        assert_eq!(ways(&format!("{}{}", thread("A"), thread("B"))), 1);
        let closes = |ring: &str| format!("{}{ring}: exit\n", thread(ring));
        assert_eq!(ways(&format!("{}{}", closes("A"), closes("B"))), 2);
    }

    /// The tables hold what the images of a step do. A real run that does something else, because a value
    /// names what [`super::super::renaming::Meaning`] does not know of, panics.
    #[test]
    fn threads_that_change_places_do_what_was_learned_of_each_other() {
        let thread = |name: &str, ring: &str, socket: &str| {
            format!(
                "thread {name}\n{name}i = {ring}: import box\n{name}o = {ring}: register nodev buffers=1 entries=1\n\
                 {name}x = {ring}: export {name}o\n{ring}: recv {name}i {socket} len=5000\n{socket}: send 5000\n\
                 {name}c = {ring}: wait\n{name}d = {ring}: wait\nreturn {name}c to {name}i\n\
                 {ring}: recv {name}o {socket}\n{socket}: send 100\n\
                 {name}e = {ring}: wait\n{name}f = {ring}: wait\nreturn {name}f to {name}o\n\
                 {ring}: flush {name}i\n{ring}: mmap {name}i\n{socket}: shutdown\nclose {name}x\n{ring}: exit\n"
            )
        };
        let [a, b, c] =
            [("a", "A", "s"), ("b", "B", "t"), ("c", "C", "u")].map(|(n, r, s)| thread(n, r, s));
        let test = Rc::new(test(&format!("{a}{b}{c}")));
        assert_eq!(renamings(&test), 6);
        for variant in test.variants() {
            let mut code = Code::new(Symmetry::NONE, Arc::new(group_of(&test)));
            with_program(&test, &variant, |program| {
                for seed in 0..100 {
                    code.learn_with(program, Box::new(Random::new(seed)));
                }
            });
        }
    }

    #[test]
    fn pairs_of_threads_change_places_together() {
        let pair = |ring: &str, socket: &str| {
            let name = ring.to_lowercase();
            format!(
                "thread {name}\n{name}1 = {ring}: import box\n{ring}: recv {name}1 {socket}\n{ring}: exit\n\
                 thread peer-{name}\n{socket}: send 1\n"
            )
        };
        assert_eq!(ways(&format!("{}{}", pair("A", "s"), pair("B", "t"))), 2);
    }
}
