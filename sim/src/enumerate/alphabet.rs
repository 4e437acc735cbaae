//! The operations that race, and what each can be applied to.

use super::action::Action;
use super::code::{Code, Item, Target};
use super::family::{Family, Mode, Prologue};

/// The operations that the thread of a ring runs.
const OF_A_RING: [Action; 9] = [
    Action::Register,
    Action::Share,
    Action::Export,
    Action::Flush,
    Action::AddArea,
    Action::Arm,
    Action::Mmap,
    Action::Recv,
    Action::Wait,
];

/// The operations that may run in any thread. Each has a thread of its own, because its runs in another
/// thread are some of those.
const ALONE: [Action; 6] = [
    Action::Exit,
    Action::Close,
    Action::Send,
    Action::Shutdown,
    Action::Return,
    Action::UnregisterNetdev,
];

/// The operations of a family, in order, without targets.
#[must_use]
pub fn alphabet(family: Family, rings: u8) -> Vec<Item> {
    let item = |alone, ring, action| Item { alone, ring, action, target: Target::None };
    let fits = |action: &Action| belongs(family, *action);
    let of_rings = (0..rings)
        .flat_map(|ring| OF_A_RING.into_iter().map(move |action| item(false, ring, action)));
    let alone = ALONE.into_iter().flat_map(|action| {
        let rings = if action == Action::Exit { rings } else { 1 };
        (0..rings).map(move |ring| item(true, ring, action))
    });
    let mut items: Vec<Item> = of_rings.chain(alone).filter(|item| fits(&item.action)).collect();
    items.sort_unstable();
    items
}

fn belongs(family: Family, action: Action) -> bool {
    let proxy = family.mode == Mode::Proxy;
    match action {
        Action::Export | Action::Flush | Action::AddArea | Action::Close => !proxy,
        Action::Arm => family.prologue == Prologue::Events,
        Action::Recv | Action::Wait | Action::Send | Action::Shutdown | Action::Return => {
            family.has_socket()
        }
        Action::UnregisterNetdev => family.has_device(),
        Action::Register | Action::Share | Action::Mmap | Action::Exit => true,
    }
}

/// What the operation at a position can be applied to, in order. The other operations have no targets yet,
/// apart from those before it.
pub(super) fn targets(family: Family, rings: u8, code: &Code, at: usize) -> Vec<Target> {
    let item = code[at];
    let results = |fits: &dyn Fn(usize, Item) -> bool| -> Vec<Target> {
        let items = code.iter().enumerate().filter(|(i, other)| *i != at && fits(*i, **other));
        items.map(|(i, _)| Target::Item(i as u8)).collect()
    };
    // An operation of the same thread must come first.
    let runs_before = |i: usize, other: Item| other.alone || other.ring != item.ring || i < at;
    let mut found = Vec::new();
    match item.action {
        Action::Share if family.mode == Mode::Proxy => {
            let owners = (0..rings).filter(|ring| *ring != item.ring && family.has_ifq(*ring));
            found.extend(owners.map(Target::Prologue));
            found.extend(results(&|_, o| o.action.makes_ifq() && o.ring != item.ring));
        }
        Action::Share | Action::Close => {
            found.extend(family.has_box().then_some(Target::Prologue(0)));
            found.extend(results(&|i, o| {
                o.action == Action::Export && (item.alone || runs_before(i, o))
            }));
        }
        Action::Export | Action::Flush | Action::AddArea | Action::Arm | Action::Mmap => {
            found.extend(family.has_ifq(item.ring).then_some(Target::Prologue(item.ring)));
            found.extend(results(&|i, o| o.action.makes_ifq() && o.ring == item.ring && i < at));
        }
        Action::Return => {
            let held = family.receiver(rings).filter(|_| family.prologue == Prologue::Held);
            found.extend(held.map(Target::Prologue));
            found.extend(results(&|_, o| o.action == Action::Wait));
        }
        Action::Recv => found.push(Target::Prologue(item.ring)),
        _ => found.push(Target::None),
    }
    if item.action.consumes()
        && let Some(before) = at.checked_sub(1).map(|before| code[before])
        && before.action == item.action
    {
        found.retain(|target| *target > before.target);
    }
    found
}
