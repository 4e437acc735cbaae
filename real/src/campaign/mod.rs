//! Campaigns: many runs of several engines, from a plan, with every result stored at once.
//!
//! The core idea is that everything that is reported is a function of the plan and of the stored records, and that
//! a record depends only on the plan. So it does not matter how often a campaign was killed, on how many machines
//! it ran, or in which order: the reports have the same bytes.
//!
//! | file | subject |
//! |---|---|
//! | [`plan`] | the file that a person writes |
//! | [`engine`] | what a campaign asks of an engine |
//! | [`record`] | what is stored |
//! | [`store`] | how it is stored: one line a record, with checksums |
//! | [`cause`] | which failures are one failure |
//! | [`merge`] | shards to one campaign |
//! | [`summary`] | what all records say together |
//! | [`html`], [`junit`] | reports |

pub mod cause;
pub mod engine;
pub mod html;
pub mod junit;
pub mod merge;
pub mod plan;
pub mod record;
pub mod store;
pub mod summary;
