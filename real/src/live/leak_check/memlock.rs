//! Whether the kernel released memory and ids: a new ring registers an ifq under id 0, shares it, and
//! the user's account of locked memory has as much left as before.
//!
//! The account (`user->locked_vm`, `__io_account_mem` in `io_uring/rsrc.c`) cannot be read. It is
//! measured by the smallest `RLIMIT_MEMLOCK` under which a ring and its ifq can still be created. The
//! measurement detects every ring and every area that the kernel has not released, including those
//! that no descriptor refers to.

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::settle::{SCAN_INTERVAL, settle};
use crate::abi::syscall::ring::{Ring, Setup};
use crate::abi::syscall::{self, PAGE, SharedMem};

/// Time that the kernel may take to release a ring. No lazy RCU callback is involved.
const SETTLE: Duration = Duration::from_secs(10);
/// Upper bound of the pages that a ring and an ifq need.
const MAX_PAGES: u64 = 256;
/// Attempts under one limit, because an earlier ring may still be charged, and the time between two.
const ATTEMPTS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(25);

/// The locked memory that a new ring needed before the tests.
#[derive(Debug)]
pub struct MemlockProbe {
    pages: u64,
    last_check: Instant,
}

impl MemlockProbe {
    /// Measures the account. Afterwards the calling thread and the threads that it starts are charged
    /// for locked memory: they have no `CAP_IPC_LOCK`, and no limit. Returns `None` if other processes
    /// of the user may be charged to the same account, or if it cannot be measured.
    #[must_use]
    pub fn start() -> Option<Self> {
        // Only the init process of a guest is the only process of its user.
        if std::process::id() != 1 || charge_thread().is_err() {
            return None;
        }
        Some(MemlockProbe { pages: pages_needed(0)?, last_check: Instant::now() })
    }

    /// Why a new ring fails or needs more locked memory than before, once the kernel had `SETTLE` to
    /// release it. Each leak is reported once. The check is slow: without `now` it is done at most
    /// once per `SCAN_INTERVAL`. `beat` is called before each attempt.
    pub fn leaks(&mut self, now: bool, beat: &dyn Fn()) -> Vec<String> {
        if !now && self.last_check.elapsed() < SCAN_INTERVAL {
            return Vec::new();
        }
        let check = || {
            beat();
            syscall::synchronize_rcu();
            with_memlock_limit(self.pages, try_new_ring).err().into_iter().collect()
        };
        let mut left = settle(SETTLE, check);
        if !left.is_empty()
            && let Some(pages) = pages_needed(self.pages)
        {
            let kib = (pages - self.pages) * PAGE as u64 / 1024;
            left = vec![format!("{kib} KiB of the user's locked memory are still charged")];
            self.pages = pages;
        }
        self.last_check = Instant::now();
        left
    }
}

/// Makes the kernel charge the calling thread for locked memory, without a limit.
fn charge_thread() -> io::Result<()> {
    let mut has = capabilities(None)?;
    has.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, has)?;
    setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None })?;
    Ok(())
}

/// The smallest limit of at least `least` pages under which a new ring can be created. Returns `None`
/// if `least` + [`MAX_PAGES`] pages are too few.
fn pages_needed(least: u64) -> Option<u64> {
    let enough = |pages: u64| {
        (0..ATTEMPTS).any(|_| {
            syscall::synchronize_rcu();
            let created = with_memlock_limit(pages, try_new_ring).is_ok();
            // A ring is charged until the kernel has released it, even if its creation failed half-way.
            std::thread::sleep(PAUSE);
            created
        })
    };
    let (mut few, mut many) = (least, least + MAX_PAGES);
    if !enough(many) {
        return None;
    }
    // Invariant: `many` pages are enough, fewer than `few` are not.
    while few < many {
        let middle = few.midpoint(many);
        if enough(middle) { many = middle } else { few = middle + 1 }
    }
    Some(many)
}

/// Calls a function under an `RLIMIT_MEMLOCK` of `pages`.
fn with_memlock_limit<T>(pages: u64, f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let before = getrlimit(Resource::Memlock);
    let limit = Rlimit { current: Some(pages * PAGE as u64), ..before };
    let context = |error| format!("RLIMIT_MEMLOCK: {error}");
    setrlimit(Resource::Memlock, limit).map_err(context)?;
    let result = f();
    setrlimit(Resource::Memlock, before).map_err(context)?;
    result
}

/// Creates a ring with an ifq and shares it with a second ring. Both must get id 0. On a kernel without
/// `ZCRX_REG_NODEV` only the rings are created. The error says what failed.
fn try_new_ring() -> Result<(), String> {
    let context = |error: io::Error| format!("a new ring is refused: {error}");
    let (first, second) =
        (Ring::new(Setup::default()).map_err(context)?, Ring::new(Setup::default()));
    let second = second.map_err(context)?;
    let (area, region) = (SharedMem::new(PAGE).map_err(context)?, SharedMem::new(2 * PAGE));
    let registered = first.register_nodev(&area, &region.map_err(context)?, 1);
    let id = match registered {
        Ok(registered) => registered.id,
        Err(errno) if errno == -i64::from(libc::EINVAL) => return Ok(()),
        Err(errno) => return Err(format!("the ifq of a new ring is refused: {errno}")),
    };
    let fd = first.export(id).map_err(|errno| format!("export of a new ifq: {errno}"))?;
    let fd = syscall::adopt_fd(fd).map_err(|error| format!("export of a new ifq: {error}"))?;
    let imported = second.import(fd.as_raw_fd());
    match imported.map(|imported| imported.id) {
        Ok(0) if id == 0 => Ok(()),
        Ok(other) => Err(format!("new rings gave an ifq the ids {id} and {other} instead of 0")),
        Err(errno) => Err(format!("import of a new ifq: {errno}")),
    }
}
