//! Well-typed programs, their seed, size and table from the bytes: they compile, run within their bounds, and vary.
#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::program(bytes));
