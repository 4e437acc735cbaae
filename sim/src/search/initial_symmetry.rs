//! Checks that a symmetry group of a test is one of its state space.

use std::sync::Arc;

use super::dfs::Dfs;
use super::job::SearchJob;
use super::options::SearchOptions;
use super::visited::VisitedSet;
use crate::executor::buffer_symmetry::BufferSymmetry;
use crate::executor::permutation::PermutationGroup;
use crate::executor::run::Program;
use crate::step_table::StepTable;

/// Maximum number of transitions of the set-up. With more the trivial group is used.
const MAX_TRANSITIONS: u64 = 1 << 14;

/// The subgroup of permutations that fix every state in which the test's threads begin. Another permutation
/// may map a reachable state to an unreachable one.
pub(super) fn validate_symmetry_group(
    program: &Program<'_>,
    group: PermutationGroup,
) -> PermutationGroup {
    if group.nontrivial_count() == 0 {
        return group;
    }
    let table = StepTable::new(BufferSymmetry::NONE, Arc::new(group.clone()));
    let mut dfs = Dfs::new(program, table, None, VisitedSet::new(), SearchOptions::UNREDUCED);
    dfs.initially_symmetric = Some(vec![true; group.nontrivial_count()]);
    dfs.start_job(SearchJob::whole());
    let unfinished = dfs.run(MAX_TRANSITIONS, u64::MAX);
    let symmetric = dfs.initially_symmetric.filter(|_| !unfinished).unwrap_or_default();
    group.subgroup(|index| symmetric.get(index).copied().unwrap_or(false))
}
