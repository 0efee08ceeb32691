//! Any bytes as a program: it must end in a program or an error, and a program must survive being printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tap_core::dsl::{Compiler, Limits, Program, Schema, print::print};

fuzz_target!(|bytes: &[u8]| {
    let (schema, limits) = (Schema::new(), Limits::default());
    let (mut compiler, mut program) = (Compiler::default(), Program::default());
    match compiler.compile(bytes, &schema, &limits, &mut program) {
        Err(error) => assert!(!error.report(bytes).is_empty()),
        Ok(()) => {
            if let Some(text) = print(compiler.ast(), bytes, &schema, limits.source_bytes) {
                let again = tap_core::dsl::compile(&text, &schema, &limits).expect("printed programs compile");
                assert_eq!(again.hash(), program.hash());
            }
        }
    }
});
