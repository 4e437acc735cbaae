//! The kernel log and the taint flags: warnings that the kernel reported during a test.

use crate::abi::syscall;

/// Texts in the kernel log that report an error in the kernel.
const WARNINGS: [&str; 24] = [
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
/// Texts of lines that contain such a text and report no error: a sanitizer starts or is disabled.
const HARMLESS: [&str; 2] = ["kfence: initialized", "KFENCE disabled"];
/// Lines that are shown from the first warning on.
const SHOWN_LINES: usize = 12;

/// The kernel log and the taint flags at one time.
#[derive(Clone, Debug)]
pub struct KernelLogWatch {
    log: Option<String>,
    taint: Option<u64>,
}

impl KernelLogWatch {
    /// Starts to watch. Without permission to read the log only the taint flags are watched.
    #[must_use]
    pub fn start() -> Self {
        KernelLogWatch { log: syscall::kernel_log().ok(), taint: taint() }
    }

    /// The warnings since the start or the last call.
    pub fn new_warnings(&mut self) -> Vec<String> {
        let now = KernelLogWatch::start();
        let mut found = Vec::new();
        if let (Some(before), Some(after)) = (&self.log, &now.log) {
            found = warnings(new_part(before, after));
        }
        if let (Some(before), Some(after)) = (self.taint, now.taint)
            && before != after
        {
            found.push(format!("the kernel taint changed from {before} to {after}"));
        }
        *self = now;
        found
    }
}

fn taint() -> Option<u64> {
    std::fs::read_to_string("/proc/sys/kernel/tainted").ok()?.trim().parse().ok()
}

/// The part of the log that was added after `before` was read. The log is a ring buffer: if it does not
/// contain the end of `before` any more, all of it is new.
fn new_part<'a>(before: &str, after: &'a str) -> &'a str {
    let Some(last) = before.lines().next_back() else {
        return after;
    };
    match after.rfind(last) {
        Some(at) => &after[at + last.len()..],
        None => after,
    }
}

fn warnings(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.iter().position(|line| is_warning(line));
    match first {
        Some(at) => {
            let end = lines.len().min(at + SHOWN_LINES);
            vec![format!("kernel log:\n{}", lines[at..end].join("\n"))]
        }
        None => Vec::new(),
    }
}

fn is_warning(line: &str) -> bool {
    WARNINGS.iter().any(|warning| has_word(line, warning))
        && !HARMLESS.iter().any(|harmless| line.contains(harmless))
}

/// Whether a line contains a text that is not the end of a longer word: `DEBUG ` does not match `BUG `.
fn has_word(line: &str, text: &str) -> bool {
    line.match_indices(text)
        .any(|(at, _)| !line[..at].chars().next_back().is_some_and(char::is_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_new_part_of_the_log_is_searched() {
        assert_eq!(
            new_part("<6>[1.0] a\n<6>[2.0] b", "<6>[1.0] a\n<6>[2.0] b\n<4>[3.0] c"),
            "\n<4>[3.0] c"
        );
        assert_eq!(new_part("<6>[2.0] b", "<4>[3.0] c"), "<4>[3.0] c");
        assert_eq!(new_part("", "x"), "x");
    }

    #[test]
    fn a_warning_is_found_with_the_lines_after_it_and_a_normal_log_has_none() {
        let log = "[1] eth0: up\n[2] WARNING: CPU: 0 at zcrx.c:1\n[3] Call Trace:\n";
        let found = warnings(log);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("zcrx.c:1") && found[0].contains("Call Trace"));
        assert!(!found[0].contains("eth0"));
        assert!(warnings("[1] eth0: up\n[2] DEBUG nothing\n").is_empty());
        assert_eq!(warnings("[1] BUG kmalloc-64 (Not tainted): Poison overwritten").len(), 1);
        for text in [
            "refcount_t: underflow; use-after-free.",
            "INFO: task x blocked for more than 9 s",
            "BUG: Bad page state in process ifq",
            "kmemleak: 3 new suspected memory leaks",
            "page_pool_release_retry() stalled pool shutdown: id 1, 2 inflight 60 sec",
            "WARNING: possible recursive locking detected",
            "BUG: KASAN: slab-use-after-free in io_zcrx_ring_refill",
        ] {
            assert_eq!(warnings(text).len(), 1, "{text}");
        }
        assert!(warnings("kfence: initialized - using 2097152 bytes").is_empty());
    }
}
