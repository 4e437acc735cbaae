//! Merges the shards of a campaign.

use std::collections::BTreeMap;

use thiserror::Error;

use super::record::{Header, Record};
use super::store::Contents;

/// Why campaigns cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MergeError {
    /// They are not parts of one campaign.
    #[error("{0} and {1} are not parts of one campaign: they differ in {2}")]
    Different(String, String, &'static str),
    /// One unit has two results.
    #[error("{0} has another result of unit {1} than a folder before it")]
    Contradiction(String, u64),
}

/// The records of all campaigns, in the order of units and cases. `campaigns` is not empty; each has its name.
///
/// # Errors
/// [`MergeError`].
pub fn merge(campaigns: &[(String, Contents)]) -> Result<(Header, Vec<Record>), MergeError> {
    let (first, Contents { header, .. }) = &campaigns[0];
    let mut merged: BTreeMap<(bool, u64, u64, String), Record> = BTreeMap::new();
    for (name, contents) in campaigns {
        if let Some(what) = difference(header, &contents.header) {
            return Err(MergeError::Different(first.clone(), name.clone(), what));
        }
        for record in &contents.records {
            let (key, unit) = match record {
                Record::Header(_) => continue,
                Record::Unit(record) => ((false, record.unit, 0, String::new()), record.unit),
                Record::Small(small) => {
                    ((true, small.unit, small.case, small.cause.clone()), small.unit)
                }
            };
            match merged.get(&key) {
                Some(other) if other != record => {
                    return Err(MergeError::Contradiction(name.clone(), unit));
                }
                Some(_) => {}
                None => _ = merged.insert(key, record.clone()),
            }
        }
    }
    Ok((Header { shard: None, ..header.clone() }, merged.into_values().collect()))
}

/// What two campaigns differ in, if they are not parts of one.
fn difference(one: &Header, other: &Header) -> Option<&'static str> {
    if one.program != other.program {
        Some("the version of ifq")
    } else if one.plan != other.plan {
        Some("the plan")
    } else if one.inputs != other.inputs || one.units != other.units {
        Some("the test files")
    } else {
        None
    }
}
