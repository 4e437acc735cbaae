//! Counters and knobs of the soft NIC, files in debugfs. `real/softnic/README.md` describes them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::kernels::probe::NIC_INTERFACES;

/// The folder of the module.
const FOLDER: &str = "/sys/kernel/debug/softnic";
/// The interface that receives, and its peer.
const RECEIVER: u32 = 0;
const PEER: u32 = 1;
/// Their names.
pub(super) const RECEIVER_NAME: &str = NIC_INTERFACES[0];
pub(super) const PEER_NAME: &str = NIC_INTERFACES[1];

/// The soft NIC of the running kernel.
#[derive(Clone, Debug)]
pub(super) struct SoftNic(PathBuf);

/// Counters of a queue since the module was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Packets whose payload went into buffers of a memory provider.
    pub(super) placed: u64,
    /// Packets whose payload went into ordinary pages.
    pub(super) kernel: u64,
    /// Packets without payload.
    pub(super) header_only: u64,
    /// Packets dropped for lack of a buffer.
    pub(super) no_buffer: u64,
    /// Packets dropped because the interface was down or the queue stopped.
    pub(super) down: u64,
}

impl SoftNic {
    /// The soft NIC, if its module is loaded.
    pub(super) fn find() -> Option<Self> {
        Path::new(FOLDER).is_dir().then(|| SoftNic(FOLDER.into()))
    }

    fn side(&self, side: u32) -> PathBuf {
        self.0.join(side.to_string())
    }

    fn queue(&self, queue: u32) -> PathBuf {
        self.side(RECEIVER).join("queues").join(queue.to_string())
    }

    /// The number of receive queues.
    pub(super) fn queues(&self) -> io::Result<u32> {
        let folder = fs::read_dir(self.side(RECEIVER).join("queues"))?;
        Ok(folder.filter_map(Result::ok).count() as u32)
    }

    /// The index of the receiving interface.
    pub(super) fn receiver_index(&self) -> io::Result<u32> {
        read(&self.side(RECEIVER).join("ifindex"))
    }

    /// The index of the peer interface.
    pub(super) fn peer_index(&self) -> io::Result<u32> {
        read(&self.side(PEER).join("ifindex"))
    }

    /// Whether the receiving interface is registered.
    pub(super) fn registered(&self) -> io::Result<bool> {
        Ok(read::<u32>(&self.side(RECEIVER).join("registered"))? != 0)
    }

    /// Unregisters or registers the receiving interface; returns when the kernel has finished.
    pub(super) fn set_registered(&self, registered: bool) -> io::Result<()> {
        write(&self.side(RECEIVER).join("registered"), u32::from(registered))
    }

    /// Restarts a queue: `netdev_rx_queue_restart`.
    pub(super) fn restart(&self, queue: u32) -> io::Result<()> {
        write(&self.queue(queue).join("restart"), 1)
    }

    /// So many of the next allocations of a queue's memory fail, while a memory provider is bound to it or
    /// while none is.
    pub(super) fn fail_allocations(&self, queue: u32, bound: bool, times: u32) -> io::Result<()> {
        write(&self.queue(queue).join(failing_file(bound)), times)
    }

    /// How many of them are left.
    pub(super) fn failing_allocations(&self, queue: u32, bound: bool) -> io::Result<u32> {
        read(&self.queue(queue).join(failing_file(bound)))
    }

    /// The next packet with payload is written into so many buffers.
    pub(super) fn set_buffers_of_next(&self, queue: u32, buffers: u32) -> io::Result<()> {
        write(&self.queue(queue).join("frags_next"), buffers)
    }

    /// So many packets after the next one are written behind it, into the same buffer.
    pub(super) fn share_next(&self, queue: u32, packets: u32) -> io::Result<()> {
        write(&self.queue(queue).join("share_next"), packets)
    }

    /// Each packet gets buffers of its own again, and the NIC puts the last one.
    pub(super) fn reset_placement(&self, queue: u32) -> io::Result<()> {
        let folder = self.queue(queue);
        write(&folder.join("frags_next"), 0)?;
        write(&folder.join("share_next"), 0)?;
        // Its NAPI drops the reference.
        write(&folder.join("keep_last"), 0)
    }

    /// Whether a memory provider is bound to a queue.
    pub(super) fn bound(&self, queue: u32) -> io::Result<bool> {
        Ok(read::<u32>(&self.queue(queue).join("bound"))? != 0)
    }

    /// Reads a file of a queue.
    pub(super) fn queue_file(&self, queue: u32, name: &str) -> io::Result<u64> {
        read(&self.queue(queue).join(name))
    }

    /// Writes a file of a queue.
    pub(super) fn set_queue_file(&self, queue: u32, name: &str, value: u32) -> io::Result<()> {
        write(&self.queue(queue).join(name), value)
    }

    /// Writes a file of the receiving interface.
    pub(super) fn set_file(&self, name: &str, value: u32) -> io::Result<()> {
        write(&self.side(RECEIVER).join(name), value)
    }

    pub(super) fn counters(&self, queue: u32) -> io::Result<Counters> {
        let folder = self.queue(queue);
        let counter = |name| read(&folder.join(name));
        Ok(Counters {
            placed: counter("placed_packets")?,
            kernel: counter("kernel_packets")?,
            header_only: counter("header_only_packets")?,
            no_buffer: counter("dropped_no_buffer")?,
            down: counter("dropped_down")?,
        })
    }
}

fn failing_file(bound: bool) -> &'static str {
    if bound { "fail_bound_alloc" } else { "fail_unbound_alloc" }
}

/// Reads a number; an error names the file.
fn read<T: std::str::FromStr>(file: &Path) -> io::Result<T> {
    let named = |kind, what: String| io::Error::new(kind, format!("{}: {what}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| named(error.kind(), error.to_string()))?;
    let bad = |_| named(io::ErrorKind::InvalidData, format!("`{}` is no number", text.trim()));
    text.trim().parse().map_err(bad)
}

/// Writes a number. The error is the kernel's.
fn write(file: &Path, value: u32) -> io::Result<()> {
    fs::write(file, value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_number_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("placed_packets");
        fs::write(&file, "12\n").unwrap();
        assert_eq!(read::<u64>(&file).unwrap(), 12);
        fs::write(&file, "many\n").unwrap();
        let error = read::<u64>(&file).unwrap_err().to_string();
        assert!(error.contains("placed_packets: `many` is no number"), "{error}");
        fs::remove_file(&file).unwrap();
        assert!(read::<u64>(&file).unwrap_err().to_string().contains("placed_packets"));
    }
}
