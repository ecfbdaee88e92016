//! Claims in words: verdicts, and the results behind them.

use swfn_shared::{grid::Relation, text::count};

use super::values::{UNKNOWN, interval, named_p, points, seeds, wins};
use crate::numbers::{
    answer::{ClaimLine, ClaimPair},
    claim::{ClaimCheck, ClaimVerdict, Verdict},
    contrast::Comparison,
    statistics::Estimate,
};

/// A verdict, with `so far` if it may yet change.
pub(crate) fn verdict(claim: &ClaimLine) -> String {
    let so_far = if claim.provisional { " so far" } else { "" };
    format!("{}{so_far}", claim.verdict.name())
}

/// The results behind a claim's verdict: in one line those of its only pair of cells, else the
/// number of pairs for which it is held, and a line for each.
pub(crate) fn grounds(claim: &ClaimLine) -> Vec<String> {
    let pairs = &claim.pairs;
    let named = |pair: &ClaimPair| {
        let ClaimPair { context, treatment, control, .. } = pair;
        format!("{context}, {treatment} over {control}: {}", result(pair))
    };
    let count = |verdict| pairs.iter().filter(|pair| pair.verdict == verdict).count();
    let mut lead = String::new();
    if claim.margin > 0.0 {
        lead = format!("claimed {} points; ", wanted(claim.relation, claim.margin));
    }
    match &pairs[..] {
        [] => return vec![NO_TRIALS.to_owned()],
        [pair] => lead += &named(pair),
        _ => lead += &format!("held for {} of {} pairs", count(Verdict::Held), pairs.len()),
    }
    let not_held = count(Verdict::NotHeld);
    if not_held > 0 && pairs.len() > 1 {
        lead += &format!(", not held for {not_held}");
    }
    let mut lines = vec![lead];
    let line = |pair: &ClaimPair| format!("{}, {}", named(pair), pair.verdict.name());
    if pairs.len() > 1 {
        lines.extend(pairs.iter().take(LISTED).map(line));
        let more = pairs.len().saturating_sub(LISTED);
        lines.extend((more > 0).then(|| format!("and {more} more in summary.json")));
    }
    lines.extend(claim.seeds_needed.map(|needed| seeds_for(claim, needed)));
    lines
}

/// The seeds that an undecided claim takes, and the difference that this presumes.
fn seeds_for(claim: &ClaimLine, needed: usize) -> String {
    let truth = match claim.relation {
        Relation::NotWorse | Relation::Equal => "is zero",
        _ if claim.margin > 0.0 => "is one point beyond the margin",
        _ => "is one point",
    };
    match needed <= claim.seeds {
        true => format!("{} seeds are enough if the true difference {truth}", claim.seeds),
        false => format!(
            "this takes about {needed} seeds in all if the true difference {truth}; there are {}",
            claim.seeds
        ),
    }
}

/// The side of the margin at which the difference is claimed to be.
fn wanted(relation: Relation, margin: f64) -> String {
    let bound = |share: f64| if share == 0.0 { "0".to_owned() } else { points(share) };
    match relation {
        Relation::Better => format!("above {}", bound(margin)),
        Relation::Worse => format!("below {}", bound(-margin)),
        Relation::NotWorse => format!("above {}", bound(-margin)),
        Relation::Equal => format!("between {} and {}", bound(-margin), bound(margin)),
    }
}

/// Difference, interval and corrected p-value of a pair of cells.
fn result(ClaimPair { mean, confidence_95, p_holm, .. }: &ClaimPair) -> String {
    let Some(mean) = *mean else { return "no results".to_owned() };
    let interval = interval(mean, *confidence_95).unwrap_or(UNKNOWN.to_owned());
    format!("{} points (alone: {interval}), Holm {}", points(mean), named_p(*p_holm))
}

/// The reason of each claim's verdict, in one line.
pub(crate) fn reasons(claims: &[ClaimVerdict]) -> Vec<String> {
    let checks = claims.iter().flat_map(|claim| &claim.checks);
    let family = checks.filter(|check| check.p_holm.is_some()).count();
    claims.iter().map(|claim| reason(claim, family)).collect()
}

/// The text for a claim about cells that the sweep lacks.
const NO_TRIALS: &str = "the sweep has none of its trials";

/// The most pairs of cells that a reason lists.
const LISTED: usize = 8;

fn reason(verdict: &ClaimVerdict, family: usize) -> String {
    let ClaimVerdict { relation, margin, checks, .. } = verdict;
    let wanted = wanted(*relation, *margin);
    let pair = |ClaimCheck { verdict, p, p_holm, comparison }: &ClaimCheck| {
        let Comparison { context, treatment, control, .. } = comparison;
        let numbers = numbers(comparison, *p, *p_holm, family);
        match checks.len() {
            1 => format!("{context}: {numbers}"),
            _ => format!("{context}: {treatment} over {control}: {numbers}, {}", verdict.name()),
        }
    };
    let mut each: Vec<_> = checks.iter().take(LISTED).map(pair).collect();
    if each.is_empty() {
        return NO_TRIALS.to_owned();
    }
    if checks.len() > LISTED {
        each.push(format!("and {} more in summary.json", checks.len() - LISTED));
    }
    format!("claimed {wanted} points; {}", each.join("; "))
}

/// Difference, interval, p-values and wins of a pair of cells. `family`: number of corrected pairs.
fn numbers(comparison: &Comparison, p: Option<f64>, p_holm: Option<f64>, family: usize) -> String {
    let Some(difference) = comparison.difference else {
        return format!("no pair of {} has results", count(comparison.planned, "seed"));
    };
    let Estimate { mean, confidence_95, .. } = difference;
    let interval = interval(mean, confidence_95)
        .map_or("95 % interval unknown".to_owned(), |ends| format!("95 % interval {ends}"));
    let (family, wins, seeds) = (count(family, "pair"), wins(comparison), seeds(comparison));
    format!(
        "{} points (alone: {interval} and {}, Holm {} over {family}, w/t/l {wins} of {seeds})",
        points(mean),
        named_p(p),
        named_p(p_holm)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        numbers::{
            claim::judge,
            claim_tests::{claim, pairs},
        },
        scipy_tests::comparison,
    };

    /// The reason of the one claim about these pairs of cells.
    fn reason_of(comparisons: Vec<Comparison>) -> String {
        reasons(&judge(vec![(&claim(Relation::Better, 0.0), comparisons)])).remove(0)
    }

    #[test]
    fn a_reason_names_the_deciding_pairs() {
        let mut comparisons: Vec<Comparison> = vec![pairs(0.9); 30];
        comparisons[20] = Comparison { treatment: "what loses".to_owned(), ..pairs(-0.9) };
        let reason = reason_of(comparisons);
        let mut parts = reason.split("; ");
        assert_eq!(parts.next(), Some("claimed above 0 points"));
        let first = parts.next().unwrap();
        assert!(first.contains(": what loses over ") && first.ends_with(", not held"), "{first}");
        assert_eq!(
            (parts.clone().count(), parts.last()),
            (LISTED, Some("and 22 more in summary.json"))
        );
    }

    #[test]
    fn reasons_of_known_and_unknown_results() {
        insta::assert_snapshot!("of_two_pairs", reason_of(vec![pairs(0.9), pairs(-0.1)]));
        let equal = comparison(&[Some(0.9); 5], &[Some(0.8); 5]);
        let one = comparison(&[Some(0.9), None], &[Some(0.8), Some(0.8)]);
        let none = comparison(&[None], &[Some(0.8)]);
        let unknown = [vec![equal], vec![one], vec![none], Vec::new()];
        insta::assert_snapshot!("of_what_cannot_be_known", unknown.map(reason_of).join("\n"));
    }

    #[test]
    fn undecided_claims_tell_their_seeds() {
        let grid = |is: &str| {
            crate::sample::grid(&format!(
                "seed = {{ count = 4 }}\nsubset_size = 100\narchitecture = \"net\"\nlambda = [0, 0.1]\n[[claim]]\n\
                 text = \"t\"\nlambda = 0.1\nagainst = {{ lambda = 0 }}\n{is}"
            ))
        };
        let last = |is: &str, spread: f64| {
            let summary = crate::numbers::summary_tests::finished(&grid(is), |spec| {
                let shift = [1.0, -1.0, 0.5, -0.5][spec.seed as usize];
                Some(0.8 + spread * 10.0 * spec.lambda() * shift)
            });
            grounds(&summary.answer.claims[0])
        };
        let better = last("is = \"better\"", 0.05);
        assert_eq!(
            better.last().unwrap(),
            "this takes about 166 seeds in all if the true difference is one point; there are 4"
        );
        let not_worse = last("is = \"not-worse\"\nmargin_points = 0.5", 0.01);
        assert!(
            not_worse[0].starts_with("claimed above −0.50 points; n = 100, net, fn 0.1 over none")
        );
        assert_eq!(
            not_worse.last().unwrap(),
            "this takes about 29 seeds in all if the true difference is zero; there are 4"
        );
        let enough = last("is = \"better\"", 0.0001);
        assert_eq!(enough[1..], ["4 seeds are enough if the true difference is one point"]);
    }
}
