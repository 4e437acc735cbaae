//! Numbers the results in the order of the steps.

use ifq_model::test::{Test, VarId};

/// Numbers the variables in the order of [`Test::steps`], as [`super::validate`] requires. Variables
/// that no step binds come last.
///
/// Call this after adding or removing steps.
pub fn renumber(test: &mut Test) {
    let bound = test.steps().filter_map(|s| s.bind);
    let mut order: Vec<VarId> = Vec::with_capacity(test.vars.len());
    let mut new: Vec<Option<VarId>> = vec![None; test.vars.len()];
    for old in bound.chain(0..VarId::try_from(test.vars.len()).unwrap_or(VarId::MAX)) {
        if let Some(unset @ None) = new.get_mut(usize::from(old)) {
            *unset = Some(VarId::try_from(order.len()).unwrap_or(VarId::MAX));
            order.push(old);
        }
    }
    if order.iter().enumerate().any(|(new, old)| usize::from(*old) != new) {
        test.vars = order.iter().map(|&old| test.vars[usize::from(old)].clone()).collect();
    }
    // `validate` reports a number without a variable; keep it.
    let rename =
        |var: &mut VarId| *var = new.get(usize::from(*var)).copied().flatten().unwrap_or(*var);
    let threads = test.threads.iter_mut().flat_map(|t| &mut t.steps);
    for step in test.setup.iter_mut().chain(threads).chain(&mut test.finally) {
        step.bind.iter_mut().for_each(rename);
        step.after.iter_mut().for_each(rename);
        step.op.for_each_var(rename);
    }
    test.observe.iter_mut().for_each(rename);
    for condition in &mut test.conditions {
        condition.formula.for_each_var(&mut |var| rename(var));
    }
}
