//! The answer in sentences: of what is compared with one and the same reference, what gains most.

use std::collections::HashMap;

use swfn_shared::grid::Selection;

use super::{
    contrast::Comparison,
    summary::{Cell, Summary},
    words,
};

/// Whether nothing regularises the cell's network.
fn is_plain(cell: &Cell) -> bool {
    cell.lambda == 0.0 && has_no_other(cell)
}

/// Nothing but perhaps the function norm.
fn has_no_other(cell: &Cell) -> bool {
    cell.weight_decay == 0.0 && cell.architecture.plain() == cell.architecture
}

/// Where the grid says what to compare: a sentence for each name and reference. Else for each network without any regulariser two: what the
/// function norm alone does, and what does most.
pub(super) fn sentences(summary: &Summary) -> Vec<String> {
    let cell = |index: usize| &summary.cells[index];
    let wanted = |c: &&Comparison| !summary.usual_comparisons || is_plain(cell(c.reference));
    let mut groups: Vec<Vec<&Comparison>> = Vec::new();
    let mut places = HashMap::new();
    for comparison in summary.comparisons.iter().filter(wanted) {
        let place = *places.entry((comparison.name.as_deref(), comparison.reference)).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(comparison);
    }
    let mut sentences = Vec::new();
    for of_group in groups {
        let winner = most(&of_group);
        if summary.usual_comparisons {
            let alone: Vec<_> = of_group.iter().copied().filter(|c| has_no_other(cell(c.cell))).collect();
            let best = most(&alone).filter(|best| winner.is_none_or(|winner| winner.cell != best.cell));
            sentences.extend(best.map(|best| sentence(summary, best, alone.len())));
        }
        sentences.extend(winner.map(|winner| sentence(summary, winner, of_group.len())));
    }
    sentences
}

/// What gains most on average, of what has results.
fn most<'c>(comparisons: &[&'c Comparison]) -> Option<&'c Comparison> {
    let mean = |comparison: &Comparison| comparison.difference.map_or(f64::NEG_INFINITY, |difference| difference.mean);
    let known = comparisons.iter().copied().filter(|comparison| comparison.difference.is_some());
    // The first of equals.
    known.reduce(|most, other| if mean(other) > mean(most) { other } else { most })
}

fn sentence(summary: &Summary, comparison: &Comparison, of: usize) -> String {
    let Comparison { context, treatment, control, .. } = comparison;
    let mean = words::points(comparison.difference.map_or(0.0, |difference| difference.mean));
    let told_apart = comparison.t_p_holm.is_some_and(|p| p < 0.05);
    let what = match (told_apart, mean.strip_prefix('-')) {
        (true, None) => format!("{treatment} gains {mean} points over {control}"),
        (true, Some(loss)) => format!("{treatment} loses {loss} points against {control}"),
        (false, _) => format!("{treatment} is not told apart from {control}: {mean} points"),
    };
    let details = words::details(comparison, comparison.t_p_holm);
    let chosen = if of > 1 { format!("; the highest mean of {of}, which flatters it") } else { String::new() };
    let evaluations = match summary.selection {
        Selection::Best => "; by best evaluations, chosen on the test images",
        Selection::Final | Selection::Validation => "",
    };
    format!("at {context}: {what} ({details}){chosen}{evaluations}")
}
