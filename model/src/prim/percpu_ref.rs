//! `percpu_ref` (`lib/percpu-refcount.c`).

use crate::invariant::Invariant;
use crate::platform::{AtomicWord, Order, Platform, Rmw};

// In atomic mode the word is the count alone. So a put can tell the last reference from all others without
// observing the mode or the count.
const PERCPU: u64 = 1 << 40;
/// In percpu mode: the ref is killed.
const DEAD: u64 = 1 << 41;
const COUNT: u64 = (1 << 32) - 1;

/// A reference count that cannot reach zero before it is killed.
///
/// The kernel keeps one counter for each CPU until the kill, and adds them up after an RCU grace
/// period. Gets and puts are RCU readers, so none is in progress when the sum is taken. One word
/// with mode and sum, changed in one step, has the same visible behaviour.
#[derive(Debug)]
pub struct PercpuRef<P: Platform> {
    word: P::Atomic,
}

impl<P: Platform> PercpuRef<P> {
    /// `percpu_ref_init`: percpu mode, one reference.
    ///
    /// Linux: `lib/percpu-refcount.c`, 6.18 to 7.3.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        PercpuRef { word: P::atomic(name, PERCPU | 1) }
    }

    /// `percpu_ref_init` and so many `percpu_ref_get`, before anyone else can see the count.
    ///
    /// Linux: `lib/percpu-refcount.c`, 6.18 to 7.3.
    #[must_use]
    pub fn with_refs(name: &'static str, refs: u64) -> Self {
        PercpuRef { word: P::atomic(name, PERCPU | (1 + refs)) }
    }

    /// `percpu_ref_get`.
    ///
    /// Linux: `include/linux/percpu-refcount.h`, 6.18 to 7.3.
    pub async fn get(&self) {
        if self.word.rmw_capped(Rmw::Add(1), Order::Relaxed, 1).await == 0 {
            P::violation(Invariant::I2, format_args!("percpu_ref_get on a released ref"));
        }
    }

    /// `percpu_ref_put`: `true` if the caller must run the release function.
    ///
    /// Linux: `include/linux/percpu-refcount.h`, 6.18 to 7.3.
    #[must_use]
    pub async fn put(&self) -> bool {
        let old = self.word.rmw_capped(Rmw::Sub(1), Order::Full, 2).await;
        if old == 0 {
            P::violation(Invariant::I2, format_args!("percpu_ref_put below zero"));
        }
        old == 1
    }

    /// `percpu_ref_kill`, without the switch that follows in an RCU callback: the caller queues
    /// `percpu_ref_switch_to_atomic_rcu`.
    ///
    /// Linux: `lib/percpu-refcount.c`, 6.18 to 7.3.
    pub async fn kill(&self) {
        let old = self.word.rmw(Rmw::Or(DEAD), Order::Full).await;
        if old & DEAD != 0 || old & PERCPU == 0 {
            P::violation(Invariant::I2, format_args!("percpu_ref_kill called more than once"));
        }
    }

    /// `percpu_ref_switch_to_atomic_rcu` and the put of the initial reference: `true` if the caller
    /// must run the release function.
    ///
    /// Linux: `lib/percpu-refcount.c`, 6.18 to 7.3.
    #[must_use]
    pub async fn switch_to_atomic_rcu(&self) -> bool {
        let old = self.word.rmw(Rmw::Sub(PERCPU + DEAD + 1), Order::Full).await;
        if old & PERCPU == 0 || old & COUNT == 0 {
            P::violation(Invariant::I2, format_args!("percpu ref <= 0 after switching to atomic"));
        }
        old & COUNT == 1
    }

    /// For checks: the sum of all references.
    pub fn observe_count(&self) -> u64 {
        self.word.load_in_step() & COUNT
    }

    /// `percpu_ref_is_dying`.
    ///
    /// Linux: `include/linux/percpu-refcount.h`, 6.18 to 7.3.
    pub async fn is_dying(&self) -> bool {
        let word = self.word.load(Order::Relaxed).await;
        word & DEAD != 0 || word & PERCPU == 0
    }
}
