//! The fuzz target `parse`; see the table in `ifq_fuzz`.

#![no_main]

use ifq_fuzz::targets::parse_bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| parse_bytes(bytes));
