//! The threads of a run as the kernel sees them: blocked or not, and where (`/proc/self/task`).

use std::sync::atomic::{AtomicI32, Ordering};

use crate::abi::syscall;

/// The kernel thread id of each thread of a run; 0 until the thread has registered itself.
#[derive(Debug)]
pub(super) struct Tasks(Vec<AtomicI32>);

impl Tasks {
    pub(super) fn new(threads: usize) -> Self {
        Tasks((0..threads).map(|_| AtomicI32::new(0)).collect())
    }

    /// The number of threads.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Registers the calling thread under this number.
    pub(super) fn enter(&self, thread: usize) {
        self.0[thread].store(syscall::thread_id(), Ordering::Relaxed);
    }

    fn read(&self, thread: usize, name: &str) -> String {
        let id = self.0[thread].load(Ordering::Relaxed);
        std::fs::read_to_string(format!("/proc/self/task/{id}/{name}")).unwrap_or_default()
    }

    /// Whether a thread is in uninterruptible sleep, for example waiting for a lock.
    pub(super) fn is_blocked(&self, thread: usize) -> bool {
        // The state follows the name, which is in parentheses and may contain any character.
        self.read(thread, "stat").rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('D'))
    }

    /// The kernel stack of a thread, innermost function first.
    pub(super) fn stack(&self, thread: usize) -> String {
        let text = self.read(thread, "stack");
        let names =
            text.lines().filter_map(|line| line.split_whitespace().nth(1)?.split('+').next());
        names.collect::<Vec<_>>().join(" < ")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_thread_that_sleeps_or_runs_is_not_blocked_in_the_kernel() {
        let tasks = Tasks::new(2);
        tasks.enter(0);
        assert!(!tasks.is_blocked(0), "running");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                tasks.enter(1);
                std::thread::sleep(Duration::from_millis(50));
            });
            std::thread::sleep(Duration::from_millis(10));
            assert!(!tasks.is_blocked(1), "in interruptible sleep");
        });
    }
}
