//! Profiles: which sizes and features worlds have.

use std::fmt;

use serde::Serialize;

use super::feature::{Feature, Part};

/// A profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Small worlds with few features: milliseconds each.
    Smoke,
    /// Worlds of applications that follow the rules.
    #[default]
    Default,
    /// Worlds of all sizes; each feature is on in half of them, misuse of shared memory as well.
    Swarm,
    /// Rings, descriptors, sockets and the device are closed all the time.
    TeardownStorm,
    /// Few buffers, held for long.
    Starvation,
}

/// Smallest and largest values of what a profile draws.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) rings: (u32, u32),
    pub(super) operations: (u32, u32),
    pub(super) buffers: (u32, u32),
    pub(super) entries: (u32, u32),
}

impl Profile {
    /// All profiles.
    pub const ALL: [Profile; 5] = [
        Profile::Smoke,
        Profile::Default,
        Profile::Swarm,
        Profile::TeardownStorm,
        Profile::Starvation,
    ];

    /// The word on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Profile::Smoke => "smoke",
            Profile::Default => "default",
            Profile::Swarm => "swarm",
            Profile::TeardownStorm => "teardown-storm",
            Profile::Starvation => "starvation",
        }
    }

    /// One sentence about it.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Profile::Smoke => "small worlds with few features",
            Profile::Default => "applications that follow the rules",
            Profile::Swarm => "all sizes, each feature in half of the worlds, misuse as well",
            Profile::TeardownStorm => {
                "rings, descriptors, sockets and the device close all the time"
            }
            Profile::Starvation => "few buffers, held for long",
        }
    }

    pub(super) fn sizes(self) -> Sizes {
        match self {
            Profile::Smoke => {
                Sizes { rings: (2, 4), operations: (20, 120), buffers: (2, 16), entries: (2, 16) }
            }
            Profile::Default => Sizes {
                rings: (2, 16),
                operations: (100, 1500),
                buffers: (4, 256),
                entries: (4, 64),
            },
            Profile::Swarm => Sizes {
                rings: (2, 63),
                operations: (50, 3000),
                buffers: (1, 4096),
                entries: (1, 256),
            },
            Profile::TeardownStorm => {
                Sizes { rings: (4, 32), operations: (50, 800), buffers: (2, 32), entries: (2, 16) }
            }
            Profile::Starvation => {
                Sizes { rings: (2, 8), operations: (100, 1000), buffers: (1, 4), entries: (1, 4) }
            }
        }
    }

    /// The probability that a feature is on, in per cent.
    pub(super) fn percent(self, feature: Feature) -> u32 {
        use Feature::{
            Batch, CloseSocket, DownUp, Exec, Exit, Hold, Late, Never, Reset, Share, Unregister,
            Unshare,
        };
        match (self, feature.part(), feature) {
            (Profile::Swarm, Part::Misuse, _) => 20,
            (_, Part::Misuse, _) => 0,
            (_, _, Share) => 80,
            (Profile::Smoke, ..) => 25,
            (Profile::TeardownStorm, _, Unshare | Exit | Exec | CloseSocket | Reset) => 90,
            (Profile::TeardownStorm, _, DownUp | Unregister) => 60,
            (Profile::Starvation, _, Hold | Late | Never | Batch) => 75,
            (_, _, Unregister | Exec) => 20,
            _ => 50,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
