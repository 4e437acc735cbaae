//! The kernel's own primitives, built on the platform's words.

pub mod completion;
pub mod percpu_ref;
pub mod refcount;
pub mod sched;
pub mod slab;
pub mod xarray;
