//! `struct xarray` as an allocating array of pointers (`lib/xarray.c`).

use std::marker::PhantomData;

use crate::capacity::exceeded;
use crate::errno::ENOMEM;
use crate::fault::FaultPoint;
use crate::platform::{AtomicWord, Label, Order, Platform, Ptr, RawLock, Rmw};

// An entry: bit 0 the id is taken, bit 1 XA_MARK_1, from bit 8 the pointer (0: a zero entry).
const TAKEN: u64 = 1;
const MARK: u64 = 2;
const PTR_SHIFT: u32 = 8;

/// A pointer for each id.
///
/// # Divergence from Linux
/// - Simplified: the array never allocates nodes, so an `xa_store` into a reserved id fails only where the
///   test names the fault point.
/// - Left out: the limit `xa_limit_31b`. No test has so many steps.
#[derive(Debug)]
pub struct XArray<P: Platform, T> {
    xa_lock: P::Lock,
    slots: Vec<P::Atomic>,
    target: PhantomData<fn() -> T>,
}

impl<P: Platform, T: 'static> XArray<P, T> {
    /// `xa_init_flags(XA_FLAGS_ALLOC)`, for at most `ids` ids at a time.
    ///
    /// Linux: `include/linux/xarray.h`, 6.18 to 7.3.
    #[must_use]
    pub fn new(name: &'static str, ids: usize) -> Self {
        XArray {
            xa_lock: P::lock("xa_lock"),
            slots: (0..ids).map(|_| P::atomic(Label::pointer(name, PTR_SHIFT), 0)).collect(),
            target: PhantomData,
        }
    }

    fn pointer(entry: u64) -> Option<Ptr<P, T>> {
        Ptr::from_word(entry >> PTR_SHIFT)
    }

    /// `xa_alloc` of a `NULL` entry: reserves the lowest free id.
    ///
    /// # Errors
    /// -ENOMEM at the fault point.
    ///
    /// Linux: `lib/xarray.c`, 6.18 to 7.3.
    pub async fn alloc(&self) -> Result<u32, i64> {
        if P::fault(FaultPoint::XaAlloc) {
            return Err(-ENOMEM);
        }
        let _guard = self.xa_lock.lock().await;
        for (id, slot) in (0u32..).zip(&self.slots) {
            if slot.load_in_step() == 0 {
                slot.store_in_step(TAKEN);
                return Ok(id);
            }
        }
        exceeded("the id of an ifq")
    }

    /// `xa_store` into a reserved id.
    ///
    /// # Errors
    /// -ENOMEM at the fault point.
    ///
    /// Linux: `lib/xarray.c`, 6.18 to 7.3.
    pub async fn store(&self, id: u32, ptr: &Ptr<P, T>) -> Result<(), i64> {
        if P::fault(FaultPoint::XaStore) {
            return Err(-ENOMEM);
        }
        let _guard = self.xa_lock.lock().await;
        self.slots[id as usize].store_in_step(TAKEN | ptr.to_word() << PTR_SHIFT);
        Ok(())
    }

    /// `xa_load`, under RCU only.
    ///
    /// Linux: `lib/xarray.c`, 6.18 to 7.3.
    pub async fn load(&self, id: u32) -> Option<Ptr<P, T>> {
        let slot = self.slots.get(id as usize)?;
        Self::pointer(slot.load(Order::Acquire).await)
    }

    /// `xa_erase`.
    ///
    /// Linux: `lib/xarray.c`, 6.18 to 7.3.
    pub async fn erase(&self, id: u32) {
        let _guard = self.xa_lock.lock().await;
        self.slots[id as usize].store_in_step(0);
    }

    /// `xa_find(…, XA_PRESENT)`: the first id from `from` on that holds a pointer. The caller holds
    /// the lock under which all entries are written, or is a check.
    ///
    /// Linux: `lib/xarray.c`, 6.18 to 7.3.
    #[must_use]
    pub fn find(&self, from: u32) -> Option<(u32, Ptr<P, T>)> {
        (0u32..)
            .zip(&self.slots)
            .skip(from as usize)
            .find_map(|(id, slot)| Some((id, Self::pointer(slot.load_in_step())?)))
    }

    /// `xa_get_mark(…, XA_MARK_1)`. The caller holds the lock under which entries are written.
    ///
    /// Linux: `lib/xarray.c`, 6.18 to 7.3.
    #[must_use]
    pub fn get_mark(&self, id: u32) -> bool {
        self.slots[id as usize].load_in_step() & MARK != 0
    }

    /// `xa_set_mark(…, XA_MARK_1)`.
    ///
    /// Linux: `lib/xarray.c`, 6.18 to 7.3.
    pub async fn set_mark(&self, id: u32) {
        self.slots[id as usize].rmw(Rmw::Or(MARK), Order::Relaxed).await;
    }
}
