//! Ring symmetry: the permutations of rings, connections, threads and results that fix a test.
//!
//! The kernel and the first thread of a run must treat permuted objects alike, so that a state and its image
//! have the same behaviour:
//! - the permuted threads use only operations for which [`is_symmetric_op`] holds: then the values that
//!   refer to a ring are those that [`crate::executor::permutation::WordSort`] declares, and nothing depends
//!   on the order of pointers. The descriptors that they export get the lowest free number, which refers to
//!   no ring;
//! - their own threads close their rings, because the end of a run closes what is open in a fixed order;
//!   their connections use loopback, so that closing those at the end returns no buffer; the final steps of
//!   the test do not refer to them.

use ifq_model::run::{Part, parts};
use ifq_model::test::arg_modifier::ArgModifier;
use ifq_model::test::{Op, Source, Step, Test};
use ifq_model::work::FIRST_KERNEL_SLOT;

use crate::executor::permutation::{Permutation, PermutationGroup};

/// Maximum size of a symmetry group: every state is permuted by each element.
const MAX_PERMUTATIONS: usize = 24;

/// The number of permutations of rings, with their connections and threads, that fix a test; 1 if there is
/// only the identity.
#[must_use]
pub fn permutation_count(test: &Test) -> usize {
    1 + symmetry_group(test).nontrivial_count()
}

/// The group of all permutations that fix a test.
pub(crate) fn symmetry_group(test: &Test) -> PermutationGroup {
    let parts = parts(test);
    let position = |part| parts.iter().position(|p| *p == part).unwrap_or(usize::MAX) as u32;
    let threads = position(Part::Threads);
    let in_place: Vec<u32> = (0..).zip(test.steps()).map(|(step, _)| step).collect();
    let identity = Matching::new(test).permutation(test, &parts, &in_place);
    let (count, small) = (test.threads.len(), FIRST_KERNEL_SLOT as usize);
    let matching = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
    let generators: Vec<Permutation> = match count < small {
        true => matching.filter_map(|(a, b)| transposition(test, &parts, a, b)).collect(),
        false => Vec::new(),
    };
    PermutationGroup::of(identity, &generators, threads, MAX_PERMUTATIONS)
}

/// A partial involution: which objects exchange their numbers.
#[derive(Clone, Debug)]
struct Matching {
    rings: Vec<Option<u32>>,
    sockets: Vec<Option<u32>>,
    vars: Vec<Option<u32>>,
    threads: Vec<Option<u32>>,
}

/// Exchanges two numbers, or fixes one; `false` if that contradicts a known exchange.
fn match_pair(matching: &mut [Option<u32>], a: u32, b: u32) -> bool {
    let free = |at: u32, with: u32| matching[at as usize].is_none_or(|known| known == with);
    let fits = free(a, b) && free(b, a);
    if fits {
        (matching[a as usize], matching[b as usize]) = (Some(b), Some(a));
    }
    fits
}

/// The numbers in a step, and the step without them.
struct StepNames {
    rings: Vec<u32>,
    sockets: Vec<u32>,
    vars: Vec<u32>,
    blank: Step,
}

impl StepNames {
    fn of(step: &Step) -> Self {
        let (mut rings, mut vars) = (Vec::new(), Vec::new());
        let mut blank = step.clone();
        blank.op.for_each_ring(|ring| rings.push(u32::from(std::mem::take(ring))));
        let sockets = blank.op.socket_mut().map(|socket| u32::from(std::mem::take(socket)));
        let mut take = |var: &mut u16| vars.push(u32::from(std::mem::take(var)));
        blank.op.for_each_var(&mut take);
        blank.bind.iter_mut().for_each(&mut take);
        blank.after.iter_mut().for_each(&mut take);
        StepNames { rings, sockets: sockets.into_iter().collect(), vars, blank }
    }
}

impl Matching {
    fn new(test: &Test) -> Self {
        Matching {
            rings: vec![None; test.rings.len()],
            sockets: vec![None; test.sockets.len()],
            vars: vec![None; test.vars.len()],
            threads: vec![None; test.threads.len()],
        }
    }

    /// Whether two steps can be exchanged, given the exchanges so far.
    fn match_steps(&mut self, a: &Step, b: &Step) -> bool {
        let (a, b) = (StepNames::of(a), StepNames::of(b));
        let all = |matching: &mut [Option<u32>], a: &[u32], b: &[u32]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| match_pair(matching, *a, *b))
        };
        a.blank == b.blank
            && all(&mut self.rings, &a.rings, &b.rings)
            && all(&mut self.sockets, &a.sockets, &b.sockets)
            && all(&mut self.vars, &a.vars, &b.vars)
    }

    /// Whether two threads can be exchanged; nothing changes if not.
    fn match_threads(&mut self, test: &Test, a: usize, b: usize) -> bool {
        let mut tried = self.clone();
        let (one, other) = (&test.threads[a].steps, &test.threads[b].steps);
        let fits = match_pair(&mut tried.threads, a as u32, b as u32)
            && one.len() == other.len()
            && one.iter().zip(other).all(|(a, b)| tried.match_steps(a, b));
        if fits {
            *self = tried;
        }
        fits
    }

    /// The total permutation: what is not exchanged is fixed.
    fn permutation(&self, test: &Test, parts: &[Part], steps: &[u32]) -> Permutation {
        let full = |matching: &[Option<u32>]| -> Vec<u32> {
            (0..).zip(matching).map(|(i, match_pair)| match_pair.unwrap_or(i)).collect()
        };
        let mut permutation = Permutation {
            rings: full(&self.rings),
            sockets: full(&self.sockets),
            threads: full(&self.threads),
            vars: full(&self.vars),
            steps: steps.to_vec(),
            ops: Vec::new(),
        };
        let new = |numbers: &[u32], number: usize| numbers[number] as usize;
        let image = |part: &Part| match *part {
            Part::Fd(fd) if fd < test.rings.len() => Part::Fd(new(&permutation.rings, fd)),
            Part::Ring(ring) => Part::Ring(new(&permutation.rings, ring)),
            Part::Socket(socket) => Part::Socket(new(&permutation.sockets, socket)),
            Part::Position(socket) => Part::Position(new(&permutation.sockets, socket)),
            Part::Var(var) => Part::Var(new(&permutation.vars, var)),
            Part::ZcrxFd(step) => Part::ZcrxFd(new(steps, step)),
            Part::Region(step) => Part::Region(new(steps, step)),
            Part::Receive(step) => Part::Receive(new(steps, step)),
            Part::Setup(step) => Part::Setup(new(steps, step)),
            Part::Kernel | Part::Run | Part::Threads | Part::Fd(_) => *part,
        };
        let position = |part: Part| parts.iter().position(|p| *p == part).unwrap_or(usize::MAX);
        permutation.ops = parts.iter().map(|part| position(image(part)) as u32).collect();
        permutation
    }
}

/// The permutation that exchanges two threads and as little else as possible.
fn transposition(test: &Test, parts: &[Part], a: usize, b: usize) -> Option<Permutation> {
    let mut matching = Matching::new(test);
    if !matching.match_threads(test, a, b) {
        return None;
    }
    for thread in 0..test.threads.len() {
        let partner = (thread..test.threads.len()).find(|other| {
            matching.threads[thread].is_none() && matching.match_threads(test, thread, *other)
        });
        if matching.threads[thread].is_none() && partner.is_none() {
            return None;
        }
    }
    let mut setup: Vec<Option<u32>> = vec![None; test.setup.len()];
    for step in 0..test.setup.len() {
        let partner = (step..test.setup.len()).find(|other| {
            let mut tried = matching.clone();
            let fits = setup[step].is_none()
                && setup[*other].is_none()
                && tried.match_steps(&test.setup[step], &test.setup[*other]);
            if fits {
                matching = tried;
                match_pair(&mut setup, step as u32, *other as u32);
            }
            fits
        });
        if setup[step].is_none() && partner.is_none() {
            return None;
        }
    }
    if !test.finally.iter().all(|step| matching.match_steps(step, step)) {
        return None;
    }
    let permutation = matching.permutation(test, parts, &steps(test, &setup, &matching.threads));
    is_symmetric(test, &permutation).then_some(permutation)
}

/// The image of each step: set-up steps as matched, steps of a thread with their thread.
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

/// Whether the kernel and the end of a run treat the permuted objects alike.
fn is_symmetric(test: &Test, permutation: &Permutation) -> bool {
    let moved = |numbers: &[u32]| -> Vec<usize> {
        (0..numbers.len()).filter(|i| numbers[*i] as usize != *i).collect()
    };
    let steps: Vec<&Step> = test.steps().collect();
    let ops_symmetric = moved(&permutation.steps).into_iter().all(|step| {
        // A `user_data` of zero also means "no request".
        is_symmetric_op(&steps[step].op)
            && (step != 0 || !matches!(steps[step].op, Op::Recv { .. }))
    });
    let exits = |ring: usize| {
        let mut steps = test.threads.iter().flat_map(|t| &t.steps);
        steps.any(|s| matches!(s.op, Op::Exit { ring: exits } if usize::from(exits) == ring))
    };
    let driver = |ring: u32| test.driver(ring as u8).map(|thread| thread as u32);
    let rings = moved(&permutation.rings).into_iter().all(|ring| {
        let (number, new) = (ring as u8, permutation.rings[ring]);
        let setups = |of: u8| {
            let setups = test.setups.iter().filter(move |(ring, _)| *ring == of);
            setups.map(|(_, setup)| *setup)
        };
        exits(ring) && setups(number).eq(setups(new as u8))
    });
    let drivers = (0..).zip(&permutation.rings).all(|(ring, new)| {
        driver(ring).map(|thread| permutation.threads[thread as usize]) == driver(*new)
    });
    let sockets = moved(&permutation.sockets).into_iter().all(|s| test.sockets[s].queue.is_none());
    let vars = moved(&permutation.vars).into_iter().all(|var| {
        let new = permutation.vars[var] as u16;
        test.vars[var].kind == test.vars[usize::from(new)].kind
            && (!test.observe.contains(&(var as u16)) || test.observe.contains(&new))
    });
    ops_symmetric && rings && drivers && sockets && vars
}

/// Whether an operation does the same for each ring, except for the ring's number.
fn is_symmetric_op(op: &Op) -> bool {
    // The number of a ring, or an id that a permuted ring may have.
    if op.has_literal() {
        return false;
    }
    if let Op::Register { source: Source::Nodev, modifiers, .. } = op {
        // The `user_data` of an event contains the number of its ifq.
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
            | Op::Reset { .. }
            | Op::CloseSocket { .. }
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
    use crate::step_table::StepTable;
    use crate::symmetry::BufferSymmetry;

    fn test(steps: &str) -> Test {
        let text = format!(
            "test t\nrevision import-7.3\nring O A B C\nsocket s t u\nsetup\n\
             ifq = O: register nodev buffers=1 entries=1\nbox = O: export ifq\n{steps}\nexpect holds\n"
        );
        parse("t", &text).unwrap()
    }

    fn permutations_of(steps: &str) -> usize {
        permutation_count(&test(steps))
    }

    #[test]
    fn threads_with_the_same_steps_are_permuted_with_their_objects() {
        let thread = |ring: &str, socket: &str| {
            let name = ring.to_lowercase();
            format!(
                "thread {name}\n{name}1 = {ring}: import box\n{ring}: recv {name}1 {socket}\n{ring}: exit\n"
            )
        };
        let (a, b, c) = (thread("A", "s"), thread("B", "t"), thread("C", "u"));
        assert_eq!(permutations_of(&a), 1);
        assert_eq!(permutations_of(&format!("{a}{b}")), 2);
        assert_eq!(permutations_of(&format!("{a}{b}{c}")), 6);
        assert_eq!(permutations_of(&format!("s: send 1\nt: send 1\n{a}{b}")), 2);
        assert_eq!(
            permutations_of(&format!("s: send 1\n{a}{b}{c}")),
            2,
            "only one connection has data"
        );
        assert_eq!(
            permutations_of(&format!("{a}{b}finally\ns: send 1\n")),
            1,
            "the end names a connection"
        );
        assert_eq!(permutations_of(&format!("{a}{b}observe a1\n")), 1, "one result is observed");
    }

    #[test]
    fn objects_that_the_end_of_a_run_closes_in_order_are_not_permuted() {
        let thread = |ring: &str| format!("thread {ring}\nx{ring} = {ring}: import box\n");
        assert_eq!(permutations_of(&format!("{}{}", thread("A"), thread("B"))), 1);
        let closes = |ring: &str| format!("{}{ring}: exit\n", thread(ring));
        assert_eq!(permutations_of(&format!("{}{}", closes("A"), closes("B"))), 2);
    }

    /// The table contains the images of each recorded step. Inserting a real step that differs from an image,
    /// because a word has an undeclared [`crate::executor::permutation::WordSort`], panics.
    #[test]
    fn recorded_steps_of_permuted_threads_agree_with_the_images_of_each_other() {
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
        assert_eq!(permutation_count(&test), 6);
        for variant in test.variants() {
            let mut table = StepTable::new(BufferSymmetry::NONE, Arc::new(symmetry_group(&test)));
            with_program(&test, &variant, |program| {
                for seed in 0..100 {
                    table.record_run(program, Box::new(Random::new(seed)));
                }
            });
        }
    }

    #[test]
    fn pairs_of_threads_are_permuted_together() {
        let match_pair = |ring: &str, socket: &str| {
            let name = ring.to_lowercase();
            format!(
                "thread {name}\n{name}1 = {ring}: import box\n{ring}: recv {name}1 {socket}\n{ring}: exit\n\
                 thread peer-{name}\n{socket}: send 1\n"
            )
        };
        assert_eq!(
            permutations_of(&format!("{}{}", match_pair("A", "s"), match_pair("B", "t"))),
            2
        );
    }
}
