//! The answer in numbers: verdicts, pivot and decided comparisons. `phrases` puts it into words.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use swfn_shared::{grid::Relation, treatment::Network};

use super::{
    cell::Cells,
    claim::{ClaimCheck, ClaimVerdict, Verdict},
    contrast::{Comparison, Sign},
    hypothesis::seeds_needed,
};

/// The answer of a sweep. Accuracies and differences are shares, not percentage points.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// Each claim with its verdict, in the order of the grid file.
    pub claims: Vec<ClaimLine>,
    /// All comparisons together.
    pub synthesis: Synthesis,
    /// All cells side by side.
    pub pivot: Pivot,
    /// All decided comparisons, losses included, by ascending corrected p-value.
    pub decided: Vec<Decided>,
}

/// A claim and its verdict.
#[derive(Debug, Clone, Serialize)]
pub struct ClaimLine {
    /// The claim as the grid file states it.
    pub text: String,
    #[serde(skip)]
    pub(crate) relation: Relation,
    /// A share, not percentage points.
    #[serde(skip)]
    pub(crate) margin: f64,
    pub verdict: Verdict,
    /// Whether missing seeds may yet change the verdict.
    pub provisional: bool,
    /// Each pair of cells that the claim names; those that decide the verdict stand first.
    pub pairs: Vec<ClaimPair>,
    /// Seeds, in all, with which each undecided pair would be held with a power of 80 %, at the
    /// strictest level of Holm's correction and the widest spread.
    ///
    /// The true difference is taken to be zero if the claim is `not-worse` or `equal`, and else one
    /// point beyond the margin.
    pub seeds_needed: Option<usize>,
    /// The least seeds with both results of any undecided pair.
    pub seeds: usize,
}

/// A pair of cells that a claim names.
#[derive(Debug, Clone, Serialize)]
pub struct ClaimPair {
    pub verdict: Verdict,
    /// The properties that both cells share: `n = 300, lenet`.
    pub context: String,
    /// The properties of the cell alone: `fn 0.1`.
    pub treatment: String,
    /// The properties of the reference alone: `none`.
    pub control: String,
    /// Mean difference; `None` without a seed with both results.
    pub mean: Option<f64>,
    /// Half of the 95 % confidence interval of this pair alone.
    pub confidence_95: Option<f64>,
    /// p-value after Holm's correction over the pairs of all claims, which decides.
    pub p_holm: Option<f64>,
}

/// All comparisons together.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Synthesis {
    /// Number of comparisons in the grid.
    pub comparisons: usize,
    /// Number of comparisons with a p-value, the family of Holm's correction.
    pub family: usize,
    /// Number of pairs of cells in all claims that have a p-value: a family of its own.
    pub claim_family: usize,
    /// Number of comparisons that are decided and better than the reference.
    pub gains: usize,
    /// Number of comparisons that are decided and worse than the reference.
    pub losses: usize,
    /// Number of comparisons with results that do not decide.
    pub undecided: usize,
    /// How many of the undecided have p < 0.05 without correction.
    pub alone: usize,
    /// Number of comparisons without a pair of results.
    pub unknown: usize,
    /// Whether some trials have not ended yet.
    pub open: bool,
    /// Seeds, in all, with which each undecided comparison shows a difference of one percentage
    /// point, with a power of 80 %.
    ///
    /// The test is a paired t test, two-sided at 5 % over the size of the family, which is the
    /// strictest level of Holm's correction. The spread is that of the widest comparison.
    pub seeds_for_one_point: Option<usize>,
    /// The least seeds with both results of any undecided comparison that has a spread.
    pub seeds: usize,
}

/// All cells: a row for each network, regulariser and variant, a column for each subset size.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pivot {
    /// In ascending order.
    pub sizes: Vec<u32>,
    /// The most frequent reference of decided comparisons. Marks name other references alone.
    pub control: Option<String>,
    /// By network and regulariser.
    pub rows: Vec<PivotRow>,
}

/// The cells of one network and regulariser.
#[derive(Debug, Clone, Serialize)]
pub struct PivotRow {
    pub network: Network,
    /// The regulariser's short name.
    pub regulariser: String,
    /// Other properties that distinguish the cells; mostly empty.
    pub variant: String,
    /// One for each size; `None` where the grid has no such cell.
    pub cells: Vec<Option<PivotCell>>,
}

/// A cell of the pivot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PivotCell {
    /// Index of the cell in the summary.
    pub cell: usize,
    /// Number of seeds with a result.
    pub seeds: usize,
    /// Number of seeds in the grid.
    pub planned: usize,
    /// Mean of the test accuracy that counts.
    pub mean: Option<f64>,
    /// Half of the 95 % confidence interval of the mean.
    pub confidence_95: Option<f64>,
    /// How the cell differs from its references, as far as that is decided.
    pub decided: Vec<Mark>,
}

/// A decided difference of a cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mark {
    pub sign: Sign,
    /// The reference, in the words of the comparison.
    pub control: String,
}

/// A comparison that is decided.
#[derive(Debug, Clone, Serialize)]
pub struct Decided {
    /// Index of the comparison in the summary.
    pub comparison: usize,
    /// The comparison's name in the grid file.
    pub name: Option<String>,
    /// Subset size of both cells.
    pub subset_size: u32,
    /// The properties that both cells share: `n = 300, lenet`.
    pub context: String,
    /// The properties of the cell alone: `fn 0.1`.
    pub treatment: String,
    /// The properties of the reference alone: `none`.
    pub control: String,
    pub sign: Sign,
    /// Mean difference.
    pub mean: f64,
    /// Half of the 95 % confidence interval of this comparison alone.
    pub confidence_95: Option<f64>,
    /// p-value of this comparison alone, which agrees with that interval.
    pub p: f64,
    /// p-value after Holm's correction over the family, which decides.
    pub p_holm: f64,
    /// Number of seeds with a pair of results.
    pub seeds: usize,
    /// Number of seeds that the grid has for both cells.
    pub planned: usize,
}

impl Answer {
    /// `open`: whether some trials have not ended.
    pub(super) fn new(
        cells: &Cells,
        comparisons: &[Comparison],
        claims: &[ClaimVerdict],
        open: bool,
    ) -> Self {
        let decided = decided(cells, comparisons);
        let checks = claims.iter().flat_map(|claim| &claim.checks);
        let claim_family = checks.filter(|check| check.p.is_some()).count();
        Self {
            claims: claims.iter().map(|of| claim(of, claim_family)).collect(),
            synthesis: synthesis(comparisons, claim_family, &decided, open),
            pivot: pivot(cells, comparisons, &decided),
            decided,
        }
    }
}

/// Seeds with which each of these comparisons, even the widest, shows a difference at the strictest
/// level of Holm's correction over a family.
fn seeds_for_all<'c>(
    comparisons: impl Iterator<Item = &'c Comparison>,
    difference: f64,
    alpha: f64,
    family: usize,
) -> Option<usize> {
    let widest = comparisons.filter_map(Comparison::spread).max_by(f64::total_cmp)?;
    seeds_needed(difference / widest, alpha / family.max(1) as f64)
}

fn claim(claim: &ClaimVerdict, family: usize) -> ClaimLine {
    let pair = |ClaimCheck { verdict, p_holm, comparison, .. }: &ClaimCheck| ClaimPair {
        verdict: *verdict,
        context: comparison.context.clone(),
        treatment: comparison.treatment.clone(),
        control: comparison.control.clone(),
        mean: comparison.difference.map(|difference| difference.mean),
        confidence_95: comparison.difference.and_then(|difference| difference.confidence_95),
        p_holm: *p_holm,
    };
    let open = || {
        let open = claim.checks.iter().filter(|check| check.verdict == Verdict::Undecided);
        open.map(|check| &check.comparison).filter(|_| claim.verdict == Verdict::Undecided)
    };
    let distance = match claim.relation {
        Relation::Better | Relation::Worse => 0.01,
        Relation::NotWorse | Relation::Equal => claim.margin,
    };
    ClaimLine {
        text: claim.text.clone(),
        relation: claim.relation,
        margin: claim.margin,
        verdict: claim.verdict,
        provisional: claim.provisional,
        pairs: claim.checks.iter().map(pair).collect(),
        seeds_needed: seeds_for_all(open(), distance, claim.alpha, family),
        seeds: open().map(|comparison| comparison.pairs.len()).min().unwrap_or(0),
    }
}

fn decided(cells: &Cells, comparisons: &[Comparison]) -> Vec<Decided> {
    let decided = |(index, comparison): (usize, &Comparison)| {
        let (sign, difference) = (comparison.decided()?, comparison.difference?);
        Some(Decided {
            comparison: index,
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
    let mut decided: Vec<_> = comparisons.iter().enumerate().filter_map(decided).collect();
    // Corrected p-values are often equal, and then the uncorrected ones order.
    decided
        .sort_by(|one, other| one.p_holm.total_cmp(&other.p_holm).then(one.p.total_cmp(&other.p)));
    decided
}

fn synthesis(
    comparisons: &[Comparison],
    claim_family: usize,
    decided: &[Decided],
    open: bool,
) -> Synthesis {
    let count = |sign| decided.iter().filter(|decided| decided.sign == sign).count();
    let unknown = comparisons.iter().filter(|comparison| comparison.difference.is_none()).count();
    let undecided = || comparisons.iter().filter(|comparison| comparison.decided().is_none());
    let family = comparisons.iter().filter(|comparison| comparison.t_p.is_some()).count();
    let with_spread = undecided().filter(|comparison| comparison.spread().is_some());
    Synthesis {
        comparisons: comparisons.len(),
        family,
        claim_family,
        gains: count(Sign::Gain),
        losses: count(Sign::Loss),
        undecided: comparisons.len() - unknown - decided.len(),
        alone: undecided().filter(|comparison| comparison.t_p.is_some_and(|p| p < 0.05)).count(),
        unknown,
        open,
        seeds_for_one_point: seeds_for_all(undecided(), 0.01, 0.05, family),
        seeds: with_spread.map(|comparison| comparison.pairs.len()).min().unwrap_or(0),
    }
}

fn pivot(cells: &Cells, comparisons: &[Comparison], decided: &[Decided]) -> Pivot {
    let mut marks = marks(comparisons, decided);
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
                decided: marks.remove(place).unwrap_or_default(),
            });
        }
        let first = &cells[places[0]];
        let (regulariser, variant) = (first.regulariser.clone(), first.variant());
        PivotRow { network: first.network, regulariser, variant, cells: row }
    });
    let rows = rows.collect();
    Pivot { rows, sizes, control: most_frequent(decided) }
}

/// How cells differ from their references.
fn marks(comparisons: &[Comparison], decided: &[Decided]) -> HashMap<usize, Vec<Mark>> {
    let mut marks: HashMap<usize, Vec<Mark>> = HashMap::new();
    for Decided { comparison, sign, control, .. } in decided {
        let mark = Mark { sign: *sign, control: control.clone() };
        marks.entry(comparisons[*comparison].cell).or_default().push(mark);
    }
    marks
}

/// The most frequent reference; the first by name of equally frequent ones.
fn most_frequent(decided: &[Decided]) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    decided.iter().for_each(|decided| *counts.entry(&decided.control).or_default() += 1);
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map(|(control, _)| control.to_owned())
}
