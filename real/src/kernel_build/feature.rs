//! What can be added to a kernel.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A part of the configuration that can be chosen.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Use after free and out of bounds
    Kasan,
    /// Order of locks, sleeping in atomic context, misuse of RCU
    Lockdep,
    /// Data races; excludes kasan
    Kcsan,
    /// Memory that nothing points to
    Kmemleak,
    /// Allocations and functions that fail
    FaultInjection,
    /// Coverage of io_uring/zcrx.c
    Gcov,
    /// Undefined behaviour of C
    Ubsan,
    /// DWARF in vmlinux
    DebugInfo,
}

impl Feature {
    /// The lines of its configuration.
    pub(super) fn fragment(self) -> &'static str {
        match self {
            Feature::Kasan => include_str!("../../kernel/kasan.config"),
            Feature::Lockdep => include_str!("../../kernel/lockdep.config"),
            Feature::Kcsan => include_str!("../../kernel/kcsan.config"),
            Feature::Kmemleak => include_str!("../../kernel/kmemleak.config"),
            Feature::FaultInjection => include_str!("../../kernel/fault-injection.config"),
            Feature::Gcov => include_str!("../../kernel/gcov.config"),
            Feature::Ubsan => include_str!("../../kernel/ubsan.config"),
            Feature::DebugInfo => include_str!("../../kernel/debug-info.config"),
        }
    }

    /// Arguments of make that it needs beside its configuration.
    #[must_use]
    pub fn make_arguments(self) -> &'static [&'static str] {
        match self {
            Feature::Gcov => &["GCOV_PROFILE_zcrx.o=y"],
            _ => &[],
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
