//! The kernel interface: the structures of the UAPI, and the system calls that take them.

#[cfg(target_os = "linux")]
pub mod ethtool;
#[cfg(target_os = "linux")]
pub mod genetlink;
pub mod marker;
#[cfg(target_os = "linux")]
pub mod netdev;
#[cfg(target_os = "linux")]
pub mod netlink;
#[cfg(target_os = "linux")]
pub mod syscall;
pub mod uapi;
