//! Notes about a grid before hours are spent on it. A note changes nothing.

use std::collections::{BTreeSet, HashMap};

use swfn_shared::{grid::Grid, ids::CellId, trial::TrialSpec};

use crate::amount::{Work, percent};

/// The most iterations of a training that is worth a note.
const SHORT: u32 = 200;

/// Share of the work above which VAEs or evaluations are worth a note.
const MUCH: f64 = 0.4;

/// All notes, each of a sentence or two.
pub(crate) fn notes(grid: &Grid, specs: &[TrialSpec], work: &Work) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(few_seeds(specs));
    if grid.contrasts().is_empty() {
        notes.push(
            "nothing is compared: add what to compare with, as `lambda = 0`, or [[compare]]"
                .to_owned(),
        );
    }
    let Some(first) = specs.first() else { return notes };
    let (iterations, rest) = (first.classifier.iterations, work.total() - work.vaes);
    if work.vaes / work.total() > MUCH
        && let Some(vae) = specs.iter().find_map(TrialSpec::vae_samples)
    {
        let much = if work.vaes > 2.0 * rest {
            format!("{:.0} times as much work as all else", work.vaes / rest)
        } else {
            format!("{} of the work", percent(work.vaes / work.total()))
        };
        notes.push(format!(
            "VAEs take {much}: `[vae] iterations` is {}, `[classifier] iterations` {iterations}",
            vae.vae.iterations
        ));
    }
    if iterations <= SHORT {
        notes.push(format!(
            "training is short, with {iterations} iterations (published: 10000): accuracies spread \
             more, and more seeds are needed"
        ));
    }
    if first.classifier.evaluate_every > iterations && work.evaluations / work.total() < MUCH {
        notes.push(format!(
            "each trial is evaluated once, at its end: for curves set `[classifier] \
             evaluate_every` below {iterations}"
        ));
    }
    notes
}

/// Notes that evaluations take most of the time. A dry run shows their share anyway.
pub(crate) fn costly_evaluations(specs: &[TrialSpec], work: &Work) -> Option<String> {
    let (share, iterations) =
        (work.evaluations / work.total(), specs.first()?.classifier.iterations);
    (share > MUCH && work.saving() > 0.1).then(|| {
        format!(
            "evaluations take {} of the work: `[classifier] evaluate_every = {iterations}` would \
             save {}",
            percent(share),
            percent(work.saving())
        )
    })
}

/// Notes cells with one seed, which has no spread, or with two, which hardly tell it.
fn few_seeds(specs: &[TrialSpec]) -> Option<String> {
    let mut seeds: HashMap<CellId, BTreeSet<u64>> = HashMap::new();
    for spec in specs {
        seeds.entry(spec.cell()).or_default().insert(spec.seed);
    }
    let least = seeds.values().map(BTreeSet::len).min()?;
    let few = seeds.values().filter(|seeds| seeds.len() == least).count();
    let number = ["no seed", "one seed", "two seeds"].get(least)?;
    let which = match few {
        all if all == seeds.len() => format!("each cell has {number}"),
        1 => format!("1 of {} cells has {number}", seeds.len()),
        some => format!("{some} of {} cells have {number}", seeds.len()),
    };
    Some(match least {
        1 => format!("{which}: there will be no interval and no decided comparison"),
        _ => format!("{which}: intervals will be very wide; five seeds or more decide"),
    })
}

#[cfg(test)]
mod tests {
    use swfn_shared::grid::DEFAULT_MAX_TRIALS;

    use super::*;

    fn noted(axes: &str) -> String {
        let text =
            format!("version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\n{axes}");
        let grid = Grid::parse("t", &text, DEFAULT_MAX_TRIALS).unwrap();
        let specs: Vec<_> = grid.trials().collect();
        let work = Work::of(&specs, None);
        let costly = costly_evaluations(&specs, &work);
        notes(&grid, &specs, &work).into_iter().chain(costly).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn traps_of_a_grid_are_noted() {
        let axes = "subset_size = 100\narchitecture = \"net\"\n";
        let sound = "seed = { count = 5 }\nlambda = [0, 0.1]\n";
        let short = "[classifier]\niterations = 300\nevaluate_every = 100\n";
        assert_eq!(noted(&format!("{axes}{sound}")), "");
        assert_eq!(
            noted(&format!("{axes}seed = [5]\nlambda = [0, 0.1]\n")),
            "each cell has one seed: there will be no interval and no decided comparison"
        );
        assert_eq!(
            noted(&format!("{axes}{sound}[[include]]\nseed = [0]\nlambda = [0, 1]\n")),
            "1 of 3 cells has one seed: there will be no interval and no decided comparison"
        );
        assert_eq!(
            noted(&format!("{axes}seed = {{ count = 2 }}\nlambda = 0\n")),
            "each cell has two seeds: intervals will be very wide; five seeds or more decide\n\
             nothing is compared: add what to compare with, as `lambda = 0`, or [[compare]]"
        );
        insta::assert_snapshot!(
            [
                format!("{axes}{sound}[classifier]\niterations = 300\n"),
                format!("{axes}{sound}{short}"),
                format!("{axes}{sound}{short}[vae]\niterations = 300\n"),
            ]
            .map(|text| noted(&text))
            .join("\n\n")
        );
    }
}
