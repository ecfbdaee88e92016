//! Claims, and whether the results agree with them.
//!
//! A claim is about the mean difference between two cells: it lies above, below or between bounds.
//! The confidence interval at the level 1 - alpha decides. The claim is held if the whole interval
//! lies where the claim says, not held if the whole interval lies elsewhere, and else undecided.
//!
//! Several claims, or pairs of cells, widen the intervals by Holm's correction. In terms of
//! p-values: that of the paired t test against the nearest bound is corrected over all pairs of all
//! claims, and compared with alpha. So `better` is a two-sided test. `equal` is two one-sided tests
//! at alpha / 2 each, which is stricter than the customary alpha.

use serde::Serialize;
use swfn_shared::grid::{Claim, Relation};

use super::{
    contrast::{self, Comparison},
    hypothesis::{holm, t_test},
    statistics::Estimate,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Held,
    #[serde(rename = "not held")]
    NotHeld,
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

/// One pair of cells that a claim names.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ClaimCheck {
    pub(crate) verdict: Verdict,
    /// p-value of the paired t test against the nearest bound of the claim.
    pub(crate) p: Option<f64>,
    /// The same after Holm's correction over all checks of all claims.
    pub(crate) p_holm: Option<f64>,
    pub(crate) comparison: Comparison,
}

/// A claim and its verdict.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ClaimVerdict {
    pub(crate) text: String,
    pub(crate) relation: Relation,
    /// A share, not percentage points.
    pub(crate) margin: f64,
    pub(crate) alpha: f64,
    /// Held if all checks are held, not held if one check is not held.
    pub(crate) verdict: Verdict,
    /// Whether the verdict may yet change, because seeds of any claim are missing.
    pub(crate) provisional: bool,
    /// Pairs of cells; those that decide the verdict stand first.
    pub(crate) checks: Vec<ClaimCheck>,
}

/// Judges all claims of a sweep together. Each comes with its pairs of cells.
pub(crate) fn judge(mut claims: Vec<(&Claim, Vec<Comparison>)>) -> Vec<ClaimVerdict> {
    contrast::correct(claims.iter_mut().flat_map(|(_, comparisons)| comparisons));
    let p = |(claim, comparisons): &(&Claim, Vec<Comparison>)| {
        let p = |comparison: &Comparison| p_value(claim, &comparison.differences());
        comparisons.iter().map(p).collect::<Vec<_>>()
    };
    let p: Vec<Option<f64>> = claims.iter().flat_map(p).collect();
    let mut p_values = p.iter().copied().zip(holm(&p));
    // A new seed of one claim moves the correction of all.
    let missing = |comparison: &Comparison| !comparison.missing_seeds.is_empty();
    let provisional = claims.iter().any(|(_, comparisons)| comparisons.iter().any(missing));
    let verdict = |(claim, comparisons): (&Claim, Vec<Comparison>)| {
        let check = |comparison: Comparison| {
            let (p, p_holm) = p_values.next().unwrap_or_default();
            ClaimCheck { verdict: decide(claim, &comparison, p_holm), p, p_holm, comparison }
        };
        let mut checks: Vec<ClaimCheck> = comparisons.into_iter().map(check).collect();
        let verdict = together(&checks);
        checks.sort_by_key(|check| (check.verdict != verdict, check.verdict == Verdict::Held));
        ClaimVerdict {
            text: claim.text.clone(),
            relation: claim.relation,
            margin: claim.margin,
            alpha: claim.alpha,
            verdict,
            provisional: provisional && !checks.is_empty(),
            checks,
        }
    };
    claims.into_iter().map(verdict).collect()
}

/// The p-value against the nearest bound, which is the largest.
fn p_value(claim: &Claim, differences: &[f64]) -> Option<f64> {
    let bounds: &[f64] = match claim.relation {
        Relation::Better => &[1.0],
        Relation::Worse | Relation::NotWorse => &[-1.0],
        Relation::Equal => &[-1.0, 1.0],
    };
    let mut tests = bounds.iter().map(|sign| t_test(differences, sign * claim.margin));
    tests.try_fold(0.0, |largest: f64, p| Some(largest.max(p?)))
}

fn decide(claim: &Claim, comparison: &Comparison, p_holm: Option<f64>) -> Verdict {
    let (Some(Estimate { mean, .. }), Some(p)) = (comparison.difference, p_holm) else {
        return Verdict::Undecided;
    };
    let as_claimed = match claim.relation {
        Relation::Better => mean > claim.margin,
        Relation::Worse => mean < -claim.margin,
        Relation::NotWorse => mean > -claim.margin,
        Relation::Equal => mean.abs() < claim.margin,
    };
    match (p < claim.alpha, as_claimed) {
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
