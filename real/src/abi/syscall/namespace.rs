//! Network namespaces with names, as `ip netns` has them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Where `ip netns` has them.
const FOLDER: &str = "/run/netns";

fn path(name: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(name)
}

/// Whether there is a namespace of this name, or what is left of one.
#[must_use]
pub fn exists(name: &str) -> bool {
    path(name).exists()
}

/// Makes a namespace.
///
/// # Errors
///
/// Those of `unshare(2)` and `mount(2)`: `EPERM` without privileges, `EEXIST`.
pub fn create(name: &str) -> io::Result<()> {
    fs::create_dir_all(FOLDER)?;
    let path = path(name);
    File::create_new(&path)?;
    let made = on_thread(|| {
        // SAFETY: a namespace of network interfaces has no effect on memory or descriptors.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
        mount_bind("/proc/thread-self/ns/net", &path)?;
        Ok(())
    });
    if made.is_err() {
        let _ = fs::remove_file(&path);
    }
    made
}

/// Removes a namespace, also one that was not completely made. Its physical interfaces go back.
///
/// # Errors
///
/// Those of `umount(2)` and `unlink(2)`.
pub fn remove(name: &str) -> io::Result<()> {
    let path = path(name);
    match unmount(&path, UnmountFlags::DETACH) {
        // It is not mounted.
        Ok(()) | Err(rustix::io::Errno::INVAL) => fs::remove_file(&path),
        Err(error) if error == rustix::io::Errno::NOENT => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a namespace.
///
/// # Errors
///
/// `ENOENT` if there is none.
pub fn open(name: &str) -> io::Result<File> {
    File::open(path(name))
}

/// The namespace of this process.
///
/// # Errors
///
/// Those of `open(2)`.
pub fn own() -> io::Result<File> {
    File::open("/proc/self/ns/net")
}

/// Calls a function in a namespace. The sockets that it makes stay in it.
///
/// # Errors
///
/// That it cannot be entered, and those of the function.
pub fn inside<T: Send>(name: &str, call: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let namespace = open(name)?;
    on_thread(|| {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        call()
    })
}

/// A thread of its own: the caller keeps its namespace.
fn on_thread<T: Send>(call: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(call);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::netlink::link;

    #[test]
    fn a_namespace_has_interfaces_of_its_own_and_can_be_removed() {
        let name = format!("ifq-test-{}", std::process::id());
        match create(&name) {
            Ok(()) => {}
            Err(error) => {
                // Only without the privilege.
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
                return;
            }
        }
        assert_eq!(create(&name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let lo = inside(&name, || link("lo")).unwrap();
        assert_eq!(lo.flags & 1, 0, "a new namespace has its loopback interface down");
        remove(&name).unwrap();
        assert!(!exists(&name));
        remove(&name).unwrap();
    }
}
