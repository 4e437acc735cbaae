//! The fuzz target `world`; see the table in `ifq_fuzz`.

#![no_main]

use ifq_fuzz::decode::FuzzInput;
use ifq_fuzz::targets::world;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: FuzzInput| world(&input));
