//! Lines of the kernel log that report an error in the kernel.

/// Texts in the kernel log that report an error in the kernel.
const ERRORS: [&str; 30] = [
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
    "rcu: INFO:",
    "detected stalls on CPUs",
    "workqueue lockup",
    "Voluntary context switch within RCU read-side critical section",
    "memory leaks",
    "unreferenced object",
    "stalled pool shutdown",
    "DMA fault",
    "Kernel panic",
];
/// Texts of lines that contain such a text and report no error: a sanitizer starts or is disabled.
const HARMLESS: [&str; 2] = ["kfence: initialized", "KFENCE disabled"];
/// Lines that are shown from the first error on.
const SHOWN_LINES: usize = 12;

/// The first line that reports an error in the kernel, with some lines after it. `None`: there is none.
#[must_use]
pub fn error_in(lines: &[&str]) -> Option<String> {
    let at = lines.iter().position(|line| is_error(line))?;
    Some(lines[at..lines.len().min(at + SHOWN_LINES)].join("\n"))
}

/// Whether a line reports an error in the kernel.
#[must_use]
pub fn is_error(line: &str) -> bool {
    ERRORS.iter().any(|error| has_word(line, error))
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
    fn a_warning_is_found_with_the_lines_after_it_and_a_normal_log_has_none() {
        let log = "[1] eth0: up\n[2] WARNING: CPU: 0 at zcrx.c:1\n[3] Call Trace:\n";
        let found = error_in(&log.lines().collect::<Vec<_>>()).unwrap();
        assert!(found.contains("zcrx.c:1") && found.contains("Call Trace"));
        assert!(!found.contains("eth0"));
        assert_eq!(error_in(&["[1] eth0: up", "[2] DEBUG nothing"]), None);
        assert!(error_in(&["[1] BUG kmalloc-64 (Not tainted): Poison overwritten"]).is_some());
        for text in [
            "refcount_t: underflow; use-after-free.",
            "INFO: task x blocked for more than 9 s",
            "BUG: Bad page state in process ifq",
            "kmemleak: 3 new suspected memory leaks",
            "page_pool_release_retry() stalled pool shutdown: id 1, 2 inflight 60 sec",
            "WARNING: possible recursive locking detected",
            "BUG: KASAN: slab-use-after-free in io_zcrx_ring_refill",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-...D }",
            "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [ifq:1]",
            "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!",
            "BUG: KCSAN: data-race in io_zcrx_ring_refill / zcrx_flush_rq",
            "UBSAN: shift-out-of-bounds in io_uring/zcrx.c:88:40",
            "WARNING: possible circular locking dependency detected",
            "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:591",
            "WARNING: suspicious RCU usage",
            "unreferenced object 0xffff888104ab3400 (size 512):",
            "softnic softnic sn0: DMA fault: queue 0 writes to a buffer that is not mapped",
        ] {
            assert!(error_in(&[text]).is_some(), "{text}");
        }
        assert_eq!(error_in(&["kfence: initialized - using 2097152 bytes"]), None);
    }
}
