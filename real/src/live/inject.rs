//! How a live kernel gets a fault.

use std::io;
use std::sync::atomic::Ordering;

use ifq_model::test::Step;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::injection::How;
use super::run::LiveRun;
use crate::abi::syscall;
use crate::abi::syscall::fail_nth::with_failure;

/// The sysctl with the largest number of open files.
pub(super) const FILE_MAX: &str = "/proc/sys/fs/file-max";

impl LiveRun<'_> {
    /// The way in which a step fails in this run.
    pub(super) fn fault_of(&self, step: &Step) -> Option<How> {
        self.injection.filter(|injection| injection.is_at(step)).map(|injection| injection.how)
    }

    /// Executes a step with its fault. `None`: the run failed.
    pub(super) fn with_fault<T>(&self, step: &Step, f: impl FnOnce() -> Option<T>) -> Option<T> {
        let Some(how) = self.fault_of(step) else { return f() };
        let failed = |error: io::Error| self.values.fail(format!("injecting a fault: {error}"));
        match how {
            // Where the argument is known.
            How::ReadOnlyArgument => f(),
            How::NoDescriptor => with_limit(Resource::Nofile, f).map_err(failed).ok()?,
            How::NoLockedMemory => with_limit(Resource::Memlock, f).map_err(failed).ok()?,
            How::NoFile => without_files(f).map_err(failed).ok()?,
            How::Nic { queue, bound } => self.with_nic_fault(queue, bound, f),
            How::Nth(place) => {
                let (result, failed) = with_failure(place, f);
                self.call_failed.store(failed == Some(true), Ordering::Relaxed);
                result
            }
        }
    }

    fn with_nic_fault<T>(
        &self,
        queue: Option<u32>,
        bound: bool,
        f: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        let Some(nic) = &self.nic else { return f() };
        let queues = (0..self.test.queues).filter(|at| queue.is_none_or(|queue| queue == *at));
        for queue in queues.map(|queue| nic.queue_of(self.test, queue)) {
            nic.fail_allocation(queue, bound).map_err(|why| self.values.fail(why)).ok()?;
        }
        let result = f();
        if self.injection.is_some_and(|injection| injection.ends_with_step()) {
            nic.end_failures().map_err(|why| self.values.fail(why)).ok()?;
        }
        result
    }
}

/// Calls a function while this process has none of a resource.
fn with_limit<T>(resource: Resource, f: impl FnOnce() -> T) -> io::Result<T> {
    let before = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(0), ..before })?;
    let result = f();
    setrlimit(resource, before)?;
    Ok(result)
}

/// Calls a function while a thread without privileges can open no file.
fn without_files<T>(f: impl FnOnce() -> T) -> io::Result<T> {
    let before = std::fs::read_to_string(FILE_MAX)?;
    std::fs::write(FILE_MAX, "0")?;
    let result = syscall::without_sys_admin(f);
    // The kernel lets root open files at any time.
    std::fs::write(FILE_MAX, before)?;
    result
}
