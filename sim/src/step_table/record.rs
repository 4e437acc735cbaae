//! Executes the program and records its steps.

use ifq_model::fault::FaultPoint;
use ifq_model::outcome::Outcome;

use super::insert::StepEnd;
use super::{NONE, StepTable};
use crate::executor::machine::Machine;
use crate::executor::recorder::Recorder;
use crate::executor::run::{Program, RunResult, run_recorded};
use crate::executor::scheduler::{Scheduler, SchedulingPoint};
use crate::executor::symbols::SymbolTable;
use crate::executor::threads::Pending;

/// Follows a path of decisions, continues for some steps, and ends the run.
struct PathReplay {
    decisions: std::vec::IntoIter<u32>,
    steps_ahead: u32,
}

impl Scheduler for PathReplay {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let Some(thread) = self.decisions.next() else {
            self.steps_ahead = self.steps_ahead.checked_sub(1)?;
            return Some(0);
        };
        point.enabled.iter().position(|t| *t == thread as usize)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.decisions.next() == Some(1)
    }
}

impl StepTable {
    /// Executes the program along a path of decisions and records every step of it, and of the next
    /// `steps_ahead` steps in the order of the depth-first search.
    pub(crate) fn record_path(
        &mut self,
        program: &Program<'_>,
        decisions: &[u32],
        steps_ahead: u32,
    ) -> RunResult {
        let decisions = Vec::from(decisions).into_iter();
        self.record_run(program, Box::new(PathReplay { decisions, steps_ahead }))
    }

    /// Executes the program under a scheduler and records every step.
    pub(crate) fn record_run(
        &mut self,
        program: &Program<'_>,
        scheduler: Box<dyn Scheduler>,
    ) -> RunResult {
        let symbols = std::mem::replace(&mut self.symbols, SymbolTable::empty());
        let recorder = Recorder::new(symbols);
        // Program point and operation of each thread.
        let mut at: Vec<(u32, u32)> = vec![(StepTable::FIRST, 0)];
        let mut after_step = |m: &mut Machine, outcome: Option<&Outcome>| {
            let Some(mut recorder) = m.recorder.take() else { return };
            std::mem::swap(&mut self.symbols, &mut recorder.symbols);
            let current = m.current;
            let thread = &m.threads[current];
            let end = end_of(m, &recorder, outcome.filter(|_| current == 0));
            let (from, op) = at[current];
            at[current] = (self.insert(from, op, &recorder.events, &end), thread.op);
            for thread in &m.threads[at.len()..] {
                at.push((self.start(thread.slot, thread.key), 0));
            }
            std::mem::swap(&mut self.symbols, &mut recorder.symbols);
            m.recorder = Some(recorder);
        };
        let (result, recorder) = run_recorded(program, scheduler, Some(recorder), &mut after_step);
        if let Some(recorder) = recorder {
            self.symbols = recorder.symbols;
        }
        debug_assert!(self.points[StepTable::FIRST as usize].next != NONE);
        result
    }
}

/// The end of the current step, in words of the symbol table.
fn end_of<'a>(m: &Machine, recorder: &Recorder, outcome: Option<&'a Outcome>) -> StepEnd<'a> {
    if let Some(local) = recorder.violation_is_local() {
        return if local { StepEnd::LocalViolation } else { StepEnd::MemoryViolation };
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
    StepEnd::Point { slot: thread.slot, pending, hash: Some(hash), locks, outcome }
}
