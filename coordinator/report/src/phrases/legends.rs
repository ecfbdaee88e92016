//! The meanings of columns and names, and above all which evaluation counts.

use swfn_shared::{
    axes::{self, Axis},
    grid::Selection,
    text::count,
    treatment::{Regulariser, Switch},
};

use super::values::p_value;
use crate::numbers::summary::Summary;

/// A warning wherever compared accuracies were chosen on the images that judge them.
pub(crate) const FLATTERED: &str = "of best evaluations, CHOSEN ON THE TEST IMAGES";

pub(crate) fn is_flattered(summary: &Summary) -> bool {
    summary.selection == Selection::Best
}

/// The accuracy that counts.
pub(crate) fn which_accuracy(selection: Selection) -> &'static str {
    match selection {
        Selection::Final => "test accuracy after the last iteration",
        Selection::Best => {
            "test accuracy of each trial's best evaluation, CHOSEN ON THE TEST IMAGES, which \
             flatters"
        }
        Selection::Validation => "test accuracy at the best evaluation on the validation images",
    }
}

/// The accuracy that counts, for titles of axes and columns. A picture without its caption must not
/// flatter.
pub(crate) fn selected_accuracy(selection: Selection) -> &'static str {
    match selection {
        Selection::Final => "test accuracy",
        Selection::Best => "best accuracy (chosen on test images)",
        Selection::Validation => "validated test accuracy",
    }
}

/// The columns of cells.
pub fn cells(summary: &Summary) -> String {
    format!(
        "Mean ± half of the 95 % confidence interval (Student's t) over the seeds: {}. sd: \
         standard deviation. over λ = 0: difference to the same seeds without the function norm, with its \
         interval. best: mean of each trial's best evaluation, chosen on the test images. s/trial: \
         mean seconds of training and testing a classifier.{}",
        which_accuracy(summary.selection),
        names(summary)
    )
}

/// The columns of comparisons, and the sources of their p-values.
pub(crate) fn comparisons(summary: &Summary) -> String {
    let which =
        if is_flattered(summary) { format!("Differences {FLATTERED}. ") } else { String::new() };
    let family = count(summary.answer.synthesis.family, "comparison");
    format!(
        "{which}Points: mean difference over the same seeds, in percentage points. The 95 % \
         interval (Student's t) and p (paired t test, two-sided) belong to one comparison alone. Holm p is \
         corrected over {family}, and decides at 5 %. d: mean difference over the standard \
         deviation of the differences, corrected for small n (Hedges' g). w/t/l: seeds won, tied, lost. {}",
        signed_rank(summary)
    )
}

/// The smallest corrected p-value that Wilcoxon's test can have here, and the number of seeds;
/// `None` without results.
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
            "Signed rank: Holm p of Wilcoxon's signed-rank test.".to_owned()
        }
        Some((least, seeds)) => format!(
            "Wilcoxon's signed-rank test cannot decide here: with {} its Holm p is at least {}.",
            count(seeds, "seed"),
            p_value(least.min(1.0))
        ),
    }
}

/// The cells of the pivot.
pub(crate) fn pivot(summary: &Summary) -> String {
    let mut cells = summary.answer.pivot.rows.iter().flat_map(|row| row.cells.iter().flatten());
    let some_missing = cells.any(|cell| cell.mean.is_some() && cell.seeds < cell.planned);
    let pivot = &summary.answer.pivot;
    let others = pivot.rows.iter().flat_map(|row| row.cells.iter().flatten());
    let mut others = others.flat_map(|cell| &cell.decided);
    let marks = pivot.control.as_ref().map_or(String::new(), |control| {
        let named = others.any(|mark| mark.control != *control);
        format!(
            " + or −: decided to be above or below “{control}” on the same seeds{}.",
            if named { "; other references are named" } else { "" }
        )
    });
    format!(
        "Mean in % ± half of its 95 % interval (Student's t) over the seeds: {}.{marks}{}{}",
        which_accuracy(summary.selection),
        if some_missing { " In brackets: seeds with results." } else { "" },
        names(summary)
    )
}

/// The assumptions of the number of seeds in the synthesis.
pub(crate) const SEEDS_NEEDED: &str = "Seeds that one point takes: for a paired t test at the \
    strictest level of Holm's correction, with a power of 80 %, at the widest spread of undecided \
    comparisons.";

/// The meanings of the regularisers' names, after a space; empty if there are no such names.
pub fn names(summary: &Summary) -> String {
    let some = |has: &dyn Fn(&Regulariser) -> bool| {
        summary.treatments().iter().any(|treatment| has(&treatment.regulariser))
    };
    let mut used = Vec::new();
    for axis in Axis::regularisers().iter().filter(|axis| some(&|of| of.weight(**axis) > 0.0)) {
        let weight = if *axis == axes::LAMBDA { " with its weight λ" } else { "" };
        used.push(format!("{}: {}{weight}", axis.symbol(), axis.title));
    }
    if some(&|of| of.switch() == Some(Switch::BatchNorm)) {
        used.push("bn: batch norm".to_owned());
    }
    if used.is_empty() { String::new() } else { format!(" {}.", used.join("; ")) }
}
