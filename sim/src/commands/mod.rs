//! What the commands of `ifq` do, without their command lines.

pub mod catalogue;
pub mod diff;
pub mod engines;
pub mod enumerate;
pub mod find_violation;
pub mod record_outcomes;
pub mod replay;
pub mod selection;
pub mod simulate;
pub mod worlds;
