//! What the kernel says about itself: its log and its taint.

use crate::abi::syscall;

/// Words in the kernel's log that mean something is wrong in the kernel.
const ALARMS: [&str; 24] = [
    "WARNING:",
    "BUG:",
    "BUG ",
    "kernel BUG at",
    "Oops",
    "general protection fault",
    "KASAN",
    "KCSAN",
    "KFENCE",
    "UBSAN",
    "refcount_t:",
    "Bad page state",
    "Object corruption",
    "Poison overwritten",
    "list_add corruption",
    "list_del corruption",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "suspicious RCU usage",
    "blocked for more than",
    "memory leaks",
    "stalled pool shutdown",
    "Kernel panic",
];
/// What stands in a line with one of those words and is no alarm: that a tool begins or cannot.
const HARMLESS: [&str; 2] = ["kfence: initialized", "KFENCE disabled"];
/// Lines of one alarm that are shown.
const SHOWN: usize = 12;

/// The kernel's state before a test; compared with the one after it.
#[derive(Clone, Debug)]
pub struct KernelLogWatch {
    log: Option<String>,
    taint: Option<u64>,
}

impl KernelLogWatch {
    /// Begins to watch. Without the right to read the log only the taint is watched.
    #[must_use]
    pub fn start() -> Self {
        KernelLogWatch { log: syscall::kernel_log().ok(), taint: taint() }
    }

    /// What the kernel complained about since then, and begins again.
    pub fn new_warnings(&mut self) -> Vec<String> {
        let now = KernelLogWatch::start();
        let mut found = Vec::new();
        if let (Some(before), Some(after)) = (&self.log, &now.log) {
            found = alarms(fresh(before, after));
        }
        if let (Some(before), Some(after)) = (self.taint, now.taint)
            && before != after
        {
            found.push(format!("the kernel's taint went from {before} to {after}"));
        }
        *self = now;
        found
    }
}

fn taint() -> Option<u64> {
    std::fs::read_to_string("/proc/sys/kernel/tainted").ok()?.trim().parse().ok()
}

/// What was logged after `before` was read. The log is a ring: if the end of `before` is not in it
/// any more, all of it is new.
fn fresh<'a>(before: &str, after: &'a str) -> &'a str {
    let Some(last) = before.lines().next_back() else {
        return after;
    };
    match after.rfind(last) {
        Some(at) => &after[at + last.len()..],
        None => after,
    }
}

fn alarms(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.iter().position(|line| is_alarm(line));
    match first {
        Some(at) => {
            let end = lines.len().min(at + SHOWN);
            vec![format!("the kernel's log says:\n{}", lines[at..end].join("\n"))]
        }
        None => Vec::new(),
    }
}

fn is_alarm(line: &str) -> bool {
    ALARMS.iter().any(|alarm| has_word(line, alarm))
        && !HARMLESS.iter().any(|harmless| line.contains(harmless))
}

/// Whether a text stands in a line, not as the end of a longer word: `DEBUG ` is no `BUG `.
fn has_word(line: &str, text: &str) -> bool {
    line.match_indices(text)
        .any(|(at, _)| !line[..at].chars().next_back().is_some_and(char::is_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_logged_since_is_looked_at() {
        assert_eq!(
            fresh("<6>[1.0] a\n<6>[2.0] b", "<6>[1.0] a\n<6>[2.0] b\n<4>[3.0] c"),
            "\n<4>[3.0] c"
        );
        assert_eq!(fresh("<6>[2.0] b", "<4>[3.0] c"), "<4>[3.0] c");
        assert_eq!(fresh("", "x"), "x");
    }

    #[test]
    fn an_alarm_is_found_with_the_lines_behind_it_and_a_quiet_log_has_none() {
        let log = "[1] eth0: up\n[2] WARNING: CPU: 0 at zcrx.c:1\n[3] Call Trace:\n";
        let found = alarms(log);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("zcrx.c:1") && found[0].contains("Call Trace"));
        assert!(!found[0].contains("eth0"));
        assert!(alarms("[1] eth0: up\n[2] DEBUG nothing\n").is_empty());
        assert_eq!(alarms("[1] BUG kmalloc-64 (Not tainted): Poison overwritten").len(), 1);
        for text in [
            "refcount_t: underflow; use-after-free.",
            "INFO: task x blocked for more than 9 s",
            "BUG: Bad page state in process ifq",
            "kmemleak: 3 new suspected memory leaks",
            "page_pool_release_retry() stalled pool shutdown: id 1, 2 inflight 60 sec",
            "WARNING: possible recursive locking detected",
            "BUG: KASAN: slab-use-after-free in io_zcrx_ring_refill",
        ] {
            assert_eq!(alarms(text).len(), 1, "{text}");
        }
        assert!(alarms("kfence: initialized - using 2097152 bytes").is_empty());
    }
}
