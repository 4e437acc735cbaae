//! How far a search goes, and how: arguments that several commands share.

use std::time::Duration;

use clap::Args;

use crate::search::explore::Limits;
use crate::symmetry::Symmetries;

/// When a search is given up, and what it leaves out. A search that is given up ends as `bounded`.
#[derive(Clone, Debug, Args)]
pub struct Bounds {
    /// Give up a test after so many states
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_states)]
    pub max_states: u64,
    /// Give up a test after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub max_time: Option<u64>,
    /// Give up a test when remembering its states takes so many MiB
    #[arg(long, value_name = "MIB")]
    pub max_memory: Option<u64>,
    /// Search only runs with so many preemptions: times that a thread is put aside that could go on
    #[arg(long, value_name = "N")]
    pub preemptions: Option<u32>,
    /// Try every thread in every state, also where a step is in no other thread's way
    #[arg(long)]
    pub no_persistent_sets: bool,
    /// Take states for one that differ in the names of buffers only. Leaves out runs that differ in the
    /// order in which a scrub comes to the buffers
    #[arg(long)]
    pub buffer_symmetry: bool,
    /// Search states apart that differ in the names of rings only, with their connections and threads
    #[arg(long)]
    pub no_ring_symmetry: bool,
    /// Try only one order of two steps that do not touch each other; one processor a test
    #[arg(long)]
    pub sleep_sets: bool,
    /// Processors [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
}

impl Bounds {
    /// Processors to use.
    #[must_use]
    pub fn processors(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(all, usize::from)
    }

    /// For each of so many searches at the same time.
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
            ..Limits::default()
        }
    }
}
