//! Comparisons and the answer in words and numbers, the same on the terminal and in all files.

use swfn_shared::{
    axes,
    treatment::{Regulariser, Switch},
};

pub(super) use swfn_shared::text::count;

use super::{
    answer::{ClaimLine, Decided, PivotCell, Synthesis},
    claim::Verdict,
    comparisons::{FLATTERED, is_flattered},
    contrast::Comparison,
    rounding::{decimal, percent, signed},
    statistics::Estimate,
    summary::{Cell, Summary},
    table,
};

/// What stands where nothing is known.
pub(super) const UNKNOWN: &str = "–";

/// A share as percentage points with its sign, as many digits as 10,000 test images can tell apart.
pub(super) fn points(share: f64) -> String {
    signed(100.0 * share, 2)
}

/// A p-value: in three significant digits where decisions are made, and never rounded across the level of 5 %.
pub(super) fn p_value(p: f64) -> String {
    const LEVEL: f64 = 0.05;
    match p {
        p if p < 0.0001 => "< 0.0001".to_owned(),
        p if p < 0.06 => {
            let digits = (2.0 - p.log10().floor()) as usize;
            let crosses = |text: &String| text.parse() == Ok(LEVEL) && p != LEVEL;
            let texts = (digits..digits + 9).map(|digits| decimal(p, digits));
            texts.clone().find(|text| !crosses(text)).unwrap_or_else(|| decimal(p, digits))
        }
        p => decimal(p, 3),
    }
}

/// The same with its name.
fn p_is(p: Option<f64>) -> String {
    match p.map(p_value) {
        None => "p unknown".to_owned(),
        Some(p) if p.starts_with('<') => format!("p {p}"),
        Some(p) => format!("p = {p}"),
    }
}

/// The ends of an interval around a mean.
pub(super) fn interval(mean: f64, half: Option<f64>) -> Option<String> {
    half.map(|half| format!("{} to {}", points(mean - half), points(mean + half)))
}

/// How many seeds make a pair, and which should and do not.
pub(super) fn seeds(comparison: &Comparison) -> String {
    const LISTED: usize = 6;
    let Comparison { pairs, missing_seeds, .. } = comparison;
    let of = count(pairs.len(), "seed");
    if missing_seeds.is_empty() {
        return of;
    }
    let mut missing: Vec<_> = missing_seeds.iter().take(LISTED).map(ToString::to_string).collect();
    if missing_seeds.len() > LISTED {
        missing.push(format!("{} more", missing_seeds.len() - LISTED));
    }
    format!("{of}, missing: {}", missing.join(" "))
}

/// Wins, ties and losses.
pub(super) fn wins(comparison: &Comparison) -> String {
    format!("{}/{}/{}", comparison.wins, comparison.ties, comparison.losses)
}

/// Difference, interval, p-values and wins of a pair of cells of a claim, whose family has so many members.
pub(super) fn numbers(comparison: &Comparison, p: Option<f64>, p_holm: Option<f64>, family: usize) -> String {
    let Some(difference) = comparison.difference else {
        return format!("no pair of {} has results", count(comparison.planned, "seed"));
    };
    let Estimate { mean, confidence_95, .. } = difference;
    let interval = interval(mean, confidence_95).map_or("interval unknown".to_owned(), |ends| format!("95 % {ends}"));
    let (p, p_holm, wins, seeds) = (p_is(p), p_is(p_holm), wins(comparison), seeds(comparison));
    format!("{} points (alone {interval}, {p}, Holm {p_holm} over {family}, w/t/l {wins} of {seeds})", points(mean))
}

/// What both cells have, then what each of them has.
pub(super) fn sides(cell: &Cell, reference: &Cell) -> (String, String, String) {
    let mut context = vec![format!("n = {}", cell.subset_size)];
    let (mut left, mut right) = (Vec::new(), Vec::new());
    if cell.network == reference.network {
        context.push(cell.network.to_string());
    } else {
        left.push(cell.network.to_string());
        right.push(reference.network.to_string());
    }
    left.push(cell.regulariser.clone());
    right.push(reference.regulariser.clone());
    let is_common = |phrase: &&String| cell.variant.contains(phrase) && reference.variant.contains(phrase);
    let only = |of: &Cell| of.variant.iter().filter(|phrase| !is_common(phrase)).cloned().collect::<Vec<_>>();
    left.extend(only(cell));
    right.extend(only(reference));
    context.extend(cell.variant.iter().filter(is_common).cloned());
    (context.join(", "), left.join(", "), right.join(", "))
}

/// A cell in a few words, with all that tells it from the others.
pub(super) fn label(cell: &Cell) -> String {
    parts(cell).join(", ")
}

/// The same part by part.
pub(super) fn parts(cell: &Cell) -> Vec<String> {
    let mut parts = vec![cell.network.to_string(), format!("n = {}", cell.subset_size), cell.regulariser.clone()];
    parts.extend(cell.variant.iter().cloned());
    parts
}

/// A verdict, and whether it may yet change.
pub(super) fn verdict(claim: &ClaimLine) -> String {
    let so_far = if claim.provisional { " so far" } else { "" };
    format!("{}{so_far}", claim.verdict.name())
}

/// What a claim's verdict rests on, in one line.
pub(super) fn grounds(claim: &ClaimLine) -> String {
    let ClaimLine { pairs, held, not_held, least, most, p_holm, .. } = claim;
    let range = match least.zip(*most) {
        None => "no results".to_owned(),
        Some((least, most)) if points(least) == points(most) => format!("{} points", points(least)),
        Some((least, most)) => format!("{} to {} points", points(least), points(most)),
    };
    match pairs {
        0 => "none of its trials is here".to_owned(),
        1 => format!("{range}, Holm {}", p_is(*p_holm)),
        _ if *not_held > 0 => format!("held for {held} of {pairs} pairs of cells, not held for {not_held}; {range}"),
        _ => format!("held for {held} of {pairs} pairs of cells; {range}"),
    }
}

/// All comparisons in two sentences: what is decided, and what it would take to decide more.
pub(super) fn synthesis(summary: &Summary) -> Vec<String> {
    let mut sentences = all_comparisons(&summary.answer.synthesis);
    sentences.extend(is_flattered(summary).then(|| format!("All differences are {FLATTERED}.")));
    sentences
}

fn all_comparisons(synthesis: &Synthesis) -> Vec<String> {
    let Synthesis { comparisons, gains, losses, undecided, alone, unknown, open, seeds_for_one_point, .. } = synthesis;
    if *comparisons == 0 {
        return vec!["Nothing is compared: no cell has a reference in the grid.".to_owned()];
    }
    let all = count(*comparisons, "comparison");
    let mut sentences = vec![match gains + losses {
        0 => format!("None of {all} is decided (p < 0.05 after Holm's correction)."),
        decided => format!(
            "{decided} of {all} {} decided (p < 0.05 after Holm's correction): {} and {}.",
            if decided == 1 { "is" } else { "are" },
            count(*gains, "gain"),
            if *losses == 1 { "1 loss".to_owned() } else { format!("{losses} losses") }
        ),
    }];
    let needed = |about: &str| {
        seeds_for_one_point.map(|seeds| format!("{about} {seeds} seeds are needed to see one point at this spread."))
    };
    let rest = format!("{undecided} {} not decided", if *undecided == 1 { "is" } else { "are" });
    sentences.extend(match (*undecided, gains + losses) {
        (0, _) => None,
        (_, 0) => needed("About"),
        _ => Some(needed("about").map_or(format!("{rest}."), |needed| format!("{rest}; {needed}"))),
    });
    if *alone > 0 {
        let have = if *alone == 1 { "has" } else { "have" };
        sentences.push(format!("{alone} not decided {have} p < 0.05 alone, which is not enough among so many."));
    }
    if *unknown > 0 {
        let (verb, yet) = (if *unknown == 1 { "has" } else { "have" }, if *open { " yet" } else { "" });
        sentences.push(format!("{unknown} {verb} no seed with both results{yet}."));
    }
    sentences
}

/// What the results say while the sweep runs, in a few words.
pub fn so_far(summary: &Summary) -> String {
    let claims = &summary.answer.claims;
    let Synthesis { comparisons, unknown, gains, losses, .. } = summary.answer.synthesis;
    if !claims.is_empty() {
        let of = |verdict| claims.iter().filter(|claim| claim.verdict == verdict).count();
        let [held, not_held, undecided] = [Verdict::Held, Verdict::NotHeld, Verdict::Undecided].map(of);
        format!("claims so far: {held} held, {not_held} not held, {undecided} undecided")
    } else if unknown == comparisons {
        "nothing to compare yet".to_owned()
    } else {
        format!("comparisons so far: {gains} better, {losses} worse, {} undecided", comparisons - gains - losses)
    }
}

/// What the seeds of [`synthesis`] are reckoned from.
pub(super) const SEEDS_NEEDED: &str = "Seeds needed: paired t test alone, two-sided at 5 %, power 80 %, at the median spread of the pairs that are not decided.";

/// A decided comparison: where, what, over what, points, their interval, p-value alone and corrected.
pub(super) fn decided(decided: &Decided) -> [String; 7] {
    let Decided { context, treatment, control, mean, confidence_95, p, p_holm, .. } = decided;
    let interval = interval(*mean, *confidence_95).unwrap_or(UNKNOWN.to_owned());
    let [context, treatment, control] = [context, treatment, control].map(String::clone);
    [context, treatment, control, points(*mean), interval, p_value(*p), p_value(*p_holm)]
}

/// Mean and interval of a cell of the pivot, the seeds if some are missing, and the sign of what is decided.
pub(super) fn pivot_cell(cell: &PivotCell) -> String {
    let Some(mean) = cell.mean else { return UNKNOWN.to_owned() };
    let half = cell.confidence_95.map_or(String::new(), |half| format!(" ± {}", percent(half)));
    let of = if cell.seeds < cell.planned { format!(" ({}/{})", cell.seeds, cell.planned) } else { String::new() };
    let sign = cell.decided.map_or(String::new(), |sign| format!(" {}", sign.symbol()));
    format!("{}{half}{of}{sign}", percent(mean))
}

/// What stands in the pivot.
pub(super) fn pivot_legend(summary: &Summary) -> String {
    let cells = || summary.answer.pivot.rows.iter().flat_map(|row| row.cells.iter().flatten());
    let some_missing = cells().any(|cell| cell.mean.is_some() && cell.seeds < cell.planned);
    format!(
        "{}: mean in % ± half of its 95 % interval (Student's t) over the seeds. Behind it + or −: decided to be above or below a \
         reference.{}{}",
        table::which(summary.selection),
        if some_missing { " In brackets: seeds with results." } else { "" },
        names(summary)
    )
}

/// What the names of regularisers mean, as far as there are any; with a blank before it.
pub fn names(summary: &Summary) -> String {
    let some = |has: fn(&Regulariser) -> bool| summary.cells.iter().any(|cell| has(&cell.treatment));
    let all = [
        (some(|of| of.lambda() > 0.0), "fn: function norm with its weight λ"),
        (some(|of| of.weight(axes::WEIGHT_DECAY) > 0.0), "wd: weight decay"),
        (some(|of| of.switch() == Some(Switch::BatchNorm)), "bn: batch norm"),
    ];
    let used: Vec<&str> = all.into_iter().filter(|(used, _)| *used).map(|(_, meaning)| meaning).collect();
    if used.is_empty() { String::new() } else { format!(" {}.", used.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_near_the_level_are_told_apart() {
        for (p, text) in [
            (0.049_6, "0.0496"),
            (0.050_3, "0.0503"),
            (0.049_996, "0.049996"),
            (0.05, "0.0500"),
            (0.050_000_4, "0.0500004"),
            (0.000_434_4, "0.000434"),
            (0.009_96, "0.00996"),
            (0.000_09, "< 0.0001"),
            (0.061_23, "0.061"),
            (1.0, "1.000"),
        ] {
            assert_eq!(p_value(p), text);
        }
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!(
            (count(1, "seed"), count(0, "seed"), count(2, "seed")),
            ("1 seed".into(), "0 seeds".into(), "2 seeds".into())
        );
    }
}
