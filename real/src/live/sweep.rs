//! A sweep over the failures of a test's calls: each call fails at each place at which the kernel can inject a failure.

use std::fs;

use ifq_model::test::{Op, Step, Test};

use super::injection::{How, Injection};
use crate::abi::syscall;
use crate::abi::syscall::fail_nth::FailAt;
use crate::job::FailedCall;

/// The folders of the kinds of failures in debugfs.
const KINDS: [&str; 3] = ["failslab", "fail_page_alloc", "fail_usercopy"];
/// A call with more places is left at this one.
const MAX_PLACES: u32 = 400;
/// The line with which the kernel reports a failure.
const REPORT: &str = "FAULT_INJECTION: forcing a failure";
/// In the name of the system call's function, whatever the compiler has inlined.
const SYSTEM_CALLS: [&str; 2] = ["sys_io_uring_register", "sys_io_uring_enter"];

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
    // For the second failure in a call ([`fail_nth`]): only in threads that ask for it, and none so far.
    for (file, value) in [("task-filter", "Y"), ("times", "0"), ("probability", "100")] {
        write(KINDS[0], file, value);
    }
    syscall::set_console_level(1).map_err(|error| format!("the level of the console: {error}"))
}

/// The place of the next failure.
#[derive(Debug)]
pub(super) struct Sweep<'t> {
    steps: Vec<(usize, &'t Step)>,
    next: FailAt,
}

/// The first place of a call.
const FIRST: FailAt = FailAt { nth: 1, twice: false };

impl<'t> Sweep<'t> {
    /// Of all calls of a test that register, share or control an ifq, or run its requests.
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
                    | Op::Recv { .. }
                    | Op::Wait { .. }
            )
        };
        let mut steps: Vec<_> = test.steps().enumerate().filter(|(_, step)| calls(step)).collect();
        steps.reverse();
        Sweep { steps, next: FIRST }
    }

    /// The failure of the next repetition. `None`: all have been tried.
    pub(super) fn next(&self) -> Option<Injection<'t>> {
        self.steps.last().map(|(_, step)| Injection::at(step, How::Nth(self.next)))
    }

    /// The repetition is over. `failure`: the stack of the failure, if the call had such a place. Returns the step and
    /// the place.
    ///
    /// The kernel reports no failure of an allocation with `__GFP_NOWARN`. An xarray allocates a node so, and again
    /// without its lock (`__xas_nomem`, lib/xarray.c): both must fail.
    pub(super) fn advance(&mut self, failure: Option<&[String]>) -> Option<(usize, FailAt)> {
        let (step, place) = (self.steps.last()?.0, self.next);
        match failure {
            Some([]) if !place.twice => self.next.twice = true,
            Some(_) if place.nth < MAX_PLACES => {
                self.next = FailAt { nth: place.nth + 1, twice: false };
            }
            _ => {
                self.steps.pop();
                self.next = FIRST;
            }
        }
        failure.map(|_| (step, place))
    }
}

/// The reports of failures in the kernel log: the last one that was seen.
#[derive(Debug)]
pub(super) struct FailureLog(Option<Failure>);

impl FailureLog {
    pub(super) fn start() -> Self {
        FailureLog(reports(&syscall::kernel_log().unwrap_or_default()).pop())
    }

    /// The stack of the last failure of a system call of io_uring since the start or the last call: kind and places,
    /// the innermost first. `None`: the kernel reported none.
    pub(super) fn new_failure(&mut self) -> Option<(String, Vec<String>)> {
        self.new_in(reports(&syscall::kernel_log().ok()?))
    }

    fn new_in(&mut self, mut all: Vec<Failure>) -> Option<(String, Vec<String>)> {
        // The log is a ring buffer: the last report that was seen may have left it.
        let seen = all.iter().rposition(|report| Some(&report.header) == self.header());
        let mut new = all.split_off(seen.map_or(0, |at| at + 1));
        let found = new.iter().rposition(|report| is_of_call(&report.stack));
        let found = found.map(|at| new[at].clone());
        self.0 = new.pop().or_else(|| self.0.take());
        found.map(|report| (report.kind, report.stack))
    }

    fn header(&self) -> Option<&String> {
        self.0.as_ref().map(|report| &report.header)
    }
}

/// A failure that the kernel reports.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    /// Its line with kind and time, which no other report has.
    header: String,
    /// The kind of failure, such as `failslab`.
    kind: String,
    /// The places on the stack, the innermost first.
    stack: Vec<String>,
}

/// Whether the failure was in a system call of io_uring, and not in a copy of the injection's own file.
fn is_of_call(stack: &[String]) -> bool {
    let is_call = |place: &String| {
        place
            .split('+')
            .next()
            .is_some_and(|name| SYSTEM_CALLS.iter().any(|call| name.ends_with(call)))
    };
    stack.iter().any(is_call)
}

/// The reports of a log.
fn reports(log: &str) -> Vec<Failure> {
    let report = |part: &str| {
        let header = part.lines().find(|line| line.contains("name "))?;
        let kind = header.split_once("name ")?.1.split(',').next()?.to_owned();
        let stack = part.lines().filter_map(place).collect();
        Some(Failure { header: header.to_owned(), kind, stack })
    };
    log.split(REPORT).skip(1).filter_map(report).collect()
}

/// The place of a line of a stack, such as `io_pin_pages+0x1f`. `None`: it is none, or a stale address.
fn place(line: &str) -> Option<String> {
    let line = line.split_once("] ").map_or(line, |(_, text)| text).trim();
    let (name, offset) = line.split_once("+0x")?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
    let (offset, _) = offset.split_once("/0x")?;
    is_name.then(|| format!("{name}+0x{offset}"))
}

/// A failure with what user space saw.
pub(super) fn failed_call(
    (step, place): (usize, FailAt),
    (kind, stack): (String, Vec<String>),
    outcome: &ifq_model::outcome::Outcome,
) -> FailedCall {
    FailedCall { step, nth: place.nth, twice: place.twice, kind, stack, outcome: outcome.clone() }
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
        for Failure { kind, stack, .. } in &found {
            assert!(KINDS.contains(&&**kind), "{kind}");
            assert!(is_of_call(stack), "{stack:?}");
            assert!(stack.iter().any(|name| name.starts_with("should_fail")), "{stack:?}");
            assert!(stack.iter().all(|place| !place.contains(['?', ' ', '/'])), "{stack:?}");
            assert!(stack.iter().all(|place| place.contains("+0x")), "{stack:?}");
        }
    }

    #[test]
    fn a_failure_is_new_once_also_when_earlier_ones_have_left_the_log() {
        let all = reports(RECORDED);
        let stack = |at: usize| Some((all[at].kind.clone(), all[at].stack.clone()));
        let mut log = FailureLog(None);
        assert_eq!(log.new_in(all[..1].to_vec()), stack(0));
        assert_eq!(log.new_in(all[..1].to_vec()), None);
        assert_eq!(log.new_in(all[1..].to_vec()), stack(1));
        assert_eq!(log.new_in(all.clone()), None);
    }

    #[test]
    fn a_sweep_tries_each_place_of_each_call_and_an_unreported_one_with_two_failures() {
        let text = "test t\nrevision import-7.3\nring A\nsocket s\nsetup\n \
                    ifq = A: register nodev buffers=1 entries=1\nthread a\n b = A: export ifq\n \
                    y = s: send 1\nexpect holds";
        let test = ifq_sim::format::parse("t.ifq", text).unwrap();
        let (plain, unreported) = (Some(vec!["kmalloc+0x1".to_owned()]), Some(Vec::new()));
        let mut sweep = Sweep::of(&test);
        let mut seen = Vec::new();
        for failure in [&plain, &unreported, &plain, &plain, &None, &plain, &None] {
            assert!(sweep.next().is_some());
            seen.extend(sweep.advance(failure.as_deref()));
        }
        let place = |nth, twice| FailAt { nth, twice };
        assert_eq!(
            seen,
            [
                (0, place(1, false)),
                (0, place(2, false)),
                (0, place(2, true)),
                (0, place(3, false)),
                (1, place(1, false))
            ]
        );
        assert!(sweep.next().is_none());
    }
}
