//! The answer in numbers: verdicts, the pivot, what is decided. Views put it into words, all of them the same.

use std::collections::HashMap;

use serde::Serialize;
use swfn_shared::treatment::Network;

use super::{
    cell::Cells,
    claim::{ClaimVerdict, Verdict},
    contrast::{Comparison, Sign},
    hypothesis::seeds_needed,
};

/// What the results say. Accuracies and differences are shares, not percentage points.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// Each claim with its verdict, in the order of the grid file.
    pub claims: Vec<ClaimLine>,
    /// All comparisons together.
    pub synthesis: Synthesis,
    /// All cells side by side.
    pub pivot: Pivot,
    /// Every comparison that is decided, losses included, by ascending corrected p-value.
    pub decided: Vec<Decided>,
}

/// A claim and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct ClaimLine {
    /// What the grid file claims.
    pub text: String,
    /// What the results say.
    pub verdict: Verdict,
    /// Whether missing seeds may yet change it.
    pub provisional: bool,
    /// Pairs of cells that it speaks of.
    pub pairs: usize,
    /// Pairs for which it is held.
    pub held: usize,
    /// Pairs for which it is not held.
    pub not_held: usize,
    /// The smallest mean difference of a pair.
    pub least: Option<f64>,
    /// The largest one.
    pub most: Option<f64>,
    /// The largest corrected p-value of a pair.
    pub p_holm: Option<f64>,
}

/// All comparisons together.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Synthesis {
    /// Comparisons that the grid asks for.
    pub comparisons: usize,
    /// Those that have a p-value: the family of Holm's correction.
    pub family: usize,
    /// Pairs of cells of all claims that have a p-value: a family of its own.
    pub claim_family: usize,
    /// Decided, and better than the reference.
    pub gains: usize,
    /// Decided, and worse.
    pub losses: usize,
    /// With results that do not decide.
    pub undecided: usize,
    /// Of these, those that would be decided if nothing else were compared: p < 0.05 without correction.
    pub alone: usize,
    /// Without a pair of results.
    pub unknown: usize,
    /// Whether trials have not ended yet.
    pub open: bool,
    /// Seeds at which a difference of one percentage point would be seen in four of five studies: by a paired t test, two-sided at
    /// 5 % and uncorrected, with a power of 80 %, at the median standard deviation of the pairs that are not decided.
    pub seeds_for_one_point: Option<usize>,
}

/// All cells: a row for each network, regulariser and variant, a column for each subset size.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pivot {
    /// Ascending.
    pub sizes: Vec<u32>,
    /// By network and regulariser.
    pub rows: Vec<PivotRow>,
}

/// The cells of one network and regulariser.
#[derive(Debug, Clone, Serialize)]
pub struct PivotRow {
    /// The network.
    pub network: Network,
    /// Its regulariser by its short name.
    pub regulariser: String,
    /// What else sets the cells apart; mostly empty.
    pub variant: String,
    /// As many as sizes; none where the grid has no such cell.
    pub cells: Vec<Option<PivotCell>>,
}

/// A cell of the pivot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PivotCell {
    /// Its place among the cells of the summary.
    pub cell: usize,
    /// Seeds with a result.
    pub seeds: usize,
    /// Seeds of the grid.
    pub planned: usize,
    /// Of the test accuracy that counts.
    pub mean: Option<f64>,
    /// Half of its 95 % confidence interval.
    pub confidence_95: Option<f64>,
    /// Which way it differs from its references, if that is decided.
    pub decided: Option<Sign>,
}

/// A comparison that is decided.
#[derive(Debug, Clone, Serialize)]
pub struct Decided {
    /// Its place among the comparisons of the summary.
    pub comparison: usize,
    /// What the grid file calls it.
    pub name: Option<String>,
    /// Of both cells.
    pub subset_size: u32,
    /// What both cells have: `n = 300, lenet`.
    pub context: String,
    /// What the cell has: `fn 0.1`.
    pub treatment: String,
    /// What the reference has: `none`.
    pub control: String,
    /// Which way it goes.
    pub sign: Sign,
    /// Mean difference.
    pub mean: f64,
    /// Half of the 95 % confidence interval of this comparison alone.
    pub confidence_95: Option<f64>,
    /// Of this comparison alone, which agrees with that interval.
    pub p: f64,
    /// After Holm's correction over the family, which decides.
    pub p_holm: f64,
    /// Seeds that make a pair.
    pub seeds: usize,
    /// Seeds that should.
    pub planned: usize,
}

impl Answer {
    /// `open`: whether trials have not ended.
    pub(super) fn of(
        cells: &Cells,
        comparisons: &[Comparison],
        claims: &[ClaimVerdict],
        open: bool,
    ) -> Self {
        let decided = decided(cells, comparisons);
        Self {
            claims: claims.iter().map(claim).collect(),
            synthesis: synthesis(comparisons, claims, &decided, open),
            pivot: pivot(cells, comparisons, &decided),
            decided,
        }
    }
}

fn claim(claim: &ClaimVerdict) -> ClaimLine {
    let count = |verdict| claim.checks.iter().filter(|check| check.verdict == verdict).count();
    let means = || claim.checks.iter().filter_map(|check| Some(check.comparison.difference?.mean));
    ClaimLine {
        text: claim.text.clone(),
        verdict: claim.verdict,
        provisional: claim.provisional,
        pairs: claim.checks.len(),
        held: count(Verdict::Held),
        not_held: count(Verdict::NotHeld),
        least: means().min_by(f64::total_cmp),
        most: means().max_by(f64::total_cmp),
        p_holm: claim.checks.iter().filter_map(|check| check.p_holm).max_by(f64::total_cmp),
    }
}

fn decided(cells: &Cells, comparisons: &[Comparison]) -> Vec<Decided> {
    let of = |(place, comparison): (usize, &Comparison)| {
        let (sign, difference) = (comparison.decided()?, comparison.difference?);
        Some(Decided {
            comparison: place,
            name: comparison.name.clone(),
            subset_size: cells.all[comparison.cell].subset_size,
            context: comparison.context.clone(),
            treatment: comparison.treatment.clone(),
            control: comparison.control.clone(),
            sign,
            mean: difference.mean,
            confidence_95: difference.confidence_95,
            p: comparison.t_p?,
            p_holm: comparison.t_p_holm?,
            seeds: comparison.pairs.len(),
            planned: comparison.planned,
        })
    };
    let mut decided: Vec<_> = comparisons.iter().enumerate().filter_map(of).collect();
    // Corrected p-values are often equal; those that are not corrected go on where they end.
    decided
        .sort_by(|one, other| one.p_holm.total_cmp(&other.p_holm).then(one.p.total_cmp(&other.p)));
    decided
}

fn synthesis(
    comparisons: &[Comparison],
    claims: &[ClaimVerdict],
    decided: &[Decided],
    open: bool,
) -> Synthesis {
    let count = |sign| decided.iter().filter(|decided| decided.sign == sign).count();
    let unknown = comparisons.iter().filter(|comparison| comparison.difference.is_none()).count();
    let undecided = || comparisons.iter().filter(|comparison| comparison.decided().is_none());
    let spreads = undecided().filter_map(|comparison| comparison.difference?.standard_deviation);
    let mut spreads: Vec<f64> = spreads.filter(|spread| *spread > 0.0).collect();
    spreads.sort_by(f64::total_cmp);
    let checks = claims.iter().flat_map(|claim| &claim.checks);
    Synthesis {
        comparisons: comparisons.len(),
        family: comparisons.iter().filter(|comparison| comparison.t_p.is_some()).count(),
        claim_family: checks.filter(|check| check.p.is_some()).count(),
        gains: count(Sign::Gain),
        losses: count(Sign::Loss),
        undecided: comparisons.len() - unknown - decided.len(),
        alone: undecided().filter(|comparison| comparison.t_p.is_some_and(|p| p < 0.05)).count(),
        unknown,
        open,
        seeds_for_one_point: spreads
            .get(spreads.len() / 2)
            .and_then(|spread| seeds_needed(0.01 / spread)),
    }
}

fn pivot(cells: &Cells, comparisons: &[Comparison], decided: &[Decided]) -> Pivot {
    let marks = marks(comparisons, decided);
    let cells = &cells.all;
    let mut sizes: Vec<u32> = cells.iter().map(|cell| cell.subset_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut order: Vec<usize> = (0..cells.len()).collect();
    let key = |place: usize| (cells[place].network, cells[place].treatment);
    order.sort_by_key(|place| key(*place));
    let rows = order.chunk_by(|one, other| key(*one) == key(*other)).map(|places| {
        let mut row = vec![None; sizes.len()];
        for place in places {
            let cell = &cells[*place];
            let Ok(column) = sizes.binary_search(&cell.subset_size) else { continue };
            row[column] = Some(PivotCell {
                cell: *place,
                seeds: cell.succeeded,
                planned: cell.planned,
                mean: cell.test_accuracy.map(|estimate| estimate.mean),
                confidence_95: cell.test_accuracy.and_then(|estimate| estimate.confidence_95),
                decided: marks.get(place).copied(),
            });
        }
        let first = &cells[places[0]];
        let (regulariser, variant) = (first.regulariser.clone(), first.variant());
        PivotRow { network: first.network, regulariser, variant, cells: row }
    });
    Pivot { rows: rows.collect(), sizes }
}

/// Which way cells differ from their references.
fn marks(comparisons: &[Comparison], decided: &[Decided]) -> HashMap<usize, Sign> {
    let mut marks = HashMap::new();
    for Decided { comparison, sign, .. } in decided {
        let mark = marks.entry(comparisons[*comparison].cell).or_insert(*sign);
        if mark != sign {
            *mark = Sign::Both;
        }
    }
    marks
}
