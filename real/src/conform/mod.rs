//! Conformance campaigns: many tests on many kernels, compared with the model.
//!
//! * [`oracle`]: the outcomes that the model allows; [`compare`]: observed outcomes against them.
//! * [`divergences`]: what the model simplifies in the functions that a test reaches.
//! * [`run`]: runs tests on one machine while the model is searched; [`progress`]: the progress line.
//! * [`result_view`]: prints one result; [`table`]: prints all results.
//! * [`minimise`]: finds a smaller test that still differs on the kernel; [`store`]: writes a
//!   difference to a file.
//! * [`generated`]: tests generated from a seed.
//! * [`campaign`]: all of these over several machines.

pub mod campaign;
pub mod compare;
pub mod divergences;
pub mod enumerated;
#[cfg(target_os = "linux")]
pub mod force;
pub mod generated;
pub mod minimise;
pub mod oracle;
pub mod progress;
pub mod result_view;
pub mod run;
pub mod store;
pub mod table;
