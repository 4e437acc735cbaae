//! The features of a world: what applications, network and device may do in it.

use serde::Serialize;

/// Which part of a world a feature belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What an application does with its buffers.
    Buffers,
    /// What an application does with its ring and its ifqs.
    Rings,
    /// What peers and the network do.
    Network,
    /// What happens to the device.
    Device,
    /// What no application may do. The invariants that user space breaks by it are not checked.
    Misuse,
}

macro_rules! features {
    ($($variant:ident $word:literal $part:ident $about:literal;)*) => {
        /// One feature. A seed draws which are on, and the weight of each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub enum Feature {
            $(#[doc = $about] #[serde(rename = $word)] $variant,)*
        }

        impl Feature {
            /// All features.
            pub const ALL: &'static [Feature] = &[$(Feature::$variant,)*];

            /// The word in the log.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Feature::$variant => $word,)* }
            }

            /// One sentence about it.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Feature::$variant => $about,)* }
            }

            /// The part that it belongs to.
            #[must_use]
            pub fn part(self) -> Part {
                match self { $(Feature::$variant => Part::$part,)* }
            }
        }
    };
}

features! {
    Hold "hold" Buffers "Buffers are kept until the ring's application ends.";
    Batch "batch" Buffers "Buffers are returned in batches.";
    Late "late" Buffers "Buffers are returned late, in any order.";
    Foreign "foreign" Buffers "Another thread returns the buffers.";
    Never "never" Buffers "Buffers are never returned.";
    Share "share" Rings "Rings export ifqs, and import or clone those of others.";
    Unshare "unshare" Rings "Exported descriptors are closed.";
    Exit "exit" Rings "A ring exits while its requests wait and its buffers are held.";
    Exec "exec" Rings "A task executes another program.";
    Cancel "cancel" Rings "Requests are cancelled: one, those of a connection, all.";
    Flush "flush" Rings "The refill ring is flushed.";
    AddArea "add-area" Rings "Areas are added.";
    Events "events" Rings "Registrations ask for events, which are armed again.";
    Mmap "mmap" Rings "The refill ring is mapped.";
    Lazy "lazy" Rings "Applications take completions late, so that the completion queue overflows.";
    Limited "limited" Rings "Requests end after a number of bytes, or poll first.";
    Setups "setups" Rings "Rings are set up with other flags.";
    BadArguments "bad-arguments" Rings "System calls have arguments that the kernel must refuse.";
    Bursts "bursts" Network "Peers send several messages in a row.";
    Layouts "layouts" Network "A packet lies in several buffers, or a buffer has several packets.";
    HeldBack "held-back" Network "Messages are held back until something else has happened.";
    Shutdown "shutdown" Network "Peers end their streams.";
    Reset "reset" Network "Peers reset their connections.";
    CloseSocket "close-socket" Network "Applications close connections.";
    DownUp "down-up" Device "The device goes down and comes up.";
    Restart "restart" Device "Queues are restarted.";
    Unregister "unregister" Device "The device is unregistered.";
    Twice "twice" Misuse "Buffers are returned twice.";
    Unlocked "unlocked" Misuse "Buffers are returned without the producers' lock.";
    Scribble "scribble" Misuse "User space writes into the refill ring.";
}
