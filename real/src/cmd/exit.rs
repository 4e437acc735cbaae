//! The exit codes of `ifq`.

use serde_json::json;

use crate::machine::Failure;

/// All results are as expected.
pub const EXIT_OK: u8 = 0;
/// A violation, or a difference between kernel and model.
pub const EXIT_DIFFERENCE: u8 = 1;
/// A usage error: a file that cannot be read or written, or an invalid option.
pub const EXIT_USAGE: u8 = crate::output::EXIT_CODE;
/// Bounded: a limit ended a search, so that there is no verdict.
pub const EXIT_BOUNDED: u8 = 3;
/// Not run, for a reason that was printed.
pub const EXIT_NOT_RUN: u8 = 77;
/// Interrupted by the user: 128 + SIGINT, as shells count it.
pub const EXIT_INTERRUPTED: u8 = 130;

/// The exit code of several results: interrupted, then 2, 1, 3, 77 and 0.
#[must_use]
pub fn combined(codes: impl IntoIterator<Item = u8>) -> u8 {
    const ORDER: [u8; 6] =
        [EXIT_OK, EXIT_NOT_RUN, EXIT_BOUNDED, EXIT_DIFFERENCE, EXIT_USAGE, EXIT_INTERRUPTED];
    // The code of a command that ran in a guest is none of these, and says most.
    let rank = |code: &u8| ORDER.iter().position(|other| other == code).unwrap_or(ORDER.len());
    codes.into_iter().max_by_key(rank).unwrap_or(EXIT_OK)
}

/// The exit code of a command about a machine, which says why it was not run.
pub(super) fn exit_code(result: Result<(), Failure>, json: bool) -> u8 {
    match result {
        Ok(()) => EXIT_OK,
        Err(Failure::Interrupted) => EXIT_INTERRUPTED,
        Err(Failure::NotRun(reason)) => {
            if json {
                outln!("{}", json!({ "result": "not-run", "reason": reason }));
            } else {
                outln!("not run: {reason}");
            }
            EXIT_NOT_RUN
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_wins_over_a_difference_and_a_difference_over_a_bound() {
        assert_eq!(combined([]), EXIT_OK);
        assert_eq!(combined([EXIT_OK, EXIT_NOT_RUN]), EXIT_NOT_RUN);
        assert_eq!(combined([EXIT_BOUNDED, EXIT_NOT_RUN, EXIT_OK]), EXIT_BOUNDED);
        assert_eq!(combined([EXIT_DIFFERENCE, EXIT_BOUNDED]), EXIT_DIFFERENCE);
        assert_eq!(combined([EXIT_USAGE, EXIT_DIFFERENCE, EXIT_BOUNDED]), EXIT_USAGE);
        assert_eq!(combined([EXIT_INTERRUPTED, EXIT_USAGE]), EXIT_INTERRUPTED);
    }
}
