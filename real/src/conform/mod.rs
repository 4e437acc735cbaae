//! Many tests on many kernels, compared with the model.
//!
//! * [`predict`]: what the model allows; [`measure`]: tests on one machine, beside it; [`progress`]:
//!   how far that is.
//! * [`show`]: one result, for people and for programs; [`table`]: all of them.
//! * [`minimise`]: a smaller test that still differs on the kernel; [`store`]: a difference as a
//!   file.
//! * [`generated`]: tests that are drawn from a seed.
//! * [`campaign`]: all of it, over several machines.

pub mod campaign;
pub mod generated;
pub mod measure;
pub mod minimise;
pub mod predict;
pub mod progress;
pub mod show;
pub mod store;
pub mod table;
