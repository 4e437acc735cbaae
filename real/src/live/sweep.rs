//! A sweep over the failures of a test's calls: each call fails at each place at which the kernel can inject a failure.

use std::fs;

use ifq_model::test::{Op, Step, Test};

use super::injection::{How, Injection};
use crate::abi::syscall;
use crate::job::FailedCall;

/// The folders of the kinds of failures in debugfs.
const KINDS: [&str; 3] = ["failslab", "fail_page_alloc", "fail_usercopy"];
/// A call with more places is left at this one.
const MAX_PLACES: u32 = 400;
/// The line with which the kernel reports a failure.
const REPORT: &str = "FAULT_INJECTION: forcing a failure";
/// In the name of the system call's function, whatever the compiler has inlined.
const SYSTEM_CALL: &str = "sys_io_uring_register";

/// Prepares the kernel: all allocations can fail, and each failure is reported with its stack, but not on the console.
///
/// # Errors
///
/// A message for the user: the kernel cannot inject failures.
pub(super) fn prepare() -> Result<(), String> {
    if fs::read("/proc/thread-self/fail-nth").is_err() {
        return Err("the kernel has no /proc/thread-self/fail-nth (CONFIG_FAULT_INJECTION)".into());
    }
    let write = |kind: &str, file: &str, value: &str| {
        // A kind of failure does not have all files.
        let _ = fs::write(format!("/sys/kernel/debug/{kind}/{file}"), value);
    };
    for kind in KINDS {
        write(kind, "ignore-gfp-wait", "N");
        write(kind, "min-order", "0");
        write(kind, "verbose", "2");
        write(kind, "verbose_ratelimit_interval_ms", "0");
    }
    syscall::set_console_level(1).map_err(|error| format!("the level of the console: {error}"))
}

/// The place of the next failure.
#[derive(Debug)]
pub(super) struct Sweep<'t> {
    steps: Vec<(usize, &'t Step)>,
    nth: u32,
}

impl<'t> Sweep<'t> {
    /// Of all calls of a test that register, share or control an ifq.
    pub(super) fn of(test: &'t Test) -> Self {
        let calls = |step: &&Step| {
            matches!(
                step.op,
                Op::Register { .. }
                    | Op::Import { .. }
                    | Op::Clone { .. }
                    | Op::Export { .. }
                    | Op::AddArea { .. }
                    | Op::Arm { .. }
                    | Op::Flush { .. }
            )
        };
        let mut steps: Vec<_> = test.steps().enumerate().filter(|(_, step)| calls(step)).collect();
        steps.reverse();
        Sweep { steps, nth: 1 }
    }

    /// The failure of the next repetition. `None`: all have been tried.
    pub(super) fn next(&self) -> Option<Injection<'t>> {
        self.steps.last().map(|(_, step)| Injection::at(step, How::Nth(self.nth)))
    }

    /// The repetition is over. `failed`: whether the call had such a place. Returns the step and the place.
    pub(super) fn advance(&mut self, failed: bool) -> Option<(usize, u32)> {
        let (step, nth) = (self.steps.last()?.0, self.nth);
        if failed && nth < MAX_PLACES {
            self.nth += 1;
        } else {
            self.steps.pop();
            self.nth = 1;
        }
        failed.then_some((step, nth))
    }
}

/// The reports of failures in the kernel log.
#[derive(Debug)]
pub(super) struct FailureLog(usize);

impl FailureLog {
    pub(super) fn start() -> Self {
        FailureLog(reports(&syscall::kernel_log().unwrap_or_default()).len())
    }

    /// The stack of the one failure of a register call since the start or the last call: kind and functions, the
    /// innermost first.
    pub(super) fn new_failure(&mut self) -> Option<(String, Vec<String>)> {
        let log = syscall::kernel_log().ok()?;
        let all = reports(&log);
        // The log is a ring buffer: old reports may have left it.
        let new = all.get(self.0..).filter(|new| !new.is_empty()).unwrap_or(&all);
        let found = new.iter().rev().find(|(_, stack)| is_of_call(stack)).cloned();
        self.0 = all.len();
        found
    }
}

/// Whether the failure was in a register call, and not in a copy of the injection's own file.
fn is_of_call(stack: &[String]) -> bool {
    stack.iter().any(|function| function.ends_with(SYSTEM_CALL))
}

/// The reports of a log: kind and functions of each.
fn reports(log: &str) -> Vec<(String, Vec<String>)> {
    let parts = log.split(REPORT).skip(1);
    parts
        .map(|part| {
            let kind = part.lines().find_map(|line| line.split_once("name ")?.1.split(',').next());
            let stack = part.lines().filter_map(function).collect();
            (kind.unwrap_or_default().to_owned(), stack)
        })
        .collect()
}

/// The function of a line of a stack. `None`: it is none, or a stale address.
fn function(line: &str) -> Option<String> {
    let line = line.split_once("] ").map_or(line, |(_, text)| text).trim();
    let (name, offset) = line.split_once("+0x")?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
    (is_name && offset.contains("/0x")).then(|| name.to_owned())
}

/// A failure with what user space saw.
pub(super) fn failed_call(
    (step, nth): (usize, u32),
    log: &mut FailureLog,
    outcome: &ifq_model::outcome::Outcome,
) -> FailedCall {
    let (kind, stack) = log.new_failure().unwrap_or_default();
    FailedCall { step, nth, kind, stack, outcome: outcome.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log of 7.3.4 after two failures.
    const RECORDED: &str = include_str!("../../tests/kernel-build/fail-nth.log");

    #[test]
    fn each_failure_of_the_log_has_its_kind_and_the_functions_of_its_stack() {
        let found = reports(RECORDED);
        assert_eq!(found.len(), 2);
        for (kind, stack) in &found {
            assert!(KINDS.contains(&&**kind), "{kind}");
            assert!(is_of_call(stack), "{stack:?}");
            assert!(stack.iter().any(|name| name.starts_with("should_fail")), "{stack:?}");
            assert!(stack.iter().all(|name| !name.contains(['?', ' '])), "{stack:?}");
        }
    }

    #[test]
    fn a_sweep_tries_each_place_of_each_call_and_goes_on_where_a_call_has_no_more() {
        let text = "test t\nrevision import-7.3\nring A\nsocket s\nsetup\n \
                    ifq = A: register nodev buffers=1 entries=1\nthread a\n b = A: export ifq\n \
                    y = s: send 1\nexpect holds";
        let test = ifq_sim::format::parse("t.ifq", text).unwrap();
        let mut sweep = Sweep::of(&test);
        let mut seen = Vec::new();
        for failed in [true, true, false, true, false] {
            assert!(sweep.next().is_some());
            seen.extend(sweep.advance(failed));
        }
        assert_eq!(seen, [(0, 1), (0, 2), (1, 1)]);
        assert!(sweep.next().is_none());
    }
}
