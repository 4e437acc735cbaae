//! What a test may leave behind: descriptors, threads and memory of the process, objects of io_uring
//! in the kernel, and what it has not to hand out any more. Everything is compared with what was there
//! before.

mod account;
mod kernel;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::sys;

pub use account::Account;

/// Numbers of descriptors that are looked at: the kernel hands out the lowest one that is free, and a
/// test has no more open.
const NUMBERS: i32 = 64;
/// How long the kernel may take to let go: it frees a ring in the background.
const SETTLE: Duration = Duration::from_secs(5);
/// How long it may take to free what it frees after an RCU grace period; with `CONFIG_RCU_LAZY` it
/// begins up to 10 s later.
const SETTLE_RCU: Duration = Duration::from_secs(20);
/// Time between two looks, at first.
const LOOK: Duration = Duration::from_millis(1);
/// At most so often all objects of the kernel are looked through, which takes long.
const KERNEL: Duration = Duration::from_secs(2);

/// What this process held before.
#[derive(Clone, Debug)]
pub struct Held(Process);

impl Held {
    /// Remembers what is held now.
    #[must_use]
    pub fn begin() -> Self {
        Held(Process::now())
    }

    /// What is held now and was not before, once the kernel had its time to let go. It stays, so
    /// later calls do not tell of it.
    pub fn left(&mut self) -> Vec<String> {
        let left = settled(SETTLE, || Process::now().beyond(&self.0));
        if !left.is_empty() {
            self.0 = Process::now();
        }
        left
    }

    /// The same of pinned and locked memory only.
    pub fn memory_left(&mut self) -> Vec<String> {
        let memory = |process: Process| Process { memory: process.memory, ..Process::default() };
        let left = settled(SETTLE, || memory(Process::now()).beyond(&self.0));
        if !left.is_empty() {
            self.0.memory = Process::now().memory;
        }
        left
    }
}

/// What io_uring had allocated in the kernel before.
#[derive(Clone, Debug)]
pub struct Allocated {
    before: kernel::Objects,
    looked: Instant,
}

impl Allocated {
    /// Remembers what is allocated now.
    #[must_use]
    pub fn begin() -> Self {
        Allocated { before: kernel::Objects::now(), looked: Instant::now() }
    }

    /// What is allocated now and was not before, once the kernel had its time to free it; told
    /// once. Without `now` it is not looked at after every test, because that takes long; `beat` is
    /// called before each look.
    pub fn left(&mut self, now: bool, beat: &dyn Fn()) -> Vec<String> {
        if !now && self.looked.elapsed() < KERNEL {
            return Vec::new();
        }
        let left = settled(SETTLE_RCU, || {
            beat();
            sys::synchronize_rcu();
            kernel::Objects::now().beyond(&self.before)
        });
        if !left.is_empty() {
            self.before = kernel::Objects::now();
        }
        self.looked = Instant::now();
        left
    }
}

/// What is left when it does not get less any more.
fn settled(limit: Duration, mut look: impl FnMut() -> Vec<String>) -> Vec<String> {
    let start = Instant::now();
    let mut pause = LOOK;
    loop {
        let left = look();
        if left.is_empty() || start.elapsed() > limit {
            return left;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(limit / 20);
    }
}

/// What this process holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Process {
    /// Open descriptors and what they lead to.
    fds: BTreeMap<String, String>,
    /// Numbers that the kernel does not hand out although no open descriptor has them: some call has
    /// reserved them, and `/proc` does not show that.
    reserved: BTreeSet<i32>,
    /// Threads and their names.
    threads: BTreeMap<String, String>,
    /// `VmPin` and `VmLck` in KiB, where the kernel says.
    memory: BTreeMap<&'static str, u64>,
}

impl Process {
    fn now() -> Self {
        let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        // The descriptor of this very directory is gone when its link is read.
        let fds = entries.filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
            let own = target.ends_with("/fd") && target.starts_with("/proc/");
            (!own).then(|| (entry.file_name().to_string_lossy().into_owned(), target))
        });
        let fds: BTreeMap<String, String> = fds.collect();
        let reserved = reserved(&fds);
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let threads = threads.filter_map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).ok()?.trim().to_owned();
            Some((entry.file_name().to_string_lossy().into_owned(), name))
        });
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &'static str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib = line.trim_start_matches(':').split_whitespace().next()?.parse().ok()?;
            Some((name, kib))
        };
        let memory = ["VmPin", "VmLck"].into_iter().filter_map(field).collect();
        Process { fds, reserved, threads: threads.collect(), memory }
    }

    fn beyond(&self, before: &Process) -> Vec<String> {
        let new = self.fds.iter().filter(|(fd, to)| before.fds.get(*fd) != Some(to));
        let fds = new.map(|(fd, to)| format!("descriptor {fd} ({to}) is still open"));
        let more = self.memory.iter().filter_map(|(name, kib)| {
            let before = before.memory.get(name).copied().unwrap_or(0);
            (*kib > before).then(|| {
                let kind = if *name == "VmPin" { "pinned" } else { "locked" };
                format!("{} KiB are still {kind}", kib - before)
            })
        });
        let reserved = self.reserved.difference(&before.reserved);
        let reserved = reserved
            .map(|number| format!("the number {number} is taken, and no descriptor has it"));
        let threads = self.threads.iter().filter(|(id, _)| !before.threads.contains_key(*id));
        let threads = threads.map(|(id, name)| format!("thread {id} ({name}) is still there"));
        fds.chain(reserved).chain(threads).chain(more).collect()
    }
}

/// The numbers that are taken, except for those of these descriptors.
fn reserved(open: &BTreeMap<String, String>) -> BTreeSet<i32> {
    // Any descriptor can be duplicated; a process that has none left says nothing.
    let Ok(some) = fs::File::open("/proc/self/status") else { return BTreeSet::new() };
    let is_open = |number: &i32| open.contains_key(&number.to_string());
    let is_free = |number: i32| {
        let copy = rustix::io::fcntl_dupfd_cloexec(&some, number);
        copy.is_ok_and(|copy| copy.as_raw_fd() == number)
    };
    let others = (0..NUMBERS).filter(|number| !is_open(number) && *number != some.as_raw_fd());
    others.filter(|number| !is_free(*number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_stays_open_is_named_and_one_that_is_closed_is_not() {
        let before = Process::now();
        let file = tempfile::NamedTempFile::new().unwrap();
        let sign = format!("({}) is still open", file.path().display());
        let named = || Process::now().beyond(&before).iter().any(|line| line.contains(&sign));
        assert!(named(), "{sign}");
        drop(file);
        assert!(!named(), "{sign}");
    }

    #[test]
    fn a_number_that_a_call_has_reserved_is_told_although_no_descriptor_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
        // Other tests open and close what they like: only what stays counts.
        let taken = || (0..20).map(|_| Process::now().reserved).reduce(|all, new| &all & &new);
        let before = taken().unwrap();
        std::thread::scope(|scope| {
            let opens = scope.spawn(|| fs::File::open(&fifo).unwrap());
            let mut more = BTreeSet::new();
            settled(SETTLE, || {
                more = &taken().unwrap() - &before;
                if more.is_empty() { vec![String::new()] } else { Vec::new() }
            });
            assert_eq!(more.len(), 1, "{more:?}");
            drop(fs::File::options().write(true).open(&fifo).unwrap());
            let file = opens.join().unwrap();
            assert!(more.contains(&file.as_raw_fd()), "{more:?}");
        });
    }

    #[test]
    fn a_thread_and_a_reserved_number_are_told_once_they_are_new() {
        let with = |threads: &[&str], numbers: &[i32]| Process {
            threads: threads.iter().map(|id| (id.to_string(), "w".to_owned())).collect(),
            reserved: numbers.iter().copied().collect(),
            ..Process::default()
        };
        let before = with(&["1"], &[5]);
        assert_eq!(before.beyond(&before), Vec::<String>::new());
        assert_eq!(
            with(&["1", "7"], &[4, 5]).beyond(&before),
            ["the number 4 is taken, and no descriptor has it", "thread 7 (w) is still there"]
        );
    }

    #[test]
    fn memory_that_stays_pinned_or_locked_is_told_in_kib() {
        let with = |pinned, locked| Process {
            memory: [("VmPin", pinned), ("VmLck", locked)].into(),
            ..Process::default()
        };
        assert_eq!(with(20, 7).beyond(&with(4, 7)), ["16 KiB are still pinned"]);
        assert_eq!(with(4, 8).beyond(&with(4, 0)), ["8 KiB are still locked"]);
        assert_eq!(with(0, 0).beyond(&with(4, 0)), Vec::<String>::new());
        assert!(Process::now().memory.contains_key("VmLck"));
    }
}
