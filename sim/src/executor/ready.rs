//! The enabled threads of a run, kept up to date from step to step.
//!
//! A step changes whether another thread is enabled only if it changes the word that the thread waits for. So
//! the machine looks at the threads that wait for a word when the word changes, and at the thread of a step when
//! the step ends. It need not look at all threads at each step.

/// The threads that have run to a scheduling point and are enabled there.
#[derive(Debug)]
pub(crate) struct ReadyThreads {
    /// In the order of spawning.
    ready: Vec<usize>,
    /// By thread: whether `ready` has it.
    is_ready: Vec<bool>,
    /// The threads that wait for a lock or for a value, with the word; enabled or not.
    waits: Vec<(u32, usize)>,
    /// By word: the number of threads that wait for it.
    waiters: Vec<u32>,
}

impl ReadyThreads {
    pub(crate) const fn new() -> Self {
        ReadyThreads {
            ready: Vec::new(),
            is_ready: Vec::new(),
            waits: Vec::new(),
            waiters: Vec::new(),
        }
    }

    /// No threads.
    pub(crate) fn clear(&mut self) {
        self.ready.clear();
        self.is_ready.clear();
        self.waits.clear();
        self.waiters.clear();
    }

    /// Lists the threads in the order of spawning, but `first` first. Returns whether `first` is one of them.
    pub(crate) fn list(&self, first: usize, out: &mut Vec<usize>) -> bool {
        if !self.is_ready.get(first).copied().unwrap_or_default() {
            out.extend_from_slice(&self.ready);
            return false;
        }
        out.push(first);
        if let Ok(at) = self.ready.binary_search(&first) {
            out.extend_from_slice(&self.ready[..at]);
            out.extend_from_slice(&self.ready[at + 1..]);
        }
        true
    }

    /// Sets whether a thread is enabled.
    pub(crate) fn set(&mut self, thread: usize, enabled: bool) {
        if self.is_ready.len() <= thread {
            self.is_ready.resize(thread + 1, false);
        }
        if std::mem::replace(&mut self.is_ready[thread], enabled) == enabled {
            return;
        }
        match self.ready.binary_search(&thread) {
            Ok(at) => _ = self.ready.remove(at),
            Err(at) => self.ready.insert(at, thread),
        }
    }

    /// A thread begins to wait for a word.
    pub(crate) fn begin_wait(&mut self, thread: usize, word: u32) {
        if self.waiters.len() <= word as usize {
            self.waiters.resize(word as usize + 1, 0);
        }
        self.waiters[word as usize] += 1;
        self.waits.push((word, thread));
    }

    /// A thread takes the step that waited for a word.
    pub(crate) fn end_wait(&mut self, thread: usize, word: u32) {
        if let Some(at) = self.waits.iter().position(|wait| *wait == (word, thread)) {
            self.waits.swap_remove(at);
            self.waiters[word as usize] -= 1;
        }
    }

    /// Whether a thread waits for a word.
    pub(crate) fn has_waiters(&self, word: u32) -> bool {
        self.waiters.get(word as usize).is_some_and(|waiters| *waiters > 0)
    }

    /// The next thread that waits for a word; `at` counts the waits that were looked at.
    pub(crate) fn waiter(&self, word: u32, at: &mut usize) -> Option<usize> {
        let found = self.waits[*at..].iter().position(|(other, _)| *other == word)?;
        *at += found + 1;
        Some(self.waits[*at - 1].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ready: &ReadyThreads, first: usize) -> (bool, Vec<usize>) {
        let mut out = Vec::new();
        (ready.list(first, &mut out), out)
    }

    #[test]
    fn the_thread_that_ran_last_comes_first_and_the_others_in_the_order_of_spawning() {
        let mut ready = ReadyThreads::new();
        [3, 0, 7, 5].into_iter().for_each(|thread| ready.set(thread, true));
        assert_eq!(list(&ready, 5), (true, vec![5, 0, 3, 7]));
        ready.set(5, false);
        assert_eq!(list(&ready, 5), (false, vec![0, 3, 7]));
        assert_eq!(list(&ready, 9), (false, vec![0, 3, 7]));
    }

    #[test]
    fn all_threads_that_wait_for_a_word_are_found_and_no_others() {
        let mut ready = ReadyThreads::new();
        for (thread, word) in [(1, 8), (2, 9), (3, 8), (4, 8)] {
            ready.begin_wait(thread, word);
        }
        ready.end_wait(3, 8);
        let waiters = |word| {
            let mut at = 0;
            let mut found: Vec<usize> =
                std::iter::from_fn(|| ready.waiter(word, &mut at)).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(waiters(8), [1, 4]);
        assert!(ready.has_waiters(9) && !ready.has_waiters(7) && !ready.has_waiters(100));
    }
}
