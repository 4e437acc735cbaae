//! The command `ifq`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ifq_real::cmd::main()
}
