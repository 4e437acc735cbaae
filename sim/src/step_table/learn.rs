//! Real runs that teach the tree.

use ifq_model::fault::FaultPoint;
use ifq_model::outcome::Outcome;

use super::absorb::End;
use super::{Code, NONE};
use crate::executor::machine::Machine;
use crate::executor::record::{Names, Recorder};
use crate::executor::run::{Program, RunResult, run_observed};
use crate::executor::scheduler::{Scheduler, SchedulingPoint};
use crate::executor::threads::Pending;

/// Takes decisions as they were taken, goes on for some more steps, and ends the run.
struct Follow {
    decisions: std::vec::IntoIter<u32>,
    more: u32,
}

impl Scheduler for Follow {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let Some(thread) = self.decisions.next() else {
            self.more = self.more.checked_sub(1)?;
            return Some(0);
        };
        point.enabled.iter().position(|t| *t == thread as usize)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.decisions.next() == Some(1)
    }
}

impl Code {
    /// Runs the program along a path of decisions and learns every step of it; then for `more` steps,
    /// in the order in which a search goes on.
    pub(crate) fn learn(
        &mut self,
        program: &Program<'_>,
        decisions: &[u32],
        more: u32,
    ) -> RunResult {
        let decisions = Vec::from(decisions).into_iter();
        self.learn_with(program, Box::new(Follow { decisions, more }))
    }

    /// Runs the program under a scheduler and learns every step of it.
    pub(crate) fn learn_with(
        &mut self,
        program: &Program<'_>,
        scheduler: Box<dyn Scheduler>,
    ) -> RunResult {
        let names = std::mem::replace(&mut self.names, Names::nothing());
        let recorder = Recorder::new(names);
        // Of each thread: where it stands, and in which of its operations.
        let mut at: Vec<(u32, u32)> = vec![(Code::FIRST, 0)];
        let mut after = |m: &mut Machine, outcome: Option<&Outcome>| {
            let Some(mut recorder) = m.recorder.take() else { return };
            std::mem::swap(&mut self.names, &mut recorder.names);
            let current = m.current;
            let thread = &m.threads[current];
            let end = end_of(m, &recorder, outcome.filter(|_| current == 0));
            let (from, op) = at[current];
            at[current] = (self.absorb(from, op, &recorder.events, &end), thread.op);
            for thread in &m.threads[at.len()..] {
                at.push((self.start(thread.slot, thread.key), 0));
            }
            std::mem::swap(&mut self.names, &mut recorder.names);
            m.recorder = Some(recorder);
        };
        let (result, recorder) = run_observed(program, scheduler, Some(recorder), &mut after);
        if let Some(recorder) = recorder {
            self.names = recorder.names;
        }
        debug_assert!(self.stops[Code::FIRST as usize].next != NONE);
        result
    }
}

fn end_of<'a>(m: &Machine, recorder: &Recorder, outcome: Option<&'a Outcome>) -> End<'a> {
    if let Some(local) = recorder.stopped() {
        return if local { End::Fail } else { End::Cut };
    }
    let thread = &m.threads[m.current];
    let word = |word: u32| recorder.word(word);
    let (pending, hash) = match thread.pending {
        Pending::Access { word: w, write, acquire } => {
            (Pending::Access { word: word(w), write, acquire }, thread.local_state())
        }
        Pending::Lock { word: w } => (Pending::Lock { word: word(w) }, thread.local_state()),
        Pending::WaitUntil { word: w, min, quiesce } => {
            (Pending::WaitUntil { word: word(w), min, quiesce }, thread.local_state())
        }
        Pending::Start => (Pending::Start, thread.local_state()),
        Pending::Done => (Pending::Done, 0),
    };
    let locks = thread.locks.iter().map(|lock| word(*lock)).collect();
    End::Stop { slot: thread.slot, pending, hash: Some(hash), locks, outcome }
}
