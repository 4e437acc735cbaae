//! Revisions of the kernel's sharing code, and their defects.
//!
//! Adding a revision is one row in [`table`]. The kernel code asks for features and for fixes.

pub mod catalogue;
mod code;
pub mod defect;
pub mod table;
pub mod variant;

pub use self::catalogue::{Entry, NonDefect};
pub use self::defect::{Defect, ExtraState};
pub use self::table::Revision;
pub use self::variant::Variant;
