//! The answer in sentences, and in the words of its tables.

use swfn_shared::text::count;

use super::{
    legends::{FLATTERED, is_flattered},
    rounding::percent,
    values::UNKNOWN,
};
use crate::numbers::{
    answer::{Mark, Pivot, PivotCell, Synthesis},
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

/// The name of training without a regulariser.
const NONE: &str = "none";

/// The most regularisers that the question names.
const REGULARISERS: usize = 10;

/// The question of the sweep: which regularisers, networks, sizes and seeds.
pub(crate) fn question(summary: &Summary) -> String {
    let sizes: Vec<String> = summary.answer.pivot.sizes.iter().map(u32::to_string).collect();
    let networks = distinct(summary.cells().iter().map(|cell| cell.network.to_string()));
    let controls = distinct(summary.comparisons.iter().map(|of| of.control.clone()));
    let others = summary.treatments().iter().filter(|treatment| treatment.regulariser.parts() > 0);
    let compared = match controls.is_empty() {
        true => others.map(|treatment| treatment.name.clone()).collect(),
        false => distinct(summary.comparisons.iter().map(|of| of.treatment.clone())),
    };
    let named = if compared.len() > REGULARISERS {
        format!("{} regularisers", compared.len())
    } else {
        listed(&compared)
    };
    let does = if compared.len() == 1 { "does" } else { "do" };
    let reference = match &controls[..] {
        [] => String::new(),
        [none] if none == NONE => " with no regulariser".to_owned(),
        some => format!(" with {}", listed(some)),
    };
    let with = match compared.is_empty() {
        true => "How well does training without a regulariser do".to_owned(),
        false => format!("How {does} {named} compare{reference}"),
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
    let Synthesis { claim_family, family, .. } = summary.answer.synthesis;
    if claim_family > 0 && family > 0 {
        sentences.push(format!(
            "Claims are corrected over their own {}, comparisons over {family}.",
            count(claim_family, "pair")
        ));
    }
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
        seeds,
        ..
    } = synthesis;
    if *comparisons == 0 {
        return vec!["Nothing is compared: no cell has a reference in the grid.".to_owned()];
    }
    let all = count(*comparisons, "comparison");
    let level = match comparisons {
        1 => "(p < 0.05)",
        _ => "(p < 0.05 after Holm's correction)",
    };
    let mut sentences = vec![match gains + losses {
        0 if *comparisons == 1 => format!("The only comparison is not decided {level}."),
        0 => format!("None of {all} is decided {level}."),
        decided => format!(
            "{decided} of {all} {} decided {level}: {} and {}.",
            if decided == 1 { "is" } else { "are" },
            count(*gains, "gain"),
            if *losses == 1 { "1 loss".to_owned() } else { format!("{losses} losses") }
        ),
    }];
    if *undecided > 0 && gains + losses > 0 {
        let are = if *undecided == 1 { "is" } else { "are" };
        sentences.push(format!("{undecided} {are} not decided."));
    }
    if *undecided > 0 {
        let most = if *undecided == 1 { "" } else { " in each of them" };
        sentences.extend(seeds_for_one_point.map(|needed| match needed <= *seeds {
            true => format!("{seeds} seeds are enough to show a difference of one point{most}."),
            false => format!(
                "To show a difference of one point{most} takes about {needed} seeds in all; there \
                 are {seeds}."
            ),
        }));
    }
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

/// How marks tell a reference other than the usual one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MarkNames {
    /// `+ over bn`.
    Told,
    /// `+*`, where there is no room for names.
    Star,
}

/// The marks of a cell's decided differences: that to the usual reference without its name, and the
/// most certain other one, if it is all that there is or has another sign.
pub(crate) fn marks(cell: &PivotCell, pivot: &Pivot, names: MarkNames) -> String {
    let is_usual = |mark: &&Mark| pivot.control.as_ref() == Some(&mark.control);
    let usual = cell.decided.iter().find(is_usual);
    let adds = |mark: &&Mark| usual.is_none_or(|usual| usual.sign != mark.sign);
    let other = cell.decided.iter().filter(|mark| !is_usual(mark)).find(adds);
    let bare = usual.map(|mark| symbol(mark.sign).to_owned());
    let named = other.map(|mark| match names {
        MarkNames::Told => format!("{} over {}", symbol(mark.sign), mark.control),
        MarkNames::Star => format!("{}*", symbol(mark.sign)),
    });
    bare.into_iter().chain(named).collect::<Vec<_>>().join(", ")
}

fn symbol(sign: Sign) -> &'static str {
    match sign {
        Sign::Gain => "+",
        Sign::Loss => "−",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numbers::summary_tests::finished, sample};

    /// Results whose accuracy falls with weight decay and rises with the function norm.
    fn summary(axes: &str, rest: &str) -> Summary {
        let axes = format!("subset_size = 100\narchitecture = \"net\"\n{axes}\n{rest}");
        finished(&sample::grid(&axes), |spec| {
            let noise = 0.0001
                * ((spec.seed * 7) % 5) as f64
                * (1.0 + spec.lambda() + 1e3 * spec.weight_decay());
            Some(0.8 + 0.1 * spec.lambda() - 40.0 * spec.weight_decay() + noise)
        })
    }

    fn marks_of(summary: &Summary) -> Vec<(String, String)> {
        let pivot = &summary.answer.pivot;
        let mark = |row: &crate::numbers::answer::PivotRow| {
            let marks = row.cells.iter().flatten().map(|cell| marks(cell, pivot, MarkNames::Told));
            (row.regulariser.clone(), marks.collect())
        };
        pivot.rows.iter().map(mark).collect()
    }

    #[test]
    fn marks_name_unusual_references() {
        let axes = "seed = { count = 6 }\nlambda = [0, 0.1]\nweight_decay = [0, 5e-4]";
        let usual = summary(axes, "");
        let [none, decay, norm, both] = ["none", "wd 5e-4", "fn 0.1", "fn 0.1 + wd 5e-4"];
        let own = |pairs: [(&str, &str); 4]| pairs.map(|(a, b)| (a.to_owned(), b.to_owned()));
        let expected = own([(none, ""), (decay, "−"), (norm, "+"), (both, "−, + over wd 5e-4")]);
        assert_eq!(marks_of(&usual), expected);
        assert!(
            question(&usual).contains("compare with none and wd 5e-4 on"),
            "{}",
            question(&usual)
        );
        // A reference that is not `none`.
        let compare = "[[compare]]\nagainst = { lambda = 0.1, weight_decay = 0 }\nlambda = 0";
        let other = summary(axes, compare);
        let expected = own([(none, "−"), (decay, "−"), (norm, ""), (both, "")]);
        assert_eq!(
            (marks_of(&other), other.answer.pivot.control.as_deref()),
            (expected.to_vec(), Some(norm))
        );
    }

    #[test]
    fn a_pair_counts_once_in_either_direction() {
        let pair =
            |one, other| format!("[[compare]]\nlambda = {one}\nagainst = {{ lambda = {other} }}\n");
        let both = pair("0.1", "0") + &pair("0", "0.1");
        let summary = summary("seed = { count = 6 }\nlambda = [0, 0.1]", &both);
        assert_eq!(
            (summary.answer.synthesis.family, summary.comparisons[0].control.as_str()),
            (1, "none")
        );
        assert_eq!(
            question(&summary).split(" on ").next(),
            Some("How does fn 0.1 compare with no regulariser")
        );
    }

    #[test]
    fn seeds_needed_are_told_beside_those_there_are() {
        let sentences = |spread: f64| {
            let axes = "seed = { count = 4 }\nsubset_size = 100\narchitecture = \"net\"\nlambda = [0, 0.1]";
            let summary = finished(&sample::grid(axes), |spec| {
                Some(0.8 + spread * spec.lambda() * [1.0, -1.0, 0.5, -0.5][spec.seed as usize])
            });
            synthesis(&summary).join(" ")
        };
        assert_eq!(
            sentences(0.001),
            "The only comparison is not decided (p < 0.05). 4 seeds are enough to show a difference \
             of one point."
        );
        let wide = sentences(0.5);
        assert!(wide.ends_with("takes about 166 seeds in all; there are 4."), "{wide}");
    }
}
