//! Indices that name the parts of a test.

/// Index into [`crate::test::Test::rings`].
pub type RingId = u8;
/// Index into [`crate::test::Test::sockets`].
pub type SocketId = u8;
/// Index into [`crate::test::Test::vars`].
pub type VarId = u16;
