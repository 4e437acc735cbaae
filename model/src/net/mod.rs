//! The network stack, as far as zcrx touches it.

pub mod layout;
pub mod netdev;
pub mod page_pool;
pub mod tcp;
