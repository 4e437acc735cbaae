//! Prints the functions of a C source file of Linux, each with the functions and macros that it calls, in
//! the form of the lists in `tests/kernel`:
//!
//!     cargo run -p ifq-tests --example kernel_functions -- LINUX/io_uring/zcrx.c > tests/kernel/VERSION

use std::process::ExitCode;

use ifq_tests::c_source::{functions, print};

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: kernel_functions FILE.c");
        return ExitCode::from(2);
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            println!("{}", print(&functions(&text)).trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::from(2)
        }
    }
}
