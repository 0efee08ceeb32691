//! Programs as files: what each compiles to and scores, or the message that refuses it.
//!
//! `TAP_GOLDEN=1 cargo test --test golden` writes the expectations and docs/language.md anew.

use std::path::{Path, PathBuf};

use tap_core::dsl::random::Rng;
use tap_core::dsl::{Axes, Limits, Schema, Scratch, Table, Verdict, compile, docs, run};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

/// The expectation, or with TAP_GOLDEN set its new text.
fn compare(path: &Path, found: &str) {
    if std::env::var_os("TAP_GOLDEN").is_some() {
        std::fs::write(path, found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, expected, "{} changed; TAP_GOLDEN=1 writes it anew", path.display());
}

/// Three units in two formats with all inputs, numbers of two decimals; the second and third samples are partial.
fn table(schema: &Schema) -> Table {
    let (whole, sampled) = ([[2, 3, 1], [4, 2, 4], [6, 2, 1]], [[2, 3, 1], [2, 2, 2], [3, 2, 1]]);
    let mut table = Table::new(2, &whole, &sampled).unwrap();
    let mut rng = Rng::new(1);
    for id in 0..schema.len() as u16 {
        let axes = schema.axes(id);
        let count = table.elements(axes) as usize;
        let mut number = || rng.below(400) as f64 / 100.0 + 0.01;
        if axes.is_column() {
            table.set_column(id, axes, (0..count).map(|_| number()).collect()).unwrap();
        } else {
            let shifted = (0..count).map(|_| (number() - 2.0) as f32).collect();
            table.set_sample(id, axes, shifted).unwrap();
        }
    }
    table
}

fn outcome(source: &str) -> Result<String, String> {
    let (schema, limits) = (Schema::new(), Limits::default());
    let refused = |error: tap_core::dsl::Error| format!("{}\n", error.report(source.as_bytes()));
    let program = compile(source, &schema, &limits).map_err(refused)?;
    let mut text = format!("hash {}\n", program.hash().hex());
    program.notes.iter().for_each(|note| text.push_str(&format!("note {}\n", note.message)));
    text.push_str(&program.listing(&schema));
    let mut scratch = Scratch::default();
    match run(&program, &table(&schema), &schema, &limits, &mut scratch).map_err(refused)? {
        Verdict::Finite => {
            for (format, scores) in scratch.scores().chunks(3).enumerate() {
                let scores: Vec<String> = scores.iter().map(|score| format!("{score:.12e}")).collect();
                text.push_str(&format!("format {format}: {}\n", scores.join(" ")));
                if program.axes != Axes::FORMAT {
                    break;
                }
            }
            Ok(text)
        }
        Verdict::NonFinite(place) => Err(refused(place.error(&program, &schema, &[]))),
    }
}

fn programs(folder: &str) -> Vec<PathBuf> {
    let folder = root().join("tests/golden/dsl").join(folder);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "tap"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

#[test]
fn good_programs_compile_and_score_as_before() {
    for path in programs("ok") {
        let source = std::fs::read_to_string(&path).unwrap();
        let found = outcome(&source).unwrap_or_else(|report| panic!("{}: {report}", path.display()));
        compare(&path.with_extension("txt"), &found);
    }
}

#[test]
fn bad_programs_are_refused_with_the_same_words() {
    for path in programs("fail") {
        let source = std::fs::read_to_string(&path).unwrap();
        let report =
            outcome(&source).map(|found| panic!("{} is accepted: {found}", path.display())).unwrap_err();
        compare(&path.with_extension("txt"), &report);
    }
}

#[test]
fn the_page_of_the_language_is_current() {
    compare(&root().join("docs/language.md"), &docs::page());
}
