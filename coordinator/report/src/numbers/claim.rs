//! What was expected, and whether the results say so.
//!
//! A claim speaks of the mean difference between two cells: that it lies above, below or between bounds. It is held if the whole confidence
//! interval at the level 1 - alpha lies where the claim says, not held if the whole interval lies elsewhere, and otherwise undecided. With
//! several claims, or several pairs of cells, the intervals are widened by Holm's correction: in terms of p-values, that of the paired t
//! test against the nearest bound is corrected over all pairs of cells of all claims and compared with alpha. So `better` is a two-sided
//! test, and `equal` two one-sided ones at alpha / 2 each, which is stricter than the customary alpha.

use serde::Serialize;
use swfn_shared::grid::Relation;

use super::{
    contrast::{self, Comparison},
    hypothesis::{holm, t_test},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    #[serde(rename = "held")]
    Held,
    #[serde(rename = "not held")]
    NotHeld,
    #[serde(rename = "undecided")]
    Undecided,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::NotHeld => "not held",
            Self::Undecided => "undecided",
        }
    }
}

/// One pair of cells that a claim speaks of.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ClaimCheck {
    pub(crate) verdict: Verdict,
    /// Of the paired t test against the nearest bound of what is claimed.
    pub(crate) p: Option<f64>,
    /// The same after Holm's correction over all checks of all claims.
    pub(crate) p_holm: Option<f64>,
    pub(crate) comparison: Comparison,
}

/// A claim and what became of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ClaimVerdict {
    pub(crate) text: String,
    pub(crate) relation: Relation,
    /// In shares, not percentage points.
    pub(crate) margin: f64,
    pub(crate) alpha: f64,
    /// Held if it is for all pairs of cells, not held if it is not for one of them.
    pub(crate) verdict: Verdict,
    /// Whether seeds of any claim are missing, so that the rest may yet change it.
    pub(crate) provisional: bool,
    pub(crate) checks: Vec<ClaimCheck>,
}

/// Judges all claims of a sweep together. Each comes with its pairs of cells.
pub(crate) fn judge(
    claims: Vec<(&swfn_shared::grid::Claim, Vec<Comparison>)>,
) -> Vec<ClaimVerdict> {
    let mut verdicts: Vec<ClaimVerdict> = claims
        .into_iter()
        .map(|(claim, comparisons)| {
            let check = |comparison: Comparison| ClaimCheck {
                verdict: Verdict::Undecided,
                p: p(claim.relation, claim.margin, &comparison.differences()),
                p_holm: None,
                comparison,
            };
            ClaimVerdict {
                text: claim.text.clone(),
                relation: claim.relation,
                margin: claim.margin,
                alpha: claim.alpha,
                verdict: Verdict::Undecided,
                provisional: false,
                checks: comparisons.into_iter().map(check).collect(),
            }
        })
        .collect();
    let checks = || verdicts.iter().flat_map(|verdict| &verdict.checks);
    let corrected = holm(&checks().map(|check| check.p).collect::<Vec<_>>());
    contrast::correct(
        verdicts
            .iter_mut()
            .flat_map(|verdict| &mut verdict.checks)
            .map(|check| &mut check.comparison),
    );
    let mut corrected = corrected.into_iter();
    for verdict in &mut verdicts {
        for check in &mut verdict.checks {
            check.p_holm = corrected.next().flatten();
            check.verdict = decide(verdict.relation, verdict.margin, verdict.alpha, check);
        }
        verdict.verdict = together(&verdict.checks);
    }
    // A seed that comes to one claim moves the correction of all.
    let checks = || verdicts.iter().flat_map(|verdict| &verdict.checks);
    let provisional = checks().any(|check| !check.comparison.missing_seeds.is_empty());
    verdicts
        .iter_mut()
        .for_each(|verdict| verdict.provisional = provisional && !verdict.checks.is_empty());
    verdicts
}

/// Of the nearest bound, which is the one that is hardest to tell the mean from.
fn p(relation: Relation, margin: f64, differences: &[f64]) -> Option<f64> {
    let bounds = match relation {
        Relation::Better => vec![margin],
        Relation::Worse | Relation::NotWorse => vec![-margin],
        Relation::Equal => vec![-margin, margin],
    };
    bounds
        .into_iter()
        .map(|bound| t_test(differences, bound))
        .try_fold(0.0, |most: f64, p| Some(most.max(p?)))
}

fn decide(relation: Relation, margin: f64, alpha: f64, check: &ClaimCheck) -> Verdict {
    let (Some(difference), Some(p)) = (check.comparison.difference, check.p_holm) else {
        return Verdict::Undecided;
    };
    let mean = difference.mean;
    let as_claimed = match relation {
        Relation::Better => mean > margin,
        Relation::Worse => mean < -margin,
        Relation::NotWorse => mean > -margin,
        Relation::Equal => mean.abs() < margin,
    };
    match (p < alpha, as_claimed) {
        (false, _) => Verdict::Undecided,
        (true, true) => Verdict::Held,
        (true, false) => Verdict::NotHeld,
    }
}

fn together(checks: &[ClaimCheck]) -> Verdict {
    let is = |verdict| move |check: &ClaimCheck| check.verdict == verdict;
    if checks.iter().any(is(Verdict::NotHeld)) {
        Verdict::NotHeld
    } else if !checks.is_empty() && checks.iter().all(is(Verdict::Held)) {
        Verdict::Held
    } else {
        Verdict::Undecided
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use swfn_shared::grid::Claim;

    use super::*;
    use crate::scipy_tests::comparison;

    /// Ten seeds whose differences have that mean and a standard deviation of half a point; the interval is ±0.36 points.
    pub(crate) fn pairs(mean_points: f64) -> Comparison {
        let reference: Vec<_> = (0..10).map(|seed| Some(0.88 + 0.001 * f64::from(seed))).collect();
        let spread = [0.5, -0.5, 0.4, -0.4, 0.6, -0.6, 0.3, -0.3, 0.5, -0.5];
        let cell = reference.iter().zip(spread);
        let cell: Vec<_> = cell
            .map(|(accuracy, noise)| accuracy.map(|a| a + (mean_points + noise) / 100.0))
            .collect();
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
    fn all_pairs_of_cells_must_be_as_claimed_and_more_of_them_need_more() {
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
            check.p.unwrap() < 0.05
                && (check.p_holm.unwrap() - 5.0 * check.p.unwrap()).abs() < 1e-12
        );
    }

    /// A seed that is missing of one claim moves the correction of the other.
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
    fn what_cannot_be_known_is_undecided() {
        let better = claim(Relation::Better, 0.0);
        let of = |cell: &[Option<f64>], reference: &[Option<f64>]| {
            judge(vec![(&better, vec![comparison(cell, reference)])]).remove(0)
        };
        let equal = of(&[Some(0.9); 5], &[Some(0.8); 5]);
        let one = of(&[Some(0.9), None], &[Some(0.8), Some(0.8)]);
        let none = of(&[None], &[Some(0.8)]);
        let nowhere = judge(vec![(&better, Vec::new())]).remove(0);
        for (verdict, provisional) in
            [(&equal, false), (&one, true), (&none, true), (&nowhere, false)]
        {
            assert_eq!((verdict.verdict, verdict.provisional), (Verdict::Undecided, provisional));
        }
    }
}
