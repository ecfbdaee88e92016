//! Two cells held against each other, seed by seed.

use serde::Serialize;

use super::{
    hypothesis::{self, WilcoxonMethod, cohens_d, hedges_g, t_test, wilcoxon},
    statistics::Estimate,
};

/// Which way a difference goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// Better than the reference.
    Gain,
    /// Worse.
    Loss,
    /// Better than one reference and worse than another.
    Both,
}

/// What one seed says: its two trials have subset, initial weights and batches in common.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Pair {
    pub(crate) seed: u64,
    /// Of the cell; a share, as are the others.
    pub(crate) accuracy: f64,
    /// Of the reference.
    pub(crate) reference_accuracy: f64,
    /// The first minus the second.
    pub(crate) difference: f64,
}

/// A cell and its reference.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    /// What the grid file calls it.
    pub(crate) name: Option<String>,
    /// What both cells have: `n = 300, lenet`.
    pub(crate) context: String,
    /// What the cell has: `function norm (lambda 0.1)`.
    pub(crate) treatment: String,
    /// What the reference has: `none`.
    pub(crate) control: String,
    /// The cell's place among those of the summary.
    pub(crate) cell: usize,
    /// The reference's.
    pub(crate) reference: usize,
    /// By seed.
    pub(crate) pairs: Vec<Pair>,
    /// Seeds that the grid has of both cells.
    pub(crate) planned: usize,
    /// Those of them that make no pair, because a trial has no result.
    pub(crate) missing_seeds: Vec<u64>,
    /// Of the pairs.
    pub(crate) difference: Option<Estimate>,
    /// Of the paired t test, two-sided; unknown of fewer than two pairs and of equal differences.
    pub(crate) t_p: Option<f64>,
    /// The same after Holm's correction over all comparisons of the summary.
    pub(crate) t_p_holm: Option<f64>,
    /// Of Wilcoxon's signed-rank test, two-sided; unknown of fewer than two pairs and if all differences are zero.
    pub(crate) wilcoxon_p: Option<f64>,
    /// The same after Holm's correction.
    pub(crate) wilcoxon_p_holm: Option<f64>,
    pub(crate) wilcoxon_method: Option<WilcoxonMethod>,
    /// Mean difference over the standard deviation of the differences: Cohen's d_z.
    pub(crate) cohens_d: Option<f64>,
    /// The same with Hedges' correction for small n.
    pub(crate) hedges_g: Option<f64>,
    /// Seeds with a difference above zero.
    pub(crate) wins: usize,
    /// With none.
    pub(crate) ties: usize,
    /// Below zero.
    pub(crate) losses: usize,
}

/// Which two cells, and in what words.
#[derive(Debug, Clone)]
pub(crate) struct Sides {
    pub(crate) name: Option<String>,
    pub(crate) context: String,
    pub(crate) treatment: String,
    pub(crate) control: String,
    pub(crate) cell: usize,
    pub(crate) reference: usize,
}

impl Comparison {
    /// `seeds`: those that the grid has of both cells, with the accuracies as far as they are known, in the order of the seeds.
    pub(crate) fn new(
        sides: Sides,
        seeds: impl Iterator<Item = (u64, Option<f64>, Option<f64>)>,
    ) -> Self {
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
        let count = |fits: fn(f64) -> bool| {
            differences.iter().filter(|difference| fits(**difference)).count()
        };
        let wilcoxon = wilcoxon(&differences);
        let Sides { name, context, treatment, control, cell, reference } = sides;
        Self {
            name,
            context,
            treatment,
            control,
            cell,
            reference,
            planned: pairs.len() + missing_seeds.len(),
            missing_seeds,
            difference: Estimate::of(&differences),
            t_p: t_test(&differences, 0.0),
            t_p_holm: None,
            wilcoxon_p: wilcoxon.map(|(p, _)| p),
            wilcoxon_p_holm: None,
            wilcoxon_method: wilcoxon.map(|(_, method)| method),
            cohens_d: cohens_d(&differences),
            hedges_g: hedges_g(&differences),
            wins: count(|difference| difference > 0.0),
            ties: count(|difference| difference == 0.0),
            losses: count(|difference| difference < 0.0),
            pairs,
        }
    }

    /// Which way the cells differ, if that is decided: at 5 %, after the correction over all comparisons.
    pub(crate) fn decided(&self) -> Option<Sign> {
        let mean = self.difference?.mean;
        let told_apart = self.t_p_holm.is_some_and(|p| p < 0.05);
        told_apart.then_some(if mean > 0.0 { Sign::Gain } else { Sign::Loss })
    }

    pub(crate) fn differences(&self) -> Vec<f64> {
        self.pairs.iter().map(|pair| pair.difference).collect()
    }
}

/// Corrects the p-values of a family, each test for itself: who looks at both kinds should decide beforehand which one counts.
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
