//! Says why no run matches a schedule in words.

use ifq_model::test::{Schedule, Test};
use ifq_model::test::schedule::{CodePlace, Place};

use crate::executor::schedule::Instead;
use crate::format::{print_place, print_switch};
use crate::search::exploration::Unfollowed;

/// Number of places that the message names.
const SHOWN: usize = 3;

/// The line of the schedule, what its thread did instead, and the places that come nearest.
#[must_use]
pub fn unfollowed_text(test: &Test, unfollowed: &Unfollowed) -> String {
    let Unfollowed { deviation, passed } = unfollowed;
    let switches = test.schedule.as_ref().and_then(Schedule::switches).unwrap_or_default();
    let Some(switch) = switches.get(deviation.line) else { return deviation.what.to_string() };
    let mut text =
        format!("line {}, `{}`: {}", deviation.line + 1, print_switch(test, switch), deviation.what);
    if deviation.what == Instead::NeverStarted {
        return text;
    }
    let Place::At(wanted) = &switch.until else { return text };
    let single = CodePlace { occurrence: 1, ..wanted.clone() };
    let times = passed.iter().filter(|place| same_place(place, &single)).count();
    if times > 0 {
        return format!("{text}; it came to the place only {times} times");
    }
    let wanted = print_place(test, &single);
    let mut near: Vec<(usize, String)> = Vec::new();
    for place in passed {
        let place = print_place(test, place);
        if near.iter().all(|(_, known)| *known != place) {
            near.push((strsim::damerau_levenshtein(&wanted, &place), place));
        }
    }
    near.sort_by_key(|(distance, _)| *distance);
    let near: Vec<String> = near.into_iter().take(SHOWN).map(|(_, p)| format!("`{p}`")).collect();
    if !near.is_empty() {
        text += &format!("; it came to {}", near.join(", "));
    }
    text
}

/// Whether a place that a thread came to is one that a line names: function and owner may be left out.
fn same_place(
    passed: &CodePlace,
    wanted: &CodePlace,
) -> bool {
    let same_access = match (&passed.access, &wanted.access) {
        (Some(passed), Some(wanted)) => {
            passed.kind == wanted.kind
                && passed.object.name == wanted.object.name
                && (wanted.object.owner.is_none() || wanted.object.owner == passed.object.owner)
        }
        (None, None) => true,
        _ => false,
    };
    passed.position == wanted.position
        && same_access
        && (wanted.function.is_none() || wanted.function == passed.function)
}
