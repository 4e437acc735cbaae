//! The test-file format: [`Test`](ifq_model::test::Test) as text for people (`.ifq`) and as JSON for machines.
//!
//! A file is a list of lines. `#` starts a comment at the start of a line or after white space. Blank
//! lines and indentation have no meaning. The first line is `test NAME`; the other header lines and
//! the sections `setup`, `thread NAME` and `finally` may come in any order. A step is
//! `[NAME =] [RING: or SOCKET:] VERB ARGUMENTS [with MODIFIER...] [after NAME...]`. The section `schedule` has lines
//! `THREAD [or any] until PLACE [failing POINT...]`.
//!
//! [`parse`] returns only tests that pass [`validate`]. [`print()`] of such a test parses to the same
//! test. Code that builds a test in another way calls [`validate`].

mod arguments;
mod condition;
mod cursor;
mod error;
mod expect;
mod folder;
mod header;
pub mod input;
mod json;
mod lex;
mod load;
mod mistakes;
mod parse;
mod place;
mod print;
mod renumber;
mod step;
mod switch;
mod validate;
mod validate_condition;
mod validate_expect;
mod validate_order;
mod validate_schedule;
mod validate_steps;
mod words;

pub use condition::condition_lines;
pub use error::{LoadError, ParseError};
pub(crate) use folder::files_with_ending;
pub use folder::test_files;
pub use input::Input;
pub use json::{JsonError, from_json, to_json};
pub use load::{STDIN, load};
pub use parse::parse;
pub use place::{Invalid, Place, Section, StepPart, SwitchPart};
pub use print::{print, step as print_step};
pub use renumber::renumber;
pub use switch::{print_place, print_switch, print_thread};
pub use validate::validate;
pub use words::SCHEDULE_VERSION;
