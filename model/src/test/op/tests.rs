//! Tests of the table of operations.

use super::*;
use crate::test::arg_modifier::ArgModifier;

#[test]
fn each_line_of_the_table_makes_its_own_operation() {
    for operation in OPERATIONS {
        let op = (operation.blank)();
        assert_eq!((op.verb(), op.yields()), (operation.verb, operation.yields));
        assert_eq!(OPERATIONS.iter().filter(|o| o.verb == operation.verb).count(), 1);
    }
}

#[test]
fn no_operation_uses_more_than_two_results_and_modifiers_come_last() {
    for operation in OPERATIONS {
        let (mut results, mut last_is_modifiers, mut op) = (0, false, (operation.blank)());
        op.for_each_arg(|arg| {
            results += usize::from(matches!(arg, Arg::Result(..)));
            last_is_modifiers = matches!(arg, Arg::Modifiers(_));
        });
        assert!(results <= 2, "{}", operation.verb);
        assert_eq!(last_is_modifiers, op.modifiers_mut().is_some(), "{}", operation.verb);
    }
}

#[test]
fn modifiers_apply_exactly_to_the_operations_that_can_have_them() {
    for operation in OPERATIONS {
        let applies = ArgModifier::ALL.iter().any(|m| m.fits(operation.verb));
        assert_eq!((operation.blank)().modifiers_mut().is_some(), applies, "{}", operation.verb);
    }
    for modifier in ArgModifier::ALL {
        assert!(OPERATIONS.iter().any(|o| modifier.fits(o.verb)), "{modifier}");
    }
}
