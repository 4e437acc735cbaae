//! Arguments of commands that search: limits and reductions.

use std::time::Duration;

use clap::Args;

use ifq_sim::search::explore::Limits;
use ifq_sim::symmetry::Symmetries;

use crate::machine::interrupt_flag;

/// Limits and reductions of a search. A search that reaches a limit ends as `bounded`, exit code 3.
#[derive(Clone, Debug, Args)]
pub struct SearchArgs {
    /// Stop the search of a test after N states
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_states,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub max_states: u64,
    /// Stop the search of a test after SECONDS
    #[arg(long, value_name = "SECONDS")]
    pub max_time: Option<u64>,
    /// Stop the search of a test when its visited set exceeds MIB mebibytes
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..1 << 40))]
    pub max_memory: Option<u64>,
    /// Preemption bound: search only runs with at most N preemptions (switches away from a thread
    /// that could continue)
    #[arg(long, value_name = "N")]
    pub preemptions: Option<u32>,
    /// Turn off persistent sets: expand every enabled thread in every state
    #[arg(long)]
    pub no_persistent_sets: bool,
    /// Merge states that differ only in the names of buffers. Skips runs that differ only in the order
    /// in which a scrub visits the buffers
    #[arg(long)]
    pub buffer_symmetry: bool,
    /// Turn off ring symmetry: do not merge states that differ only in the names of rings, their
    /// connections and their threads
    #[arg(long)]
    pub no_ring_symmetry: bool,
    /// Turn on sleep sets: search one order of two independent steps. Uses one processor per test
    #[arg(long)]
    pub sleep_sets: bool,
    /// Number of processors [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
}

impl SearchArgs {
    /// The number of processors to use.
    #[must_use]
    pub fn processors(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(all, usize::from)
    }

    /// The limits of each search if `searches` of them run at the same time.
    #[must_use]
    pub fn limits(&self, searches: usize) -> Limits {
        Limits {
            max_states: self.max_states,
            max_time: self.max_time.map(Duration::from_secs),
            max_memory: self.max_memory.map(|mib| mib << 20),
            preemptions: self.preemptions,
            persistent_sets: !self.no_persistent_sets,
            sleep_sets: self.sleep_sets,
            symmetry: Symmetries { rings: !self.no_ring_symmetry, buffers: self.buffer_symmetry },
            workers: if self.sleep_sets { 1 } else { (self.processors() / searches.max(1)).max(1) },
            stop: Some(interrupt_flag()),
            ..Limits::default()
        }
    }
}
