//! The kernel interface: the structures of the UAPI, and the system calls that take them.

pub mod marker;
#[cfg(target_os = "linux")]
pub mod netlink;
#[cfg(target_os = "linux")]
pub mod syscall;
pub mod uapi;
