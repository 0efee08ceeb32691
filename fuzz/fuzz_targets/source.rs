//! Any bytes as a program: it must end in a program or an error, and a program must survive being printed.
#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::text(bytes));
