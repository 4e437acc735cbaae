//! What is known about kernels: what one supports, which revision of the model it has, and which
//! tests can run on it.

pub mod fault_site;
pub mod kernel_error;
pub mod probe;
pub mod series;
pub mod series_number;
pub mod supported;
