//! The kernel log and the taint flags: warnings that the kernel reported during a test.

use ifq_model::fault::FaultPoint;
use ifq_model::test::Test;

use crate::abi::syscall;
use crate::job::KERNEL_LOG;
use crate::kernels::kernel_error::error_in;

/// The line before a warning, and the last line of its stack.
const BEGIN_OF_WARNING: &str = "---[ cut here ]---";
const END_OF_WARNING: &str = "---[ end trace";
/// The taint flag of a warning.
const TAINT_WARN: u64 = 1 << 9;

/// The functions whose warning a test expects: `netif_mp_close_rxq` warns when the queue cannot be restarted.
#[must_use]
pub fn expected_warnings(test: &Test) -> &'static [&'static str] {
    let may_fail = test.max_faults > 0 && test.faults.contains(&FaultPoint::RxqRestart);
    if may_fail { &["mp_close_rxq"] } else { &[] }
}

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

    /// The warnings since the start or the last call, without those of the `expected` functions.
    pub fn new_warnings(&mut self, expected: &[&str]) -> Vec<String> {
        let now = KernelLogWatch::start();
        let (mut found, mut ignored) = (Vec::new(), 0);
        if let (Some(before), Some(after)) = (&self.log, &now.log) {
            let new: Vec<&str> = new_part(before, after).lines().collect();
            let rest = without_expected(&new, expected);
            ignored = if rest.len() < new.len() { TAINT_WARN } else { 0 };
            found = warnings(&rest);
        }
        if let (Some(before), Some(after)) = (self.taint, now.taint)
            && before | ignored != after | ignored
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

/// The lines without the warnings of these functions and their stacks.
fn without_expected<'a>(lines: &[&'a str], functions: &[&str]) -> Vec<&'a str> {
    let (mut rest, mut inside) = (Vec::new(), false);
    for line in lines {
        let begins = line.contains("WARNING:") && functions.iter().any(|name| line.contains(name));
        if begins {
            inside = true;
            rest.pop_if(|before: &mut &str| before.contains(BEGIN_OF_WARNING));
        }
        if !inside {
            rest.push(*line);
        }
        inside &= !line.contains(END_OF_WARNING);
    }
    rest
}

fn warnings(lines: &[&str]) -> Vec<String> {
    error_in(lines).into_iter().map(|error| format!("{KERNEL_LOG}\n{error}")).collect()
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
    fn an_expected_warning_is_left_out_with_its_stack_and_nothing_else() {
        let log = [
            "[1] ------------[ cut here ]------------",
            "[1] WARNING: net/core/netdev_rx_queue.c:309 at __netif_mp_close_rxq+0x9a/0xb0, CPU#0: kworker/9",
            "[1] Call Trace:",
            "[1] ---[ end trace 0000000000000000 ]---",
            "[2] WARNING: io_uring/zcrx.c:1 at io_zcrx_ifq_free+0x9/0x10, CPU#0: kworker/9",
            "[2] ---[ end trace 0000000000000000 ]---",
        ];
        let rest = without_expected(&log, &["mp_close_rxq"]);
        assert_eq!(rest, [log[4], log[5]]);
        assert!(warnings(&rest)[0].contains("io_zcrx_ifq_free"));
        assert!(warnings(&without_expected(&log[..4], &["mp_close_rxq"])).is_empty());
        assert_eq!(without_expected(&log, &[]), log);
    }

    #[test]
    fn only_a_test_whose_queue_may_fail_to_restart_expects_that_warning() {
        let text = "test t\nrevision import-7.3\nring A\nsetup\n x = A: exit\nfault";
        let parse = |fault: &str| {
            ifq_sim::format::parse("t.ifq", &format!("{text} {fault}\nexpect holds"))
                .expect("a test")
        };
        assert_eq!(expected_warnings(&parse("rxq-restart xa-alloc")), ["mp_close_rxq"]);
        assert_eq!(expected_warnings(&parse("pp-init")), [""; 0]);
    }
}
