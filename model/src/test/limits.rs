//! Upper bounds of what a test may hold.

/// Rings in one test.
pub const RINGS: usize = 64;
/// Sockets in one test.
pub const SOCKETS: usize = 96;
/// Threads in one test.
pub const THREADS: usize = 96;
/// Steps in one section.
pub const STEPS: usize = 4096;
/// Steps in one test. An engine numbers what the first thread makes, a few parts for each step, in 16 bits.
pub const ALL_STEPS: usize = 8192;
/// Bound names in one test.
pub const VARS: usize = 4096;
/// Buffers (niovs of one page) in an area.
pub const BUFFERS: u32 = 4096;
/// Buffers of all areas of one test. Each takes about a hundred bytes of an engine's memory.
pub const ALL_BUFFERS: u32 = 1 << 17;
/// Entries that may be asked for; the kernel's own limit is `IO_RQ_MAX_ENTRIES`, 32768.
pub const ENTRIES: u32 = 65536;
/// `export` steps in one test: with rings and connections fewer than the descriptors that a process has by
/// default (`INR_OPEN_CUR`, 1024).
pub const EXPORTS: usize = 832;
/// Entries of all refill rings of one test.
pub const ALL_ENTRIES: u32 = 1 << 17;
/// Bytes in one send. TCP cuts a longer one in two, because no segment is longer than half the window of a new
/// connection, 65,535 bytes (`tcp_bound_to_half_wnd`, `include/net/tcp.h`). The model does not segment.
pub const SEND: u32 = 32767;
/// Receive queues of the test's network device.
pub const QUEUES: u32 = 16;
/// Faults in one run. A search is feasible with a few; the simulator draws more.
pub const FAULTS: u32 = 1024;
/// Parentheses and `not` inside each other in a condition.
pub const FORMULA_DEPTH: usize = 32;
/// Largest number of buffers of a packet, `MAX_SKB_FRAGS`, and of packets in a buffer.
pub const FRAGS: u32 = 17;
