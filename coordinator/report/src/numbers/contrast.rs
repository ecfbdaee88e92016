//! Comparisons of two cells, seed by seed.

use serde::Serialize;

use super::{
    hypothesis::{self, cohens_d, hedges_g, t_test, wilcoxon},
    statistics::Estimate,
};

/// The direction of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// Better than the reference.
    Gain,
    /// Worse than the reference.
    Loss,
}

/// The two trials of one seed, which share subset, initial weights and batches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Pair {
    pub(crate) seed: u64,
    /// Accuracy of the cell, 0 to 1.
    pub(crate) accuracy: f64,
    /// Accuracy of the reference, 0 to 1.
    pub(crate) reference_accuracy: f64,
    /// The cell's accuracy minus the reference's.
    pub(crate) difference: f64,
}

/// A cell and its reference.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Comparison {
    /// The comparison's name in the grid file.
    pub(crate) name: Option<String>,
    /// The properties that both cells share: `n = 300, lenet`.
    pub(crate) context: String,
    /// The properties of the cell alone: `fn 0.1`.
    pub(crate) treatment: String,
    /// The properties of the reference alone: `none`.
    pub(crate) control: String,
    /// Index of the cell in the summary.
    pub(crate) cell: usize,
    /// Index of the reference in the summary.
    pub(crate) reference: usize,
    /// By seed.
    pub(crate) pairs: Vec<Pair>,
    /// Number of seeds that the grid has for both cells.
    pub(crate) planned: usize,
    /// Seeds without a pair, because a trial has no result.
    pub(crate) missing_seeds: Vec<u64>,
    /// Mean of the paired differences.
    pub(crate) difference: Option<Estimate>,
    /// Two-sided p-value of the paired t test. `None` for fewer than two pairs, and for equal
    /// differences.
    pub(crate) t_p: Option<f64>,
    /// The same after Holm's correction over all comparisons of the summary.
    pub(crate) t_p_holm: Option<f64>,
    /// Two-sided p-value of Wilcoxon's signed-rank test. `None` for fewer than two pairs, and if
    /// all differences are zero.
    pub(crate) wilcoxon_p: Option<f64>,
    /// The same after Holm's correction.
    pub(crate) wilcoxon_p_holm: Option<f64>,
    /// `exact` or `normal-approximation`.
    pub(crate) wilcoxon_method: Option<&'static str>,
    /// Mean difference over the standard deviation of the differences: Cohen's d_z.
    pub(crate) cohens_d: Option<f64>,
    /// The same with Hedges' correction for small n.
    pub(crate) hedges_g: Option<f64>,
    /// Number of seeds with a difference above zero.
    pub(crate) wins: usize,
    /// Number of seeds without a difference.
    pub(crate) ties: usize,
    /// Number of seeds with a difference below zero.
    pub(crate) losses: usize,
}

impl Comparison {
    /// A comparison without names. Takes the seeds that the grid has for both cells, in their
    /// order, with the accuracies that are known.
    pub(crate) fn of_seeds(seeds: impl Iterator<Item = (u64, Option<f64>, Option<f64>)>) -> Self {
        let (mut pairs, mut missing_seeds) = (Vec::new(), Vec::new());
        for (seed, accuracy, reference) in seeds {
            match accuracy.zip(reference) {
                None => missing_seeds.push(seed),
                Some((accuracy, reference_accuracy)) => {
                    let difference = hypothesis::difference(accuracy, reference_accuracy);
                    pairs.push(Pair { seed, accuracy, reference_accuracy, difference });
                }
            }
        }
        let differences: Vec<f64> = pairs.iter().map(|pair| pair.difference).collect();
        let count = |fits: fn(&f64) -> bool| differences.iter().filter(|of| fits(of)).count();
        let wilcoxon = wilcoxon(&differences);
        Self {
            planned: pairs.len() + missing_seeds.len(),
            missing_seeds,
            difference: Estimate::of(&differences),
            t_p: t_test(&differences, 0.0),
            wilcoxon_p: wilcoxon.map(|(p, _)| p),
            wilcoxon_method: wilcoxon.map(|(_, method)| method),
            cohens_d: cohens_d(&differences),
            hedges_g: hedges_g(&differences),
            wins: count(|difference| *difference > 0.0),
            ties: count(|difference| *difference == 0.0),
            losses: count(|difference| *difference < 0.0),
            pairs,
            ..Self::default()
        }
    }

    /// The sign of the difference, if it is decided: at 5 %, after the correction over all
    /// comparisons.
    pub(crate) fn decided(&self) -> Option<Sign> {
        let mean = self.difference?.mean;
        let decided = self.t_p_holm.is_some_and(|p| p < 0.05);
        decided.then_some(if mean > 0.0 { Sign::Gain } else { Sign::Loss })
    }

    /// The standard deviation of the differences, if they differ.
    pub(crate) fn spread(&self) -> Option<f64> {
        self.difference?.standard_deviation.filter(|spread| *spread > 0.0)
    }

    pub(crate) fn differences(&self) -> Vec<f64> {
        self.pairs.iter().map(|pair| pair.difference).collect()
    }
}

/// Corrects the p-values of a family, each kind of test by itself.
///
/// Readers of both kinds should decide beforehand which one counts.
pub(crate) fn correct<'c>(family: impl Iterator<Item = &'c mut Comparison>) {
    let mut family: Vec<_> = family.collect();
    let corrected = |p: fn(&Comparison) -> Option<f64>, family: &[&mut Comparison]| {
        hypothesis::holm(&family.iter().map(|comparison| p(comparison)).collect::<Vec<_>>())
    };
    let (t, signed_rank) = (corrected(|c| c.t_p, &family), corrected(|c| c.wilcoxon_p, &family));
    for ((comparison, t), signed_rank) in family.iter_mut().zip(t).zip(signed_rank) {
        (comparison.t_p_holm, comparison.wilcoxon_p_holm) = (t, signed_rank);
    }
}
