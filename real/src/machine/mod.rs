//! What a test can run on.

#[cfg(target_os = "linux")]
mod again;
#[cfg(target_os = "linux")]
mod apt;
#[cfg(target_os = "linux")]
mod busybox;
#[cfg(target_os = "linux")]
mod cache;
#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod elf;
#[cfg(target_os = "linux")]
mod host;
#[cfg(target_os = "linux")]
mod image;
#[cfg(target_os = "linux")]
mod initramfs;
#[cfg(target_os = "linux")]
mod kernels;
#[cfg(target_os = "linux")]
mod kvm;
mod on;
#[cfg(target_os = "linux")]
mod origin;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod qemu;
#[cfg(target_os = "linux")]
mod shell;
#[cfg(target_os = "linux")]
mod stock;
#[cfg(target_os = "linux")]
mod uml;
#[cfg(target_os = "linux")]
mod wires;

use std::fmt;

use thiserror::Error;

use crate::job::{Job, Line, Reply};

#[cfg(target_os = "linux")]
pub use host::Host;
pub use on::{On, ParseError, Series};
#[cfg(target_os = "linux")]
pub use process::interrupted;
#[cfg(target_os = "linux")]
pub use qemu::Qemu;
#[cfg(target_os = "linux")]
pub use shell::shell;
#[cfg(target_os = "linux")]
pub use stock::{Stock, fetch, stock};
#[cfg(target_os = "linux")]
pub use uml::Uml;

/// Never: there is nothing to interrupt.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn interrupted() -> bool {
    false
}

/// Why a machine gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// It is not there, or did not get as far as to run anything: says nothing about the kernel.
    #[error("{0}")]
    NotRun(String),
    /// The user ended it.
    #[error("interrupted")]
    Interrupted,
}

/// A kernel that jobs can be sent to.
pub trait Machine: fmt::Debug {
    /// The name that the command line uses.
    fn name(&self) -> String;

    /// Runs a job; `progress` sees each line of the answer as it comes.
    ///
    /// A kernel that hangs or dies after it was up is an answer: the tests concerned are
    /// [`crate::job::Report::Broken`].
    ///
    /// # Errors
    ///
    /// [`Failure`].
    fn run(&self, job: &Job, progress: &mut dyn FnMut(&Line)) -> Result<Reply, Failure>;
}
