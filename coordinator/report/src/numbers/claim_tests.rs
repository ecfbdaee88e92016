//! Verdicts of claims about made-up pairs.

use swfn_shared::grid::{Claim, Relation};

use super::{
    claim::{Verdict, judge},
    contrast::Comparison,
};
use crate::scipy_tests::comparison;

/// Ten seeds whose differences have that mean. Their interval is ±0.36 points.
pub(crate) fn pairs(mean_points: f64) -> Comparison {
    let reference: Vec<_> = (0..10).map(|seed| Some(0.88 + 0.001 * f64::from(seed))).collect();
    let spread = [0.5, -0.5, 0.4, -0.4, 0.6, -0.6, 0.3, -0.3, 0.5, -0.5];
    let cell = reference.iter().zip(spread);
    let cell: Vec<_> =
        cell.map(|(accuracy, noise)| accuracy.map(|a| a + (mean_points + noise) / 100.0)).collect();
    comparison(&cell, &reference)
}

pub(crate) fn claim(relation: Relation, margin_points: f64) -> Claim {
    let text = "a claim".to_owned();
    Claim { text, relation, margin: margin_points / 100.0, alpha: 0.05, contrasts: Vec::new() }
}

fn verdict(relation: Relation, margin_points: f64, mean_points: f64) -> Verdict {
    judge(vec![(&claim(relation, margin_points), vec![pairs(mean_points)])])[0].verdict
}

#[test]
fn the_interval_decides() {
    use {Relation::*, Verdict::*};
    // Margin, mean, verdict: the interval reaches 0.36 points to both sides.
    for (relation, margin, mean, expected) in [
        (Better, 0.0, 0.4, Held),
        (Better, 0.0, 0.3, Undecided),
        (Better, 0.0, -0.3, Undecided),
        (Better, 0.0, -0.4, NotHeld),
        (Better, 1.0, 1.3, Undecided),
        (Better, 1.0, 1.4, Held),
        (Better, 1.0, 0.6, NotHeld),
        (Worse, 0.0, -0.4, Held),
        (Worse, 0.0, 0.4, NotHeld),
        (Worse, 1.0, -1.4, Held),
        (NotWorse, 0.5, 0.0, Held),
        (NotWorse, 0.5, -0.2, Undecided),
        (NotWorse, 0.5, -0.9, NotHeld),
        (Equal, 0.5, 0.1, Held),
        (Equal, 0.5, 0.2, Undecided),
        (Equal, 0.3, 0.0, Undecided),
        (Equal, 0.5, 0.9, NotHeld),
        (Equal, 0.5, -0.9, NotHeld),
    ] {
        assert_eq!(verdict(relation, margin, mean), expected, "{relation:?} {margin} {mean}");
    }
}

#[test]
fn a_claim_needs_all_its_pairs() {
    let better = claim(Relation::Better, 0.0);
    let of = |means: &[f64]| {
        let comparisons = means.iter().map(|mean| pairs(*mean)).collect();
        judge(vec![(&better, comparisons)]).remove(0)
    };
    assert_eq!(of(&[0.9, 0.9]).verdict, Verdict::Held);
    assert_eq!(of(&[0.9, 0.1]).verdict, Verdict::Undecided);
    assert_eq!(of(&[0.9, 0.1, -0.9]).verdict, Verdict::NotHeld);
    // Enough for one, not for one of five.
    let five = of(&[0.4; 5]);
    assert_eq!(five.verdict, Verdict::Undecided);
    let check = &five.checks[0];
    assert!(
        check.p.unwrap() < 0.05 && (check.p_holm.unwrap() - 5.0 * check.p.unwrap()).abs() < 1e-12
    );
}

/// A missing seed of one claim moves the correction of the other.
#[test]
fn no_claim_is_final_before_all_are() {
    let better = claim(Relation::Better, 0.0);
    let open = comparison(&[Some(0.9), None], &[Some(0.8), Some(0.8)]);
    let verdicts = judge(vec![(&better, vec![pairs(0.9)]), (&better, vec![open])]);
    assert_eq!(
        verdicts.iter().map(|verdict| verdict.provisional).collect::<Vec<_>>(),
        [true, true]
    );
    assert!(!judge(vec![(&better, vec![pairs(0.9)])])[0].provisional);
}

#[test]
fn unknown_claims_are_undecided() {
    let better = claim(Relation::Better, 0.0);
    let of = |cell: &[Option<f64>], reference: &[Option<f64>]| {
        judge(vec![(&better, vec![comparison(cell, reference)])]).remove(0)
    };
    let equal = of(&[Some(0.9); 5], &[Some(0.8); 5]);
    let one = of(&[Some(0.9), None], &[Some(0.8), Some(0.8)]);
    let none = of(&[None], &[Some(0.8)]);
    let nowhere = judge(vec![(&better, Vec::new())]).remove(0);
    for (verdict, provisional) in [(&equal, false), (&one, true), (&none, true), (&nowhere, false)]
    {
        assert_eq!((verdict.verdict, verdict.provisional), (Verdict::Undecided, provisional));
    }
}
