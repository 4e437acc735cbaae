//! Waiting until the kernel has released what it releases in the background.

use std::time::{Duration, Instant};

/// Minimum time between two scans of all kernel objects, because a scan is slow.
pub(super) const SCAN_INTERVAL: Duration = Duration::from_secs(2);
/// Time between the first two checks; it doubles with each check.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// Repeats a check until it reports nothing or the time is over. Returns its last report.
pub(super) fn settle(limit: Duration, mut check: impl FnMut() -> Vec<String>) -> Vec<String> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let left = check();
        if left.is_empty() || start.elapsed() > limit {
            return left;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(limit / 20);
    }
}
