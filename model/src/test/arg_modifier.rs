//! Departures from the default argument of a system call.
//!
//! A step of a test lists them after `with`. Most of them break one rule that the kernel checks, so
//! the result shows which checks the kernel makes and in which order.

use serde::{Deserialize, Serialize};

use crate::named_enum::named_enum;

/// Each line: variant, word, the verbs that it applies to, documentation.
macro_rules! modifiers {
    ($($variant:ident $word:literal $verbs:literal $about:literal;)*) => {
        named_enum! {
            /// One departure from the default argument.
            pub enum ArgModifier {
                $($variant $word $about;)*
            }
        }

        impl ArgModifier {
            /// Whether the modifier applies to a verb.
            #[must_use]
            pub fn fits(self, verb: &str) -> bool {
                let verbs = match self { $(ArgModifier::$variant => $verbs,)* };
                verbs.split(' ').any(|v| v == verb)
            }
        }
    };
}

modifiers! {
    NoCap "no-cap" "register import clone" "The caller lacks `CAP_NET_ADMIN`.";
    ArgFault "arg-fault" "register import clone export flush add-area arm"
        "The address of the argument cannot be read.";
    Resv "resv" "register import clone export flush add-area arm"
        "Reserved fields of the outer structure are set.";
    ZcrxId "zcrx-id" "register import clone" "`zcrx_id` is set.";
    Flags "flags" "register import clone" "An unknown bit of `flags` is set.";
    NrArgs "nr-args" "export flush add-area arm" "`nr_args` is not zero.";
    OpResv "op-resv" "export flush add-area arm" "Fields of the operation's part of the structure are set.";
    Rxq "rxq" "register import" "`if_rxq` is set where it must be zero.";
    RqEntries "rq-entries" "import clone" "`rq_entries` is set.";
    AreaPtr "area-ptr" "import clone" "`area_ptr` is set.";
    RegionPtr "region-ptr" "import clone" "`region_ptr` is set.";
    EventDesc "event-desc" "import" "`event_desc` is set.";
    RegionFault "region-fault" "register" "`region_ptr` cannot be read.";
    RegionSmall "region-small" "register" "The region is smaller than the ring.";
    KernelRegion "kernel-region" "register" "The kernel allocates the region, and user space can map it.";
    StaleRing "stale-ring" "register"
        "The region's memory holds the indices and entries of an earlier ring.";
    RxqMinusOne "rxq-minus-one" "register" "`if_rxq` is -1.";
    NodevIdx "nodev-idx" "register" "`ZCRX_REG_NODEV` and `if_idx` are both set, also for a queue.";
    NoDevice "no-device" "register" "`if_idx` is the index of no device; for `nodev` it is set.";
    RxBufLen "rx-buf-len" "register" "`rx_buf_len` is not a power of two.";
    RxBufBig "rx-buf-big" "register" "`rx_buf_len` is two pages. A queue then needs contiguous pages, which the model does not have.";
    AreaFault "area-fault" "register add-area" "`area_ptr` cannot be read.";
    AreaToken "area-token" "register add-area" "`rq_area_token` is set.";
    AreaFlags "area-flags" "register add-area" "An unknown bit of the area's `flags` is set.";
    AreaResv "area-resv" "register add-area" "Reserved fields of the area are set.";
    AreaNull "area-null" "register add-area" "The area's address is zero.";
    AreaUnaligned "area-unaligned" "register add-area" "The area's address is not page-aligned, unless it is zero.";
    AreaDmabufFd "area-dmabuf-fd" "register add-area"
        "`dmabuf_fd` is set without `IORING_ZCRX_AREA_DMABUF`.";
    Events "events" "register" "The registration asks for both events.";
    EventFault "event-fault" "register" "`event_desc` cannot be read.";
    EventType "event-type" "register" "The registration asks for an unknown event.";
    EventFlags "event-flags" "register" "An unknown bit of the event's `flags` is set.";
    EventStats "event-stats" "register" "`stats_offset` is set without its flag.";
    EventResv "event-resv" "register" "Reserved fields of the event are set.";
    Oneshot "oneshot" "recv" "`IORING_RECV_MULTISHOT` is missing.";
    MsgFlags "msg-flags" "recv" "`msg_flags` is set.";
    Addr "addr" "recv" "`addr` is set.";
    AreaDmabuf "area-dmabuf" "register add-area"
        "`IORING_ZCRX_AREA_DMABUF` is set, and `dmabuf_fd` is -1.";
    PollFirst "poll-first" "recv" "`IORING_RECVSEND_POLL_FIRST` is set: the request polls before it receives.";
}

/// A set of modifiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArgModifiers(u64);

impl ArgModifiers {
    /// The empty set: the default argument.
    pub const NONE: ArgModifiers = ArgModifiers(0);

    /// Whether the set has a modifier.
    #[must_use]
    pub fn has(self, modifier: ArgModifier) -> bool {
        self.0 >> modifier as u32 & 1 != 0
    }

    /// The set with one more modifier.
    #[must_use]
    pub fn and(self, modifier: ArgModifier) -> Self {
        ArgModifiers(self.0 | 1 << modifier as u32)
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// The modifiers, in the order of [`ArgModifier::ALL`].
    pub fn iter(self) -> impl Iterator<Item = ArgModifier> {
        ArgModifier::ALL.iter().copied().filter(move |modifier| self.has(*modifier))
    }
}

impl FromIterator<ArgModifier> for ArgModifiers {
    fn from_iter<I: IntoIterator<Item = ArgModifier>>(modifiers: I) -> Self {
        modifiers.into_iter().fold(ArgModifiers::NONE, ArgModifiers::and)
    }
}

impl Serialize for ArgModifiers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for ArgModifiers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<ArgModifier>::deserialize(deserializer)
            .map(|modifiers| modifiers.into_iter().collect())
    }
}
