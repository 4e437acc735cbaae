//! See the table in `ifq_fuzz`.

#![no_main]

use ifq_fuzz::decode::World;
use ifq_fuzz::targets::world;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: World| world(&input));
