//! `WARN_ON_ONCE` (`include/asm-generic/bug.h`), and the warnings that the modelled functions contain.

use std::fmt;

use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::trace::Tracepoint;

/// One `WARN_ON_ONCE` of the kernel, with the numbers that a report needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// `io_zcrx_ifq_free`: `ifq->if_rxq != -1` or `ifq->netdev != NULL`.
    IfqFreedWithQueue {
        /// [`crate::io_uring::zcrx::Ifq::number`].
        ifq: u32,
    },
    /// `io_zcrx_ifq_free`: `ifq->master_ctx`.
    IfqFreedWithRing {
        /// [`crate::io_uring::zcrx::Ifq::number`].
        ifq: u32,
    },
    /// `io_terminate_zcrx`: the id is marked already.
    TerminatedTwice {
        /// The id.
        id: u32,
    },
    /// `io_unregister_zcrx`: the id is not marked.
    NotTerminated {
        /// The id.
        id: u32,
    },
    /// `io_zcrx_return_niov_freelist`: `area->free_count >= area->nia.num_niovs`.
    FreelistFull {
        /// [`crate::io_uring::zcrx::area::Area::area_id`].
        area: u32,
        /// Index of the buffer.
        niov: u32,
    },
    /// `io_pp_zc_alloc_netmems`: `pp->alloc.count`.
    AllocCacheNotEmpty,
    /// `page_pool_unref_netmem`: the count is negative.
    PpRefCountNegative {
        /// [`crate::io_uring::zcrx::area::Area::area_id`].
        area: u32,
        /// Index of the buffer.
        niov: u32,
    },
    /// `__netif_mp_close_rxq`: another provider is bound to the queue.
    ForeignProvider,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Warning::IfqFreedWithQueue { ifq } => write!(f, "ifq{ifq} freed with an open queue"),
            Warning::IfqFreedWithRing { ifq } => write!(f, "ifq{ifq} freed while it holds a ring"),
            Warning::TerminatedTwice { id } => write!(f, "id {id} terminated twice"),
            Warning::NotTerminated { id } => write!(f, "id {id} was never terminated"),
            Warning::FreelistFull { area, niov } => {
                write!(f, "{} returned to a full free list", NiovName { area, niov })
            }
            Warning::AllocCacheNotEmpty => {
                f.write_str("refill of a page pool cache that is not empty")
            }
            Warning::PpRefCountNegative { area, niov } => {
                write!(f, "pp_ref_count of {} below zero", NiovName { area, niov })
            }
            Warning::ForeignProvider => f.write_str("closing a queue that another ifq is bound to"),
        }
    }
}

/// Name of a buffer in reports; the first area is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NiovName {
    pub(crate) area: u32,
    pub(crate) niov: u32,
}

impl fmt::Display for NiovName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.area {
            0 => write!(f, "niov{}", self.niov),
            area => write!(f, "niov{area}.{}", self.niov),
        }
    }
}

/// `WARN_ON_ONCE(condition)`: reports the warning if the condition holds, and returns the condition.
///
/// Linux: `include/asm-generic/bug.h`, 6.18 to 7.3.
pub fn warn_on_once<P: Platform>(kernel: &Kernel<P>, condition: bool, warning: Warning) -> bool {
    if condition {
        kernel.trace(&Tracepoint::Warning(warning));
    }
    condition
}
