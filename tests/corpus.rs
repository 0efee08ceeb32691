//! The corpus of the fuzz targets, replayed; what the targets check is in `fuzz/check.rs`.

#[path = "../fuzz/check.rs"]
mod check;

use proptest::prelude::*;

/// The files of one target, on the stack of a worker thread.
fn replay(target: &str, least: usize, check: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let texts: Vec<Vec<u8>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(texts.len() >= least);
    let work = move || texts.iter().for_each(|text| check(text));
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn the_corpus_of_bytes_is_handled() {
    replay("source", 9, check::text);
}

#[test]
fn the_corpus_of_programs_is_handled() {
    replay("programs", 9, check::program);
}

/// Numbers at the edges of what a table may hold.
fn number() -> impl Strategy<Value = f64> {
    let edges =
        [0.0, -0.0, 1.0, -1.0, 1e308, -1e308, 5e-324, 1e-300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    prop_oneof![prop::sample::select(edges.to_vec()), any::<f64>(), -10.0..10.0]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_over_any_numbers_are_handled(
        seed in any::<[u8; 9]>(),
        numbers in prop::collection::vec(number(), 0..40),
    ) {
        let mut bytes = seed.to_vec();
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        check::program(&bytes);
    }
}
