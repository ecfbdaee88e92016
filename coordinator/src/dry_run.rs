//! `--dry-run`: what a grid comes to, before anything is trained.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    time::Duration,
};

use indicatif::HumanDuration;
use swfn_shared::{grid::Grid, trial::TrialSpec, work};

/// Cells that are listed by name.
const LISTED: usize = 50;

/// Operations per second of one core of a current server processor in this trainer: an order of magnitude, for the estimate only.
const CORE_FLOPS: f64 = 3e10;

/// The text that `--dry-run` prints.
pub(crate) fn describe(grid: &Grid) -> String {
    let trials: Vec<TrialSpec> = grid.trials().collect();
    let mut numbers = HashMap::new();
    let mut cells: Vec<(&TrialSpec, usize)> = Vec::new();
    for trial in &trials {
        let number = *numbers.entry(trial.cell()).or_insert(cells.len());
        if number == cells.len() {
            cells.push((trial, 0));
        }
        cells[number].1 += 1;
    }
    let shapes: HashSet<_> = trials.iter().map(TrialSpec::shape).collect();
    let mut vaes = HashSet::new();
    let of_vaes = trials.iter().filter(|trial| trial.vae().is_some_and(|vae| vaes.insert(vae))).map(work::vae_flop);
    // The sum of nothing would be -0.
    let vae_flop = of_vaes.fold(0.0, |sum, flop| sum + flop);
    let classifier_flop: f64 = trials.iter().map(work::classifier_flop).sum();
    let seconds = (classifier_flop + vae_flop) / CORE_FLOPS;
    let duration = HumanDuration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));

    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name:<9}{value}").expect("writing to a string");
    line("sweep", grid.name.clone());
    let (dataset, (height, width)) = (grid.dataset, grid.dataset.sides());
    line("data set", format!("{dataset}: {height} x {width} pixels, {} classes", dataset.classes()));
    line("trials", trials.len().to_string());
    line("cells", cells.len().to_string());
    line("VAEs", vaes.len().to_string());
    line("shapes", shapes.len().to_string());
    line("work", format!("{:.3} TFLOP classifiers + {:.3} TFLOP VAEs", classifier_flop / 1e12, vae_flop / 1e12));
    line("", format!("about {duration} on one core that does {:.0} GFLOP/s", CORE_FLOPS / 1e9));
    text.push_str("\ncells (trials of a cell differ in the seed only):\n");
    for (cell, seeds) in cells.iter().take(LISTED) {
        writeln!(text, "  {:<50} {seeds} {}", cell.label(), if *seeds == 1 { "seed" } else { "seeds" })
            .expect("writing to a string");
    }
    if cells.len() > LISTED {
        writeln!(text, "  and {} more", cells.len() - LISTED).expect("writing to a string");
    }
    text
}
