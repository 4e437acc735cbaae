//! Validation of the order of steps: no step may wait for itself.

use std::collections::BTreeMap;

use ifq_model::test::arg::Arg;
use ifq_model::test::literal::Literal;
use ifq_model::test::{Op, Test, VarId};

use super::place::{Invalid, Place, Section, StepPart, sections};

/// Index of a step among all steps of a test.
type Node = usize;

/// The graph of steps that wait for other steps.
struct WaitGraph {
    /// Section and index of each node.
    places: Vec<(Section, usize)>,
    /// The results that each node waits for, and the part of the step that names them.
    waits: Vec<Vec<(VarId, StepPart)>>,
    /// The node that binds each result.
    binder: Vec<Node>,
}

/// Checks that every step can run. Sections run one after the other, the steps of a section run in
/// order, and a step waits for the results that it uses or names after `after`.
///
/// The caller has checked the indices of the test.
pub(super) fn check_order(test: &Test) -> Result<(), Invalid> {
    let waits = WaitGraph::new(test);
    waits.check_sections(test)?;
    let stuck = waits.stuck();
    match stuck.iter().position(|&s| s) {
        None => Ok(()),
        Some(start) => Err(waits.cycle(test, &stuck, start)),
    }
}

impl WaitGraph {
    fn new(test: &Test) -> Self {
        let mut waits =
            WaitGraph { places: Vec::new(), waits: Vec::new(), binder: vec![0; test.vars.len()] };
        for (section, steps) in sections(test) {
            for (i, step) in steps.iter().enumerate() {
                if let Some(var) = step.bind {
                    waits.binder[usize::from(var)] = waits.places.len();
                }
                let uses = used_results(step.op).into_iter();
                let after = step.after.iter().enumerate();
                let after = after.map(|(j, &var)| (var, StepPart::After(j)));
                waits.places.push((section, i));
                waits.waits.push(uses.chain(after).collect());
            }
        }
        waits
    }

    /// A step cannot wait for a later step of its own section, or for a section that starts after its
    /// own has ended.
    fn check_sections(&self, test: &Test) -> Result<(), Invalid> {
        for (node, waits) in self.waits.iter().enumerate() {
            let (section, i) = self.places[node];
            for &(var, part) in waits {
                let (binder, at) = self.places[self.binder[usize::from(var)]];
                let name = &test.vars[usize::from(var)].name;
                if binder == section && at >= i {
                    let message = format!("`{name}` waits for itself: no earlier step binds it");
                    let place = Place::Step(section, i, part);
                    return Err(Invalid::new(
                        test,
                        place,
                        message,
                        "a name that an earlier step binds",
                    ));
                }
                if binder.rank() <= section.rank() {
                    continue;
                }
                let message = format!("`{name}` is bound later, in {}", binder.describe(test));
                let expected = format!("a name bound before the end of {}", section.describe(test));
                return Err(Invalid::new(test, Place::Step(section, i, part), message, expected));
            }
        }
        Ok(())
    }

    /// The step before this one in its section.
    fn previous(&self, node: Node) -> Option<Node> {
        let (_, i) = self.places[node];
        (i > 0).then(|| node - 1)
    }

    /// The nodes that can never run because they are on a cycle or wait for one.
    fn stuck(&self) -> Vec<bool> {
        let mut followers: Vec<Vec<Node>> = vec![Vec::new(); self.places.len()];
        let mut missing = vec![0_usize; self.places.len()];
        for (node, waits) in self.waits.iter().enumerate() {
            let binders = waits.iter().map(|&(var, _)| self.binder[usize::from(var)]);
            for before in binders.chain(self.previous(node)) {
                followers[before].push(node);
                missing[node] += 1;
            }
        }
        let mut ready: Vec<Node> = (0..missing.len()).filter(|&n| missing[n] == 0).collect();
        let mut stuck = vec![true; self.places.len()];
        while let Some(node) = ready.pop() {
            stuck[node] = false;
            for &follower in &followers[node] {
                missing[follower] -= 1;
                if missing[follower] == 0 {
                    ready.push(follower);
                }
            }
        }
        stuck
    }

    /// The error for the cycle that a walk backwards from a stuck node reaches.
    fn cycle(&self, test: &Test, stuck: &[bool], start: Node) -> Invalid {
        // Every stuck node waits for a stuck node, so the walk reaches a node twice.
        let mut walk: Vec<(Node, Option<(VarId, StepPart)>)> = Vec::new();
        let mut seen: BTreeMap<Node, usize> = BTreeMap::new();
        let mut node = start;
        while !seen.contains_key(&node) {
            seen.insert(node, walk.len());
            let wait = self.waits[node].iter().find(|(v, _)| stuck[self.binder[usize::from(*v)]]);
            walk.push((node, wait.copied()));
            node = match wait {
                Some((var, _)) => self.binder[usize::from(*var)],
                None => self.previous(node).unwrap_or(node),
            };
        }
        let cycle = &walk[seen[&node]..];
        let mut waits: Vec<(Node, VarId, StepPart)> =
            cycle.iter().filter_map(|&(n, w)| w.map(|(var, part)| (n, var, part))).collect();
        let first = (0..waits.len()).min_by_key(|&i| waits[i].0).unwrap_or(0);
        waits.rotate_left(first);
        describe_cycle(test, &waits, &self.places)
    }
}

fn describe_cycle(
    test: &Test,
    waits: &[(Node, VarId, StepPart)],
    places: &[(Section, usize)],
) -> Invalid {
    let name = |var: VarId| format!("`{}`", test.vars[usize::from(var)].name);
    let (node, var, part) = waits[0];
    let (section, i) = places[node];
    let place = Place::Step(section, i, part);
    let mut names: Vec<String> = waits.iter().take(8).map(|&(_, var, _)| name(var)).collect();
    if waits.len() > names.len() {
        names.push("...".to_owned());
    }
    names.push(name(var));
    let message = format!("a cycle: {}", names.join(" waits for "));
    Invalid::new(test, place, message, "steps that do not wait for each other")
}

/// The results that an operation uses, and their parts of the step.
fn used_results(mut op: Op) -> Vec<(VarId, StepPart)> {
    let mut results = Vec::new();
    op.for_each_arg(|arg| {
        if let Arg::Result(var, used) = arg
            && Literal::of(*var).is_none()
        {
            results.push((*var, StepPart::Result(used)));
        }
    });
    results
}
