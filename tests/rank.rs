//! Rows ranked side by side against rows ranked one by one, and signatures against ranks.

use proptest::prelude::*;
use tap_core::rank::{self, Agreement, Ranker, Target};

/// Values with ties, with neighbours a bit apart, of all sizes, and now and then no number.
fn values(len: usize) -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        8 => (-3_i32..3).prop_map(f64::from),
        8 => -1e3_f64..1e3,
        4 => (0_u64..4).prop_map(|step| f64::from_bits(1.0_f64.to_bits() + step)),
        2 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        1 => prop::sample::select(vec![f64::INFINITY, f64::NEG_INFINITY, -0.0]),
    ];
    prop::collection::vec(value, len)
}

fn batch() -> impl Strategy<Value = (usize, Vec<f64>, Vec<f64>, Option<usize>)> {
    (prop_oneof![1_usize..70, 120_usize..140, Just(520_usize)], 1_usize..40).prop_flat_map(|(len, count)| {
        (Just(len), values(len * count), values(len), prop::option::weighted(0.1, 0..len * count))
    })
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn neighbours_change_nothing((len, mut rows, target, broken) in batch()) {
        if let Some(place) = broken {
            rows[place] = f64::NAN;
        }
        let target = Target::new(&target);
        let count = rows.len() / len;
        let none = Agreement { spearman: 0.0, kendall: 0.0, signature: 0 };
        let mut found = vec![none; count];
        Ranker::default().agree(&rows, &target, &mut found);
        let (mut spearman, mut kendall) = (vec![0.0; count], vec![0.0; count]);
        rank::spearman(&rows, &target, &mut spearman);
        rank::kendall(&rows, &target, &mut kendall);
        for (row, at) in rows.chunks(len).zip(0..) {
            prop_assert!(same(found[at].spearman, spearman[at]), "{} {}", found[at].spearman, spearman[at]);
            prop_assert!(same(found[at].kendall, kendall[at]), "{} {}", found[at].kendall, kendall[at]);
            let mut alone = [none];
            Ranker::default().agree(row, &target, &mut alone);
            prop_assert_eq!(alone[0].signature, found[at].signature);
            prop_assert!(same(alone[0].spearman, found[at].spearman) && same(alone[0].kendall, found[at].kendall));
        }
    }

    #[test]
    fn a_signature_names_the_ranks((len, rows, target, _) in batch()) {
        let target = Target::new(&target);
        let mut found = vec![Agreement { spearman: 0.0, kendall: 0.0, signature: 0 }; rows.len() / len];
        Ranker::default().agree(&rows, &target, &mut found);
        let ranks: Vec<Vec<u64>> = rows.chunks(len).map(|row| {
            let mut ranks = vec![0.0; len];
            rank::average_ranks(row, &mut ranks);
            ranks.iter().map(|rank| rank.to_bits()).collect()
        }).collect();
        for (a, left) in found.iter().zip(&ranks) {
            for (b, right) in found.iter().zip(&ranks) {
                prop_assert_eq!(a.signature == b.signature, left == right);
            }
        }
    }
}
