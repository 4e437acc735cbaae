//! Whether the kernel hands out again what it had handed out: a fresh ring takes up an ifq under the
//! first id, shares it, and the user's account of locked memory has as much left as before.
//!
//! The account (`user->locked_vm`, `__io_account_mem` in `io_uring/rsrc.c`) cannot be read. It is
//! measured by the smallest limit under which a ring and its ifq can still be made, so it tells of
//! every ring and every area that the kernel has not let go of, whatever descriptors say.

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::{KERNEL, settled};
use crate::ring::{Ring, Setup};
use crate::sys::{self, PAGE, SharedMem};

/// How long the kernel may take to let go of a ring, in which nothing waits for a lazy RCU callback.
const SETTLE: Duration = Duration::from_secs(10);
/// Pages that a ring and an ifq need at most.
const MOST: u64 = 256;
/// Looks at what an earlier ring may still hold, and the time between two.
const LOOKS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(25);

/// What a fresh ring needed before, of the calling process.
#[derive(Debug)]
pub struct Account {
    pages: u64,
    looked: Instant,
}

impl Account {
    /// Remembers it. From here on the calling thread and those that it starts pay for what they lock:
    /// they have no `CAP_IPC_LOCK`, and no limit. `None`: the user has other processes that pay from
    /// the same account, or it cannot be measured here.
    #[must_use]
    pub fn begin() -> Option<Self> {
        // Only a guest's first process is alone.
        if std::process::id() != 1 || pay().is_err() {
            return None;
        }
        Some(Account { pages: needed(0)?, looked: Instant::now() })
    }

    /// What a fresh ring lacks that it did not lack before, once the kernel had its time to let go;
    /// told once. Without `now` it is not looked at after every test, because that takes long; `beat`
    /// is called before each look.
    pub fn left(&mut self, now: bool, beat: &dyn Fn()) -> Vec<String> {
        if !now && self.looked.elapsed() < KERNEL {
            return Vec::new();
        }
        let lacks = || {
            beat();
            sys::synchronize_rcu();
            limited(self.pages, fresh).err().into_iter().collect()
        };
        let mut left = settled(SETTLE, lacks);
        if !left.is_empty()
            && let Some(pages) = needed(self.pages)
        {
            let kib = (pages - self.pages) * PAGE as u64 / 1024;
            left = vec![format!("{kib} KiB of the user's locked memory are still accounted for")];
            self.pages = pages;
        }
        self.looked = Instant::now();
        left
    }
}

/// Has the calling thread pay for what it locks, as much as it likes.
fn pay() -> io::Result<()> {
    let mut has = capabilities(None)?;
    has.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, has)?;
    setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None })?;
    Ok(())
}

/// The smallest limit, at least `least` pages, under which a fresh ring can be made; `None`: there is
/// none up to [`MOST`] more.
fn needed(least: u64) -> Option<u64> {
    let enough = |pages: u64| {
        (0..LOOKS).any(|_| {
            sys::synchronize_rcu();
            let made = limited(pages, fresh).is_ok();
            // What was made or half made is charged until the kernel has let go of it.
            std::thread::sleep(PAUSE);
            made
        })
    };
    let (mut few, mut many) = (least, least + MOST);
    if !enough(many) {
        return None;
    }
    // `many` are enough, and less than `few` are not.
    while few < many {
        let middle = few.midpoint(many);
        if enough(middle) { many = middle } else { few = middle + 1 }
    }
    Some(many)
}

/// Calls a function while no more pages than these can be locked.
fn limited<T>(pages: u64, f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let before = getrlimit(Resource::Memlock);
    let limit = Rlimit { current: Some(pages * PAGE as u64), ..before };
    let said = |error| format!("RLIMIT_MEMLOCK: {error}");
    setrlimit(Resource::Memlock, limit).map_err(said)?;
    let result = f();
    setrlimit(Resource::Memlock, before).map_err(said)?;
    result
}

/// Makes a ring with an ifq and shares it with another ring, or says what was not as it is in a world
/// without any other ring. Where there is no ifq without a device, only the rings are made.
fn fresh() -> Result<(), String> {
    let said = |error: io::Error| format!("a fresh ring is refused: {error}");
    let (first, second) = (Ring::new(Setup::default()).map_err(said)?, Ring::new(Setup::default()));
    let second = second.map_err(said)?;
    let (area, region) = (SharedMem::new(PAGE).map_err(said)?, SharedMem::new(2 * PAGE));
    let registered = first.register_nodev(&area, &region.map_err(said)?, 1);
    let id = match registered {
        Ok(registered) => registered.id,
        Err(errno) if errno == -i64::from(libc::EINVAL) => return Ok(()),
        Err(errno) => return Err(format!("a fresh ring's ifq is refused: {errno}")),
    };
    let fd = first.export(id).map_err(|errno| format!("a fresh ifq's export: {errno}"))?;
    let fd = sys::adopt_fd(fd).map_err(|error| format!("a fresh ifq's export: {error}"))?;
    let imported = second.import(fd.as_raw_fd());
    match imported.map(|imported| imported.id) {
        Ok(0) if id == 0 => Ok(()),
        Ok(other) => Err(format!("fresh rings gave an ifq the ids {id} and {other}, not 0")),
        Err(errno) => Err(format!("a fresh ifq's import: {errno}")),
    }
}
