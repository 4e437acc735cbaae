//! The library of test files and the sources of the module softnic are part of the binary: build
//! again when one of them changes.

fn main() {
    println!("cargo::rerun-if-changed=../tests/library");
    println!("cargo::rerun-if-changed=softnic");
}
