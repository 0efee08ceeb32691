//! The language as a whole: random programs, printing, variation, and what no input may do.

use proptest::prelude::*;
use tap_core::dsl::parse::parse;
use tap_core::dsl::print::print;
use tap_core::dsl::random::programs;
use tap_core::dsl::vary::{all_inputs, vary};
use tap_core::dsl::{Compiler, Error, Kind, Limits, Program, Schema, compile};

/// Stack of a worker thread, and less than half of what a main thread has.
const STACK: usize = 2 << 20;

fn on_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap()
}

fn printed(source: &str) -> Result<String, Error> {
    let schema = Schema::new();
    let ast = parse(source.as_bytes(), &schema, &Limits::default())?;
    Ok(print(&ast, source.as_bytes(), &schema, usize::MAX).unwrap())
}

fn hash(source: &str) -> u128 {
    compile(source, &Schema::new(), &Limits::default())
        .unwrap_or_else(|error| panic!("{source}: {error}"))
        .hash()
        .value()
}

#[test]
fn random_programs_are_valid_and_of_the_size_asked_for() {
    let schema = Schema::new();
    for ops in [1, 5, 20, 60] {
        let mut total = 0;
        for source in programs(ops as u64, 400, ops, &schema, &all_inputs(&schema)) {
            let program = compile(&source, &schema, &Limits::default());
            total +=
                program.unwrap_or_else(|error| panic!("{}", error.report(source.as_bytes()))).ops as usize;
        }
        let mean = total as f64 / 400.0;
        assert!(
            mean > 0.6 * ops as f64 && mean < 1.5 * ops as f64 + 1.0,
            "{ops} asked for, {mean} on average"
        );
    }
}

#[test]
fn equal_seeds_give_equal_programs() {
    let schema = Schema::new();
    let inputs = all_inputs(&schema);
    let first = programs(7, 50, 12, &schema, &inputs);
    assert_eq!(first, programs(7, 50, 12, &schema, &inputs));
    assert_ne!(first, programs(8, 50, 12, &schema, &inputs));
}

#[test]
fn printing_is_a_fixpoint_and_keeps_the_formula() {
    let schema = Schema::new();
    for source in programs(3, 2000, 16, &schema, &all_inputs(&schema)) {
        let once = printed(&source).unwrap();
        assert_eq!(once, printed(&once).unwrap());
        assert_eq!(hash(&source), hash(&once));
    }
}

#[test]
fn offspring_are_valid_and_differ_from_their_parent() {
    let schema = Schema::new();
    let (limits, inputs) = (Limits::default(), all_inputs(&schema));
    let parents =
        ["scale = trace / numel\nscore = scale * sum(square(dw)) + 1e-8", "score = quantile(abs(w), 0.9)"];
    let offspring = vary(1, &parents, 500, &schema, &limits, &inputs);
    assert_eq!(offspring, vary(1, &parents, 500, &schema, &limits, &inputs));
    let hashes: std::collections::HashSet<u128> = offspring.iter().map(|source| hash(source)).collect();
    assert!(hashes.len() > 200, "{} different formulas of 500", hashes.len());
    let kept = offspring.iter().filter(|source| source.contains("scale = ")).count();
    assert!(kept > 100, "bindings of the parent stay: {kept}");
    let alone = vary(1, &parents[..1], 200, &schema, &limits, &inputs);
    assert!(alone.iter().all(|source| hash(source) != hash(parents[0])));
}

#[test]
fn parents_that_do_not_compile_give_random_programs() {
    let schema = Schema::new();
    let offspring = vary(1, &["score = ("], 3, &schema, &Limits::default(), &all_inputs(&schema));
    offspring.iter().for_each(|source| assert_ne!(hash(source), 0));
}

#[test]
fn equal_formulas_have_one_hash() {
    let same = [
        ("score = trace * numel", "score = numel * trace"),
        ("a = trace\nscore = a + a", "score = trace + trace"),
        ("score = trace + (1 + 2) * macs", "score = 3 * macs + trace"),
        ("score = mean(w * w)", "score = mean(square(w))"),
        ("score = mean(w ** 2)", "score = mean(w ^ 2)"),
        ("score = trace - -numel", "score = numel + trace"),
        ("score = 1 / trace", "score = trace ** -1"),
        ("score = sum(w)", "score = sum(w, pos, in_, out)"),
        ("score = trace ** 0.5 * 1", "score = sqrt(trace)"),
    ];
    for (left, right) in same {
        assert_eq!(hash(left), hash(right), "{left} and {right}");
    }
    let different = [
        "trace - numel",
        "numel - trace",
        "trace",
        "trace * 2",
        "where(trace, numel, 1)",
        "where(trace, 1, numel)",
    ];
    let hashes: std::collections::HashSet<u128> = different.iter().map(|source| hash(source)).collect();
    assert_eq!(hashes.len(), different.len());
}

#[test]
fn hashes_are_the_same_on_every_machine() {
    // Raise `hash::VERSION` when these change: files and stores know programs by them.
    let known =
        [("score = trace / numel * sum(square(dw))", HAWQ), ("score = mean(g2 * square(dw))", FISHER)];
    for (source, expected) in known {
        assert_eq!(format!("{:032x}", hash(source)), expected, "{source}");
    }
}

const HAWQ: &str = "431eb70c8ecd9739a681f45eb73e6504";
const FISHER: &str = "4b5bdddf1df3767d8ddb0d51cc1530d6";

/// Texts that bring down other interpreters; each must end at once, in a program or an error.
fn hostile() -> Vec<String> {
    let n = 100_000;
    let mut texts = vec![
        format!("score = {}1{}", "(".repeat(n), ")".repeat(n)),
        format!("score = 1{}", "+1".repeat(n)),
        format!("score = {}1", "-".repeat(n)),
        format!("score = 1{}", "**1".repeat(n)),
        format!("score = {}1{}", "abs(".repeat(n / 10), ")".repeat(n / 10)),
        format!("score = 1{}", " < 1".repeat(n)),
        format!("score = trace{}", ".abs()".repeat(n)),
        format!("score = {}trace", "np.".repeat(n)),
        format!("score = max({}1)", "1, ".repeat(n)),
        "score = 1e999999".into(),
        "score = 1e-999999999999999999999".into(),
        "score = 1/0".into(),
        "score = 99999999999999999999999999999999999999".into(),
        format!("score = {}", "9".repeat(n)),
        format!("score = 0.{}1", "0".repeat(n)),
        format!("{} = 1\nscore = 1", "x".repeat(n)),
        format!("{}score = a", "a = 1\n".repeat(n)),
        format!("a = trace\n{}score = a", "a = a * a\n".repeat(2000)),
        "\u{0}".into(),
        "score = \u{0}".into(),
        "`".repeat(n),
        "\"".repeat(n),
        "def ".repeat(n),
        "def f(".repeat(n),
        "\\\n".repeat(n),
        format!("score = 1 {}", "\\\n".repeat(n)),
        ";".repeat(n),
        "@".repeat(n),
        "#".repeat(n),
        "\u{feff}score = 1".into(),
        "score = \u{1F600}".into(),
    ];
    texts.push(format!("score = {}", "where(trace, ".repeat(n)));
    texts
}

#[test]
fn hostile_texts_end_in_an_error_or_a_program() {
    on_small_stack(|| {
        let wide = Limits {
            source_bytes: 1 << 24,
            tokens: usize::MAX,
            nesting: usize::MAX,
            operators: usize::MAX,
            ..Limits::default()
        };
        for limits in [Limits::default(), wide] {
            for text in hostile() {
                let start = std::time::Instant::now();
                check_total(text.as_bytes(), &limits);
                assert!(start.elapsed().as_secs() < 5, "{:.40} took {:?}", text, start.elapsed());
            }
        }
    });
}

#[test]
fn the_corpus_of_the_fuzz_target_is_handled() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/source");
    let entries: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(entries.len() >= 9);
    for entry in entries {
        check_total(&std::fs::read(entry.unwrap().path()).unwrap(), &Limits::default());
    }
}

#[test]
fn each_limit_has_its_code() {
    let tight = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        compile("score = abs((trace + 1) * 2) - numel", &Schema::new(), &limits).map(|_| ()).unwrap_err().kind
    };
    assert_eq!(tight(|limits| limits.source_bytes = 10), Kind::LimitSource);
    assert_eq!(tight(|limits| limits.tokens = 5), Kind::LimitTokens);
    assert_eq!(tight(|limits| limits.nesting = 1), Kind::LimitNesting);
    assert_eq!(tight(|limits| limits.operators = 3), Kind::LimitOperators);
}

/// Everything the front end does with a text; a program must survive being printed.
fn check_total(text: &[u8], limits: &Limits) {
    let schema = Schema::new();
    let (mut compiler, mut program) = (Compiler::default(), Program::default());
    match compiler.compile(text, &schema, limits, &mut program) {
        Err(error) => {
            assert!(error.span.start <= error.span.end && error.span.end as usize <= text.len() + 1);
            assert!(!error.message.is_empty());
            assert!(error.report(text).contains(error.kind.code()));
            assert!(error.json(text).starts_with("{\"kind\""));
        }
        Ok(()) => {
            assert!(program.axes.is_column() && !program.instructions.is_empty());
            let again = print(compiler.ast(), text, &schema, 1 << 20);
            if let Some(source) = again.filter(|source| source.len() < limits.source_bytes) {
                let second =
                    compile(&source, &schema, limits).unwrap_or_else(|error| panic!("{source}: {error}"));
                assert_eq!(second.hash(), program.hash());
            }
        }
    }
}

/// Words that token soups are made of, beside blanks and line ends.
const TOKENS: &str = "score = w dw trace bits x ( ) , + - * / ** ^ < >= == != 1 2.5 1e-8 .5 sum mean max min where \
                      clip quantile rank zscore out in_ in pos format np. .mean() . ; # def return ``` and if lambda \
                      \" pi eps [ ] % é log norm2 f(w): \\";

fn token() -> impl Strategy<Value = &'static str> {
    let words = TOKENS.split_whitespace().chain(["  ", "\t", "\n", "\r\n", "\\\n"]);
    prop::sample::select(words.collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_handled(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_total(&bytes, &Limits::default());
    }

    #[test]
    fn any_tokens_are_handled(tokens in prop::collection::vec(token(), 0..40), spaced in any::<bool>()) {
        check_total(tokens.join(if spaced { " " } else { "" }).as_bytes(), &Limits::default());
    }

    #[test]
    fn damaged_programs_are_handled(seed in any::<u64>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let schema = Schema::new();
        let mut source = programs(seed, 1, 8, &schema, &all_inputs(&schema)).remove(0).into_bytes();
        let place = at.index(source.len());
        source[place] = byte;
        check_total(&source, &Limits::default());
        source.truncate(place);
        check_total(&source, &Limits::default());
    }
}
