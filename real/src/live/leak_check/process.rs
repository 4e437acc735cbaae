//! Descriptors, threads and pinned memory of this process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::settle::settle;

/// Descriptor numbers that are checked, from 0. The kernel allocates the lowest free number, and a
/// test has fewer descriptors open.
const FD_RANGE: i32 = 64;
/// Time that the kernel may take to release resources: it frees a ring in the background.
const SETTLE: Duration = Duration::from_secs(5);

/// The resources that this process held at one time.
#[derive(Clone, Debug)]
pub struct ProcessSnapshot(ProcessState);

impl ProcessSnapshot {
    /// Takes a snapshot.
    #[must_use]
    pub fn take() -> Self {
        ProcessSnapshot(ProcessState::now())
    }

    /// The resources that were added since the snapshot and not released within `SETTLE`. They
    /// become part of the snapshot, so each leak is reported once.
    pub fn leaks(&mut self) -> Vec<String> {
        let left = settle(SETTLE, || ProcessState::now().added_since(&self.0));
        if !left.is_empty() {
            self.0 = ProcessState::now();
        }
        left
    }

    /// Like [`leaks`](Self::leaks), but only for pinned and locked memory.
    pub fn memory_leaks(&mut self) -> Vec<String> {
        let memory = |process: ProcessState| ProcessState {
            memory: process.memory,
            ..ProcessState::default()
        };
        let left = settle(SETTLE, || memory(ProcessState::now()).added_since(&self.0));
        if !left.is_empty() {
            self.0.memory = ProcessState::now().memory;
        }
        left
    }
}

/// The resources of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ProcessState {
    /// Open descriptors, each with the target of its link in `/proc/self/fd`.
    fds: BTreeMap<String, String>,
    /// Descriptor numbers that are allocated although no open file has them: a system call reserved
    /// them (`get_unused_fd_flags`), which `/proc` does not show.
    reserved: BTreeSet<i32>,
    /// Thread ids, each with the name of the thread.
    threads: BTreeMap<String, String>,
    /// `VmPin` and `VmLck` of `/proc/self/status`, in KiB.
    memory: BTreeMap<&'static str, u64>,
}

impl ProcessState {
    fn now() -> Self {
        let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        // The descriptor of the directory that is being read is not counted.
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
        ProcessState { fds, reserved, threads: threads.collect(), memory }
    }

    fn added_since(&self, before: &ProcessState) -> Vec<String> {
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
        let reserved =
            reserved.map(|number| format!("descriptor number {number} is reserved but not open"));
        let threads = self.threads.iter().filter(|(id, _)| !before.threads.contains_key(*id));
        let threads = threads.map(|(id, name)| format!("thread {id} ({name}) still runs"));
        fds.chain(reserved).chain(threads).chain(more).collect()
    }
}

/// The descriptor numbers that are allocated, except for those of the open descriptors.
fn reserved(open: &BTreeMap<String, String>) -> BTreeSet<i32> {
    // Any descriptor can be duplicated. Without a free descriptor the check reports nothing.
    let Ok(some) = fs::File::open("/proc/self/status") else { return BTreeSet::new() };
    let is_open = |number: &i32| open.contains_key(&number.to_string());
    let is_free = |number: i32| {
        let copy = rustix::io::fcntl_dupfd_cloexec(&some, number);
        copy.is_ok_and(|copy| copy.as_raw_fd() == number)
    };
    let others = (0..FD_RANGE).filter(|number| !is_open(number) && *number != some.as_raw_fd());
    others.filter(|number| !is_free(*number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_descriptor_is_reported_and_a_closed_one_is_not() {
        let before = ProcessState::now();
        let file = tempfile::NamedTempFile::new().unwrap();
        let sign = format!("({}) is still open", file.path().display());
        let named =
            || ProcessState::now().added_since(&before).iter().any(|line| line.contains(&sign));
        assert!(named(), "{sign}");
        drop(file);
        assert!(!named(), "{sign}");
    }

    #[test]
    fn a_reserved_descriptor_number_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
        // Other tests open and close descriptors meanwhile: count only numbers that stay reserved.
        let taken = || (0..20).map(|_| ProcessState::now().reserved).reduce(|all, new| &all & &new);
        let before = taken().unwrap();
        std::thread::scope(|scope| {
            let opens = scope.spawn(|| fs::File::open(&fifo).unwrap());
            let mut more = BTreeSet::new();
            settle(SETTLE, || {
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
    fn new_threads_and_new_reserved_numbers_are_reported() {
        let with = |threads: &[&str], numbers: &[i32]| ProcessState {
            threads: threads.iter().map(|id| (id.to_string(), "w".to_owned())).collect(),
            reserved: numbers.iter().copied().collect(),
            ..ProcessState::default()
        };
        let before = with(&["1"], &[5]);
        assert_eq!(before.added_since(&before), Vec::<String>::new());
        assert_eq!(
            with(&["1", "7"], &[4, 5]).added_since(&before),
            ["descriptor number 4 is reserved but not open", "thread 7 (w) still runs"]
        );
    }

    #[test]
    fn memory_that_stays_pinned_or_locked_is_reported_in_kib() {
        let with = |pinned, locked| ProcessState {
            memory: [("VmPin", pinned), ("VmLck", locked)].into(),
            ..ProcessState::default()
        };
        assert_eq!(with(20, 7).added_since(&with(4, 7)), ["16 KiB are still pinned"]);
        assert_eq!(with(4, 8).added_since(&with(4, 0)), ["8 KiB are still locked"]);
        assert_eq!(with(0, 0).added_since(&with(4, 0)), Vec::<String>::new());
        assert!(ProcessState::now().memory.contains_key("VmLck"));
    }
}
