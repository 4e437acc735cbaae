//! `refcount_t` (`include/linux/refcount.h`).

use crate::invariant::Invariant;
use crate::platform::{AtomicWord, Order, Platform, Rmw};

/// A reference count that must never rise from zero nor pass below it.
///
/// # Divergence from Linux
/// - Simplified: the kernel saturates and warns. Here the same event is a violation of I2, and the
///   run ends.
#[derive(Debug)]
pub struct Refcount<P: Platform> {
    word: P::Atomic,
    name: &'static str,
}

impl<P: Platform> Refcount<P> {
    /// `refcount_set` before anyone else can see the count.
    ///
    /// Linux: `include/linux/refcount.h`, 6.18 to 7.3.
    #[must_use]
    pub fn new(name: &'static str, value: u64) -> Self {
        Refcount { word: P::atomic(name, value), name }
    }

    /// `refcount_read`.
    ///
    /// Linux: `include/linux/refcount.h`, 6.18 to 7.3.
    pub async fn read(&self) -> u64 {
        self.word.load(Order::Relaxed).await
    }

    /// For checks: the count.
    pub fn observe(&self) -> u64 {
        self.word.load_in_step()
    }

    /// `refcount_inc`: relaxed, the caller holds a reference already.
    ///
    /// Linux: `include/linux/refcount.h`, 6.18 to 7.3.
    pub async fn inc(&self) {
        if self.word.rmw_capped(Rmw::Add(1), Order::Relaxed, 1).await == 0 {
            P::violation(
                Invariant::I2,
                format_args!("refcount_t: addition on 0; use-after-free: {}", self.name),
            );
        }
    }

    /// `refcount_dec`: the caller knows that it is not the last one.
    ///
    /// Linux: `include/linux/refcount.h`, 6.18 to 7.3.
    pub async fn dec(&self) {
        if self.word.rmw_capped(Rmw::Sub(1), Order::Release, 2).await <= 1 {
            P::violation(
                Invariant::I2,
                format_args!("refcount_t: decrement hit 0; leaking memory: {}", self.name),
            );
        }
    }

    /// `refcount_inc_not_zero`: whether a reference was taken.
    ///
    /// Linux: `include/linux/refcount.h`, 6.18 to 7.3.
    pub async fn inc_not_zero(&self) -> bool {
        self.word.rmw_capped(Rmw::AddUnless { add: 1, unless: 0 }, Order::Relaxed, 1).await != 0
    }

    /// `refcount_dec_and_test`: release, and acquire for the one who gets `true`.
    ///
    /// Linux: `include/linux/refcount.h`, 6.18 to 7.3.
    pub async fn dec_and_test(&self) -> bool {
        match self.word.rmw_capped(Rmw::Sub(1), Order::Release, 2).await {
            0 => {
                P::violation(
                    Invariant::I2,
                    format_args!("refcount_t: underflow; use-after-free: {}", self.name),
                );
                false
            }
            1 => {
                // smp_acquire__after_ctrl_dep(): pairs with the releases of the earlier puts.
                self.word.load_in_step();
                true
            }
            _ => false,
        }
    }
}
