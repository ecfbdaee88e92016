//! The answer in sentences: of what is compared with one and the same reference, what gains most.

use std::collections::{HashMap, HashSet};

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
    cell.weight_decay == 0.0 && cell.architecture.switch().is_none()
}

/// Where the grid says what to compare: a sentence for each name and reference. Else for each network without any regulariser two: what the
/// function norm alone does, and what does most; and where no such network was trained, what does most beside the regularisers that it has.
pub(super) fn sentences(summary: &Summary) -> Vec<String> {
    let cell = |index: usize| &summary.cells[index];
    let network = |index: usize| (cell(index).subset_size, cell(index).architecture.network());
    let plain = summary.comparisons.iter().map(|comparison| comparison.reference).filter(|r| is_plain(cell(*r)));
    let with_plain: HashSet<_> = plain.map(network).collect();
    // Where all trials of a network have a regulariser, they are compared among each other.
    let wanted = |c: &&Comparison| {
        !summary.usual_comparisons || is_plain(cell(c.reference)) || !with_plain.contains(&network(c.reference))
    };
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
    let Comparison { name, context, treatment, control, .. } = comparison;
    let name = name.as_ref().map_or(String::new(), |name| format!("{name}: "));
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
    format!("{name}at {context}: {what} ({details}){chosen}{evaluations}")
}
