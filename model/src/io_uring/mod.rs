//! `io_uring/` of the kernel, file by file, as far as sharing an ifq needs it.

pub mod cancel;
pub mod cq;
pub mod ctx;
pub mod net;
pub mod poll;
pub mod register;
pub mod submit;
pub mod submitter;
pub mod tctx;
pub mod tw;
pub mod uapi;
pub mod zcrx;
