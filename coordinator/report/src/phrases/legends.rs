//! What columns and names mean, and above all which evaluation counts.

use swfn_shared::{
    axes::{self, Axis},
    grid::Selection,
    text::count,
    treatment::{Regulariser, Switch},
};

use super::words::p_value;
use crate::numbers::summary::Summary;

/// Said wherever accuracies are compared that were chosen on what they are judged by.
pub(crate) const FLATTERED: &str = "of best evaluations, CHOSEN ON THE TEST IMAGES";

pub(crate) fn is_flattered(summary: &Summary) -> bool {
    summary.selection == Selection::Best
}

/// Which accuracy counts.
pub(crate) fn which(selection: Selection) -> &'static str {
    match selection {
        Selection::Final => "Test accuracy after the last iteration",
        Selection::Best => {
            "Test accuracy of each trial's best evaluation, CHOSEN ON THE TEST IMAGES, so it flatters"
        }
        Selection::Validation => {
            "Test accuracy at the evaluation that is best on the validation images"
        }
    }
}

/// What the columns of cells mean.
pub fn cells(summary: &Summary) -> String {
    let which = which(summary.selection);
    format!(
        "{which}: mean ± half of the 95 % confidence interval (Student's t) over the seeds; sd: standard deviation. over λ = 0: \
         difference to the same seeds without the function norm, with its interval. best: mean of each trial's best evaluation, chosen on \
         the test images. s/trial: mean seconds of training and testing a classifier.{}",
        names(summary)
    )
}

/// What the columns of comparisons mean, and how the p-values come about.
pub(crate) fn comparisons(summary: &Summary) -> String {
    let which =
        if is_flattered(summary) { format!("Differences {FLATTERED}. ") } else { String::new() };
    let family = count(summary.answer.synthesis.family, "comparison");
    format!(
        "{which}Points: mean difference over the same seeds, in percentage points. 95 % interval (Student's t) and p (paired t test, \
         two-sided) are of that comparison alone. Holm p is corrected over {family}, and decides at 5 %. d: mean difference over the standard \
         deviation of the differences, corrected for small n (Hedges). w/t/l: seeds won, tied, lost. {}",
        signed_rank(summary)
    )
}

/// The smallest corrected p-value that Wilcoxon's test can have here, and of how many seeds; `None` without results.
fn least_signed_rank(summary: &Summary) -> Option<(f64, usize)> {
    let seeds = summary.comparisons.iter().map(|comparison| comparison.pairs.len()).max()?;
    let family =
        summary.comparisons.iter().filter(|comparison| comparison.wilcoxon_p.is_some()).count();
    (family > 0).then(|| (family as f64 * 0.5f64.powi(seeds as i32 - 1), seeds))
}

/// Whether Wilcoxon's test can decide anything with so few seeds.
pub(crate) fn signed_rank_decides(summary: &Summary) -> bool {
    least_signed_rank(summary).is_some_and(|(least, _)| least < 0.05)
}

fn signed_rank(summary: &Summary) -> String {
    match least_signed_rank(summary) {
        None => String::new(),
        Some(_) if signed_rank_decides(summary) => {
            "Signed rank: Holm p of Wilcoxon's test.".to_owned()
        }
        Some((least, seeds)) => format!(
            "Wilcoxon's signed-rank test cannot decide here: with {} its Holm p is at least {}.",
            count(seeds, "seed"),
            p_value(least.min(1.0))
        ),
    }
}

/// What stands in the pivot.
pub(crate) fn pivot(summary: &Summary) -> String {
    let cells = || summary.answer.pivot.rows.iter().flat_map(|row| row.cells.iter().flatten());
    let some_missing = cells().any(|cell| cell.mean.is_some() && cell.seeds < cell.planned);
    format!(
        "{}: mean in % ± half of its 95 % interval (Student's t) over the seeds. Behind it + or −: decided to be above or below a \
         reference.{}{}",
        which(summary.selection),
        if some_missing { " In brackets: seeds with results." } else { "" },
        names(summary)
    )
}

/// What the seeds of the synthesis are reckoned from.
pub(crate) const SEEDS_NEEDED: &str = "Seeds needed: paired t test alone, two-sided at 5 %, power 80 %, at the median spread of the pairs that are not decided.";

/// What the names of regularisers mean, as far as there are any; with a blank before it.
pub fn names(summary: &Summary) -> String {
    let some = |has: &dyn Fn(&Regulariser) -> bool| {
        summary.treatments().iter().any(|treatment| has(&treatment.regulariser))
    };
    let mut used: Vec<String> = Axis::regularisers()
        .iter()
        .copied()
        .filter(|axis| some(&|of| of.weight(*axis) > 0.0))
        .map(|axis| {
            let weight = if axis == axes::LAMBDA { " with its weight λ" } else { "" };
            format!("{}: {}{weight}", axis.symbol(), axis.title)
        })
        .collect();
    used.extend(
        some(&|of| of.switch() == Some(Switch::BatchNorm)).then(|| "bn: batch norm".to_owned()),
    );
    if used.is_empty() { String::new() } else { format!(" {}.", used.join("; ")) }
}
