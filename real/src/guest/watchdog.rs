//! The watchdog of a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::answer::AnswerWriter;
use super::init::power_off;
use crate::job::JobLine;
use crate::live::kernel_log::KernelLogWatch;

/// Time between two progress reports.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);

/// Reports progress of a test. If the test is stuck, reports that and ends the guest, because threads
/// that hang in the kernel cannot be joined.
pub(super) struct Watchdog {
    over: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Watchdog {
    pub(super) fn start(
        test: usize,
        done: Arc<AtomicU32>,
        answer: AnswerWriter,
        limit: Duration,
    ) -> Self {
        let (over, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut log = KernelLogWatch::start();
            let (mut last, mut since) = (0, Instant::now());
            while ended.recv_timeout(BEAT_INTERVAL)
                == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                let now = done.load(Ordering::Relaxed);
                if now != last {
                    (last, since) = (now, Instant::now());
                    // The test continues even if no process reads the answer.
                    let _ = answer.write(&JobLine::Beat { test, done: now });
                } else if since.elapsed() > limit {
                    let tasks = [thread_stacks(), log.new_warnings(&[])].concat();
                    let _ = answer.write(&JobLine::Stuck { test, done: now, tasks });
                    answer.drain();
                    end_stuck();
                }
            }
        });
        Watchdog { over, thread }
    }

    pub(super) fn stop(self) {
        drop(self.over);
        // A panic of the watchdog does not concern the test.
        let _ = self.thread.join();
    }
}

fn end_stuck() -> ! {
    if std::process::id() == 1 {
        power_off()
    }
    std::process::exit(1)
}

/// The kernel stack of each thread of this process, or its wait channel.
fn thread_stacks() -> Vec<String> {
    let Ok(dir) = std::fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    dir.flatten()
        .map(|task| {
            let read = |name: &str| std::fs::read_to_string(task.path().join(name));
            let id = task.file_name().to_string_lossy().into_owned();
            let stack = read("stack").or_else(|_| read("wchan")).unwrap_or_default();
            format!("thread {id}: {}", stack.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}
