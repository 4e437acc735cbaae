//! Receive queues and page pools through the netlink family `netdev` (`include/uapi/linux/netdev.h`).

use std::io;

use super::genetlink::{Attributes, Family, find, number32};

const PAGE_POOL_GET: u8 = 5;
const QUEUE_GET: u8 = 10;
const QSTATS_GET: u8 = 12;

const QUEUE_ID: u16 = 1;
const QUEUE_IFINDEX: u16 = 2;
const QUEUE_TYPE: u16 = 3;
const QUEUE_DMABUF: u16 = 5;
const QUEUE_IO_URING: u16 = 6;
const QUEUE_XSK: u16 = 7;
/// `NETDEV_QUEUE_TYPE_RX`.
const TYPE_RX: u32 = 0;

const PAGE_POOL_IFINDEX: u16 = 2;
const PAGE_POOL_IO_URING: u16 = 8;

const QSTATS_IFINDEX: u16 = 1;
const QSTATS_QUEUE_TYPE: u16 = 2;
const QSTATS_QUEUE_ID: u16 = 3;
const QSTATS_SCOPE: u16 = 4;
const QSTATS_RX_PACKETS: u16 = 8;
/// `NETDEV_QSTATS_SCOPE_QUEUE`.
const SCOPE_QUEUE: u32 = 1;

/// A receive queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxQueue {
    /// Its number.
    pub id: u32,
    /// Who has it.
    pub user: QueueUser,
}

/// Who has bound a receive queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueUser {
    /// Nobody.
    None,
    /// An ifq of `io_uring`.
    IoUring,
    /// A dma-buf, for devmem TCP.
    DmaBuf,
    /// An `AF_XDP` socket.
    Xsk,
}

/// The page pools of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagePools {
    /// How many there are.
    pub all: usize,
    /// Those with the memory of an ifq.
    pub of_io_uring: usize,
}

/// The family.
#[derive(Debug)]
pub struct Netdev(Family);

impl Netdev {
    /// # Errors
    ///
    /// Those of the kernel: `ENOENT` if it has no such family.
    pub fn open() -> io::Result<Self> {
        Family::open("netdev", 1).map(Netdev)
    }

    /// The receive queues of an interface that is up.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn rx_queues(&self, ifindex: u32) -> io::Result<Vec<RxQueue>> {
        let request = Attributes::default().u32(QUEUE_IFINDEX, ifindex);
        let answers = self.0.dump(QUEUE_GET, &request)?;
        let queues = answers.iter().filter(|queue| number32(queue, QUEUE_TYPE) == Some(TYPE_RX));
        Ok(queues
            .filter_map(|queue| Some(RxQueue { id: number32(queue, QUEUE_ID)?, user: user(queue) }))
            .collect())
    }

    /// Who has bound a receive queue. A queue of an interface that is down is not there: nobody.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn user_of(&self, ifindex: u32, queue: u32) -> io::Result<QueueUser> {
        let request = Attributes::default()
            .u32(QUEUE_IFINDEX, ifindex)
            .u32(QUEUE_TYPE, TYPE_RX)
            .u32(QUEUE_ID, queue);
        match self.0.call(QUEUE_GET, &request) {
            Ok(answers) => Ok(answers.first().map_or(QueueUser::None, |queue| user(queue))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(QueueUser::None),
            Err(error) => Err(error),
        }
    }

    /// The page pools of an interface.
    ///
    /// # Errors
    ///
    /// Those of the kernel: `EOPNOTSUPP` if it was built without statistics of page pools.
    pub fn page_pools(&self, ifindex: u32) -> io::Result<PagePools> {
        let answers = self.0.dump(PAGE_POOL_GET, &Attributes::default())?;
        let mut pools = PagePools::default();
        for pool in answers.iter().filter(|p| number32(p, PAGE_POOL_IFINDEX) == Some(ifindex)) {
            pools.all += 1;
            pools.of_io_uring += usize::from(find(pool, PAGE_POOL_IO_URING).is_some());
        }
        Ok(pools)
    }

    /// Packets that a queue has received. `None`: the driver does not count by queue.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn rx_packets(&self, ifindex: u32, queue: u32) -> io::Result<Option<u64>> {
        let request =
            Attributes::default().u32(QSTATS_IFINDEX, ifindex).u32(QSTATS_SCOPE, SCOPE_QUEUE);
        let answers = match self.0.dump(QSTATS_GET, &request) {
            Ok(answers) => answers,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
            Err(error) => return Err(error),
        };
        let of_queue = answers.iter().find(|stats| {
            number32(stats, QSTATS_QUEUE_TYPE) == Some(TYPE_RX)
                && number32(stats, QSTATS_QUEUE_ID) == Some(queue)
        });
        Ok(of_queue.and_then(|stats| super::genetlink::number(stats, QSTATS_RX_PACKETS)))
    }
}

fn user(queue: &[u8]) -> QueueUser {
    let has = |kind| find(queue, kind).is_some();
    if has(QUEUE_IO_URING) {
        QueueUser::IoUring
    } else if has(QUEUE_DMABUF) {
        QueueUser::DmaBuf
    } else if has(QUEUE_XSK) {
        QueueUser::Xsk
    } else {
        QueueUser::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_no_page_pool_and_no_bound_queue() {
        let netdev = match Netdev::open() {
            Ok(netdev) => netdev,
            // Kernels before 6.3.
            Err(error) => return assert_eq!(error.kind(), io::ErrorKind::NotFound),
        };
        let lo = 1;
        assert_eq!(netdev.rx_packets(lo, 0).unwrap(), None);
        assert!(netdev.rx_queues(lo).unwrap().iter().all(|q| q.user == QueueUser::None));
        assert_eq!(netdev.user_of(lo, 0).unwrap(), QueueUser::None);
        // Without statistics of page pools the kernel cannot list them.
        assert!(
            netdev.page_pools(lo).is_ok_and(|pools| pools.all == 0)
                || netdev.page_pools(lo).is_err()
        );
    }
}
