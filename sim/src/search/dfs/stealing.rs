//! Work stealing: hands over parts of the stack, and estimates the share that is complete.

use super::{Dfs, STOLEN};
use crate::search::job::SearchJob;

impl Dfs<'_> {
    /// The share of the whole search that this job has completed.
    pub(crate) fn share(&self) -> f64 {
        let (mut done, mut rest) = (0.0, self.share);
        for (index, frame) in self.frames.iter().enumerate() {
            let end = self.frames.get(index + 1).map_or(self.todo.len(), |next| next.todo);
            let open = self.todo[frame.todo..end].iter().filter(|t| **t != STOLEN).count();
            let total = frame.total.max(1) as f64;
            done += rest * (frame.total.saturating_sub(open + frame.stolen)) as f64 / total;
            rest /= total;
        }
        if self.frames.is_empty() { rest } else { done }
    }

    /// Removes the unexplored branches of the shallowest frame that has any, as a job for an idle worker.
    pub(crate) fn steal_branch(&mut self) -> Option<SearchJob> {
        let mut rest = self.share;
        for index in 0..self.frames.len() {
            let frame = &self.frames[index];
            let each = rest / frame.total.max(1) as f64;
            let end = self.frames.get(index + 1).map_or(self.todo.len(), |next| next.todo);
            // The last thread is being explored.
            let open = frame.todo..end.saturating_sub(1).max(frame.todo);
            let stolen = self.todo[open].iter_mut().map(|t| std::mem::replace(t, STOLEN));
            let stolen: Vec<u32> = stolen.filter(|thread| *thread != STOLEN).collect();
            if !stolen.is_empty() {
                let path = self.decisions[..frame.decisions].to_vec();
                let (independent, share) = (frame.independent, each * stolen.len() as f64);
                self.frames[index].stolen += stolen.len();
                let (todo, choices) = (Some(stolen), Vec::new());
                return Some(SearchJob { path, todo, choices, independent, share });
            }
            rest = each;
        }
        None
    }

    /// Removes all unexplored branches, as jobs.
    pub(crate) fn drain_jobs(&mut self) -> Vec<SearchJob> {
        let mut jobs = Vec::new();
        while let Some(mut frame) = self.frames.pop() {
            let mut todo = self.todo.split_off(frame.todo);
            if frame.undo_point.is_some() && !frame.choices.advance() {
                todo.pop();
                frame.choices.reset();
            }
            todo.retain(|thread| *thread != STOLEN);
            if !todo.is_empty() {
                let path = self.decisions[..frame.decisions].to_vec();
                let choices = frame.choices.taken().to_vec();
                let (independent, share) = (frame.independent, 0.0);
                jobs.push(SearchJob { path, todo: Some(todo), choices, independent, share });
            }
        }
        jobs
    }
}
