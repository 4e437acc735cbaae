//! `kzalloc` and null pointers (`mm/slab.h`).

use crate::errno::EFAULT;
use crate::fault::FaultPoint;
use crate::invariant::Invariant;
use crate::platform::{Kind, Platform, Ptr};

/// `kzalloc(sizeof(T), GFP_KERNEL)`: `None` at the fault point.
///
/// Linux: `include/linux/slab.h`, 6.18 to 7.3.
#[must_use]
pub fn kzalloc<P: Platform, T: 'static>(
    point: FaultPoint,
    kind: Kind,
    number: u32,
    make: impl FnOnce() -> T,
) -> Option<Ptr<P, T>> {
    if P::fault(point) { None } else { Some(Ptr::alloc(kind, number, make)) }
}

/// Not in Linux: dereferences a pointer that may be null. `access` is the C expression, for the report.
///
/// # Errors
/// -EFAULT after a violation of I1 if the pointer is null. The task that oopses does not go on.
pub fn deref<P: Platform, T: 'static>(
    ptr: Option<Ptr<P, T>>,
    access: &str,
) -> Result<Ptr<P, T>, i64> {
    if ptr.is_none() {
        P::violation(Invariant::I1, format_args!("null pointer dereference: {access}"));
    }
    ptr.ok_or(-EFAULT)
}
