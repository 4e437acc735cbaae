//! The fuzz target `canary`; see the table in `ifq_fuzz`.

#![no_main]

use ifq_fuzz::decode::FuzzInput;
use ifq_fuzz::targets::canary;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: FuzzInput| canary(&input));
