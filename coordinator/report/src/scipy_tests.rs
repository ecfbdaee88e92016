//! Comparisons against numbers that scipy and statsmodels computed
//! (`tests/reference/hypotheses.py`).

use serde_json::Value;

use crate::numbers::{
    contrast::Comparison,
    hypothesis::{holm, seeds_needed, t_test},
};

/// Both sides compute in double precision; the largest difference is that of statrs' beta function
/// and of the quantiles of t.
const TOLERANCE: f64 = 1e-8;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/reference/statistics.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<Option<f64>> {
    value.as_array().unwrap().iter().map(Value::as_f64).collect()
}

fn close(what: &str, ours: Option<f64>, theirs: &Value) {
    match (ours, theirs.as_f64()) {
        (None, None) => assert!(theirs.is_null(), "{what}: {theirs}"),
        (Some(ours), Some(theirs)) => {
            assert!(
                (ours - theirs).abs() <= TOLERANCE * theirs.abs(),
                "{what}: {ours} is not {theirs}"
            );
        }
        (ours, theirs) => panic!("{what}: {ours:?} is not {theirs:?}"),
    }
}

/// A comparison of these accuracies; seeds count from 0.
pub(crate) fn comparison(cell: &[Option<f64>], reference: &[Option<f64>]) -> Comparison {
    let [context, treatment, control] = ["n = 300, net", "fn 0.1", "none"].map(str::to_owned);
    let seeds = (0..).zip(cell).zip(reference);
    let seeds = seeds.map(|((seed, cell), reference)| (seed, *cell, *reference));
    Comparison { context, treatment, control, cell: 1, ..Comparison::of_seeds(seeds) }
}

#[test]
fn comparisons_agree_with_scipy() {
    let fixture = fixture();
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 24);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let expected = &case["expected"];
        let ours = comparison(&numbers(&case["cell"]), &numbers(&case["reference"]));
        let difference = ours.difference;
        for (what, ours) in [
            ("mean", difference.map(|difference| difference.mean)),
            ("standard_deviation", difference.and_then(|difference| difference.standard_deviation)),
            ("confidence_95", difference.and_then(|difference| difference.confidence_95)),
            ("t_p", ours.t_p),
            ("wilcoxon_p", ours.wilcoxon_p),
            ("cohens_d", ours.cohens_d),
            ("hedges_g", ours.hedges_g),
        ] {
            close(&format!("{name}: {what}"), ours, &expected[what]);
        }
        let counts = [
            ("n", ours.pairs.len()),
            ("wins", ours.wins),
            ("ties", ours.ties),
            ("losses", ours.losses),
        ];
        for (what, ours) in counts {
            assert_eq!(Some(ours as u64), expected[what].as_u64(), "{name}: {what}");
        }
        assert_eq!(
            serde_json::to_value(&ours.missing_seeds).unwrap(),
            expected["missing_seeds"],
            "{name}"
        );
        assert_eq!(
            serde_json::to_value(ours.wilcoxon_method).unwrap(),
            expected["wilcoxon_method"],
            "{name}"
        );
        for bound in expected["bounds"].as_array().unwrap() {
            let p = t_test(&ours.differences(), bound[0].as_f64().unwrap());
            close(&format!("{name}: against {}", bound[0]), p, &bound[1]);
        }
        // JSON has no NaN: what is not known is null, and nothing else is.
        assert!(!serde_json::to_string(&ours).unwrap().contains("NaN"));
    }
}

#[test]
fn corrected_p_values_agree_with_statsmodels() {
    let fixture = fixture();
    let families = fixture["families"].as_array().unwrap();
    assert_eq!(families.len(), 6);
    for family in families {
        let ours = holm(&numbers(&family["p"]));
        assert_eq!(ours.len(), family["holm"].as_array().unwrap().len());
        for (ours, theirs) in ours.into_iter().zip(family["holm"].as_array().unwrap()) {
            close("holm", ours, theirs);
        }
    }
}

/// The smallest n whose power is at least 80 %, by scipy's `nct`, or by `quad` where that is NaN.
#[test]
fn seeds_needed_agree_with_scipy() {
    let alone = [(0.1, 787), (0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (1.5, 6), (3.0, 4)];
    let among_twenty = [(0.2, 379), (0.5, 65), (1.0, 20), (1.5, 12), (3.0, 6)];
    let cases = alone.map(|case| (0.05, case)).into_iter();
    for (level, (effect, seeds)) in cases.chain(among_twenty.map(|case| (0.05 / 20.0, case))) {
        assert_eq!(
            (seeds_needed(effect, level), seeds_needed(-effect, level)),
            (Some(seeds), Some(seeds)),
            "{effect} at {level}"
        );
    }
    assert_eq!(seeds_needed(0.0, 0.05), None);
}
