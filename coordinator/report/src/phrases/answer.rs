//! The answer in sentences, and in the words of its tables.

use swfn_shared::text::count;

use super::{
    legends::{FLATTERED, is_flattered},
    rounding::percent,
    values::UNKNOWN,
};
use crate::numbers::{
    answer::{PivotCell, Synthesis},
    claim::Verdict,
    contrast::Sign,
    summary::Summary,
    united::distinct,
};

/// How much of the sweep is done: `46 of 48 trials done, 1 failed, 1 to come`.
pub(crate) fn progress(summary: &Summary) -> String {
    let Summary { planned, succeeded, failures, .. } = summary;
    let to_come = planned - succeeded - failures.len().min(planned - succeeded);
    let mut text = format!("{succeeded} of {} done", count(*planned, "trial"));
    if !failures.is_empty() {
        text += &format!(", {} failed", failures.len());
    }
    if to_come > 0 {
        text += &format!(", {to_come} to come");
    }
    text
}

/// The most regularisers that the question names.
const REGULARISERS: usize = 10;

/// The question of the sweep: which regularisers, networks, sizes and seeds.
pub(crate) fn question(summary: &Summary) -> String {
    let sizes: Vec<String> = summary.answer.pivot.sizes.iter().map(u32::to_string).collect();
    let networks = distinct(summary.cells().iter().map(|cell| cell.network.to_string()));
    let (plain, others): (Vec<_>, Vec<_>) =
        summary.treatments().iter().partition(|treatment| treatment.regulariser.parts() == 0);
    let others: Vec<String> = others.iter().map(|treatment| treatment.name.clone()).collect();
    let named = if others.len() > REGULARISERS {
        format!("{} regularisers", others.len())
    } else {
        listed(&others)
    };
    let with = match (others.is_empty(), plain.is_empty()) {
        (true, _) => "How well does training without a regulariser do".to_owned(),
        (false, true) => format!("How do {named} compare"),
        (false, false) => format!("How do {named} compare with no regulariser"),
    };
    let planned = || summary.cells().iter().map(|cell| cell.planned);
    let seeds = match (planned().min().unwrap_or(0), planned().max().unwrap_or(0)) {
        (1, 1) => "one seed".to_owned(),
        (least, most) if least < most => format!("{least} to {most} seeds"),
        (_, most) => format!("{most} seeds"),
    };
    format!(
        "{with} on {}, trained on {} images of {}? Each cell was planned with {seeds}.",
        listed(&networks),
        listed(&sizes),
        summary.dataset,
    )
}

/// `a, b and c`, or the first and the last of many items.
fn listed(items: &[String]) -> String {
    const LISTED: usize = 8;
    match items {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first, .., last] if items.len() > LISTED => {
            format!("{first} to {last} ({} values)", items.len())
        }
        [begin @ .., last] => format!("{} and {last}", begin.join(", ")),
    }
}

/// All comparisons in sentences: what is decided, and what it would take to decide more.
pub(crate) fn synthesis(summary: &Summary) -> Vec<String> {
    let mut sentences = all_comparisons(&summary.answer.synthesis);
    sentences.extend(is_flattered(summary).then(|| format!("All differences are {FLATTERED}.")));
    sentences
}

fn all_comparisons(synthesis: &Synthesis) -> Vec<String> {
    let Synthesis {
        comparisons,
        gains,
        losses,
        undecided,
        alone,
        unknown,
        open,
        seeds_for_one_point,
        ..
    } = synthesis;
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
        seeds_for_one_point.map(|seeds| {
            format!("{about} {seeds} seeds are needed to see one point at this spread.")
        })
    };
    let rest = format!("{undecided} {} not decided", if *undecided == 1 { "is" } else { "are" });
    sentences.extend(match (*undecided, gains + losses) {
        (0, _) => None,
        (_, 0) => needed("About"),
        _ => Some(needed("about").map_or(format!("{rest}."), |needed| format!("{rest}; {needed}"))),
    });
    if *alone > 0 {
        let have = if *alone == 1 { "has" } else { "have" };
        sentences.push(format!(
            "{alone} not decided {have} p < 0.05 alone, which is not enough among so many."
        ));
    }
    if *unknown > 0 {
        let (verb, yet) =
            (if *unknown == 1 { "has" } else { "have" }, if *open { " yet" } else { "" });
        sentences.push(format!("{unknown} {verb} no seed with both results{yet}."));
    }
    sentences
}

/// The answer while the sweep runs, in a few words.
pub fn so_far(summary: &Summary) -> String {
    let claims = &summary.answer.claims;
    let Synthesis { comparisons, unknown, gains, losses, .. } = summary.answer.synthesis;
    if !claims.is_empty() {
        let count = |verdict| claims.iter().filter(|claim| claim.verdict == verdict).count();
        let [held, not_held, undecided] =
            [Verdict::Held, Verdict::NotHeld, Verdict::Undecided].map(count);
        format!("claims so far: {held} held, {not_held} not held, {undecided} undecided")
    } else if unknown == comparisons {
        "nothing to compare yet".to_owned()
    } else {
        format!(
            "comparisons so far: {gains} better, {losses} worse, {} undecided",
            comparisons - gains - losses
        )
    }
}

/// Mean and interval of a cell, and the seeds if some are missing.
pub(crate) fn pivot_cell(cell: &PivotCell) -> String {
    let Some(mean) = cell.mean else { return UNKNOWN.to_owned() };
    let mut text = percent(mean);
    if let Some(half) = cell.confidence_95 {
        text += &format!(" ± {}", percent(half));
    }
    if cell.seeds < cell.planned {
        text += &format!(" ({}/{})", cell.seeds, cell.planned);
    }
    text
}

/// The mark of a decided difference in tables.
pub(crate) fn symbol(sign: Sign) -> &'static str {
    match sign {
        Sign::Gain => "+",
        Sign::Loss => "−",
        Sign::Both => "+/−",
    }
}
