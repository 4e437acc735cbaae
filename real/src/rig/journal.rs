//! The journal of a rig: how to undo each change of its interfaces.
//!
//! An entry is on the disk before the change is made, so that the changes can be undone after this process
//! was killed at any moment. Undoing a change that was not made does nothing. The journal is in `/run`: a
//! reboot loses it together with the changes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::abi::ethtool::{Ethtool, Rings};
use crate::abi::netlink::{self, LinkChange};
use crate::abi::syscall::{ethtool, namespace};

const FOLDER: &str = "/run/ifq";

/// How to undo one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
pub enum Undo {
    /// Sets `IFF_UP`.
    Up {
        /// The interface.
        interface: String,
        /// Whether it was up.
        up: bool,
    },
    /// Removes an IPv4 address.
    Address {
        /// The interface.
        interface: String,
        /// The address.
        address: Ipv4Addr,
        /// The length of its prefix.
        prefix: u8,
    },
    /// Sets ring sizes and header split.
    Rings {
        /// The interface.
        interface: String,
        /// As they were; `None`: were not changed.
        rings: Rings,
    },
    /// Asks for a feature as before.
    Feature {
        /// The interface.
        interface: String,
        /// The feature.
        name: String,
        /// Whether it was asked for.
        wanted: bool,
    },
    /// Sets the table of receive side scaling.
    Rss {
        /// The interface.
        interface: String,
        /// As it was.
        table: Vec<u32>,
        /// Whether it is what the driver's default would be.
        default: bool,
    },
    /// Deletes the flow rule about a port and a queue.
    Rule {
        /// The interface.
        interface: String,
        /// The port.
        port: u16,
        /// The queue.
        queue: u32,
    },
    /// Removes a network namespace.
    Namespace {
        /// Its name.
        name: String,
    },
    /// Takes an interface back out of a network namespace.
    Moved {
        /// The interface.
        interface: String,
        /// The namespace.
        namespace: String,
    },
}

/// The entries and the lock of the rig with an interface.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Held while a process uses the rig.
    _lock: File,
}

/// The journal of an interface.
fn path_of(interface: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{interface}.journal"))
}

fn named<'p>(path: &'p Path) -> impl Fn(io::Error) -> String + 'p {
    move |error| format!("{}: {error}", path.display())
}

impl Journal {
    /// Locks the rig with this interface, undoes what an earlier process left, and begins a journal. The
    /// entries that were undone.
    ///
    /// # Errors
    ///
    /// A message for the user: another process uses the rig, or a change cannot be undone.
    pub fn begin(interface: &str) -> Result<(Self, usize), String> {
        let folder = Path::new(FOLDER);
        fs::create_dir_all(folder).map_err(named(folder))?;
        let lock_path = folder.join(format!("{interface}.lock"));
        let lock = File::create(&lock_path).map_err(named(&lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            format!("another ifq uses the interface {interface} ({}: {error})", lock_path.display())
        })?;
        let path = path_of(interface);
        let left = read(&path)?;
        undo_all(&left)?;
        let file = File::create(&path).map_err(named(&path))?;
        sync(&file, folder).map_err(named(&path))?;
        Ok((Journal { path, file, _lock: lock }, left.len()))
    }

    /// Writes down how to undo a change. The change may be made when this returns.
    ///
    /// # Errors
    ///
    /// A message for the user: the entry is not on the disk.
    pub fn note(&mut self, undo: &Undo) -> Result<(), String> {
        let mut line = serde_json::to_vec(undo).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_all());
        written.map_err(named(&self.path))
    }

    /// Undoes all changes, the last one first, and removes the journal.
    ///
    /// # Errors
    ///
    /// A message for the user: a change cannot be undone. The journal is kept, for another attempt.
    pub fn restore(&self) -> Result<(), String> {
        undo_all(&read(&self.path)?)?;
        fs::remove_file(&self.path).map_err(named(&self.path))
    }
}

/// The entry and the name of the file are on the disk.
fn sync(file: &File, folder: &Path) -> io::Result<()> {
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

/// The entries of a journal. A last line without an end was not finished: its change was not made.
fn read(path: &Path) -> Result<Vec<Undo>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(named(path)(error)),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let entry = |line: &str| {
        serde_json::from_str(line).map_err(|error| format!("{}: `{line}`: {error}", path.display()))
    };
    whole.lines().map(entry).collect()
}

/// Undoes changes, the last one first. A failure does not keep the others from being undone.
fn undo_all(entries: &[Undo]) -> Result<(), String> {
    let errors: Vec<String> = entries
        .iter()
        .rev()
        .filter_map(|entry| entry.undo().err().map(|error| format!("{entry:?}: {error}")))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(format!("not restored: {}", errors.join("; "))) }
}

impl Undo {
    /// Undoes the change, if it was made.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn undo(&self) -> io::Result<()> {
        match self {
            Undo::Up { interface, up } => {
                let index = netlink::link(interface)?.index;
                netlink::change_link(index, &LinkChange { up: Some(*up), ..LinkChange::default() })
            }
            Undo::Address { interface, address, prefix } => {
                let index = netlink::link(interface)?.index;
                let has = netlink::addresses(index)?.contains(&((*address).into(), *prefix));
                if has { netlink::delete_address(index, *address, *prefix) } else { Ok(()) }
            }
            Undo::Rings { interface, rings } => {
                let settings = Ethtool::of(interface)?;
                if same_rings(&settings.rings()?, rings) {
                    return Ok(());
                }
                settings.set_rings(rings)
            }
            Undo::Feature { interface, name, wanted } => {
                let settings = Ethtool::of(interface)?;
                let now = settings.features()?.get(name).copied().unwrap_or_default();
                if now.wanted == *wanted { Ok(()) } else { settings.set_feature(name, *wanted) }
            }
            Undo::Rss { interface, table, default } => undo_rss(interface, table, *default),
            Undo::Rule { interface, port, queue } => {
                for rule in ethtool::rules(interface)?.unwrap_or_default() {
                    if rule.port == Some(*port) && rule.queue == u64::from(*queue) {
                        ethtool::delete_rule(interface, rule.location)?;
                    }
                }
                Ok(())
            }
            Undo::Namespace { name } => namespace::remove(name),
            Undo::Moved { interface, namespace } => take_back(interface, namespace),
        }
    }
}

/// Whether what is known of `wanted` is so.
fn same_rings(now: &Rings, wanted: &Rings) -> bool {
    let same = |now, wanted: Option<u32>| wanted.is_none() || now == wanted;
    same(now.rx, wanted.rx)
        && same(now.tx, wanted.tx)
        && same(now.hds_thresh, wanted.hds_thresh)
        && (wanted.tcp_data_split.is_none() || now.tcp_data_split == wanted.tcp_data_split)
}

/// A table that the user has not set follows the number of queues: prefer that.
fn undo_rss(interface: &str, table: &[u32], default: bool) -> io::Result<()> {
    let settings = Ethtool::of(interface)?;
    if settings.rss()?.table == table {
        return Ok(());
    }
    if default {
        ethtool::set_rss_table(interface, None)?;
        if settings.rss()?.table == table {
            return Ok(());
        }
    }
    ethtool::set_rss_table(interface, Some(table))
}

fn take_back(interface: &str, name: &str) -> io::Result<()> {
    // It was not moved yet, or is back.
    if netlink::link(interface).is_ok() || !namespace::exists(name) {
        return Ok(());
    }
    let own = namespace::own()?;
    let moved = namespace::inside(name, || {
        let index = netlink::link(interface)?.index;
        netlink::move_to_namespace(index, std::os::fd::AsFd::as_fd(&own))
    });
    // A namespace that was not completely made has no interfaces.
    match moved {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            netlink::link(interface).map(drop)
        }
        moved => moved,
    }
}
