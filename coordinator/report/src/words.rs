//! Comparisons in words and numbers, the same on the terminal and in all files.

use std::collections::BTreeSet;

use swfn_shared::treatment::Switch;

use super::{
    contrast::Comparison,
    rounding::{decimal, signed},
    statistics::Estimate,
    summary::Cell,
};

/// A share as percentage points with its sign, as many digits as 10,000 test images can tell apart.
pub(super) fn points(share: f64) -> String {
    signed(100.0 * share, 2)
}

/// A p-value, as many digits as anybody uses.
pub(super) fn p_value(p: f64) -> String {
    match p {
        p if p < 0.0001 => "< 0.0001".to_owned(),
        p if p < 0.01 => decimal(p, 4),
        p => decimal(p, 3),
    }
}

/// The ends of the confidence interval.
pub(super) fn interval(estimate: Estimate) -> Option<(String, String)> {
    let half = estimate.confidence_95?;
    Some((points(estimate.mean - half), points(estimate.mean + half)))
}

/// How many seeds make a pair, and which should and do not.
pub(super) fn seeds(comparison: &Comparison) -> String {
    const LISTED: usize = 6;
    let Comparison { pairs, missing_seeds, .. } = comparison;
    if missing_seeds.is_empty() {
        return format!("{} seeds", pairs.len());
    }
    let mut missing: Vec<_> = missing_seeds.iter().take(LISTED).map(ToString::to_string).collect();
    if missing_seeds.len() > LISTED {
        missing.push(format!("{} more", missing_seeds.len() - LISTED));
    }
    format!("{} seeds, missing: {}", pairs.len(), missing.join(" "))
}

/// Wins, ties and losses.
pub(super) fn wins(comparison: &Comparison) -> String {
    format!("{}/{}/{}", comparison.wins, comparison.ties, comparison.losses)
}

/// Difference, interval, p-value and wins in one line.
pub(super) fn numbers(comparison: &Comparison, p_holm: Option<f64>) -> String {
    match comparison.difference {
        None => format!("no pair of {} seeds has results", comparison.planned),
        Some(difference) => format!("{} points ({})", points(difference.mean), details(comparison, p_holm)),
    }
}

/// Interval, p-value and wins.
pub(super) fn details(comparison: &Comparison, p_holm: Option<f64>) -> String {
    let interval = comparison.difference.and_then(interval);
    let interval = interval.map_or("interval unknown".to_owned(), |(from, to)| format!("95 % {from} to {to}"));
    let p = match p_holm.map(p_value) {
        None => "p unknown".to_owned(),
        Some(p) if p.starts_with('<') => format!("p {p} Holm"),
        Some(p) => format!("p = {p} Holm"),
    };
    format!("{interval}, {p}, {} of {}", wins(comparison), seeds(comparison))
}

/// Which settings must be named to tell the cells of a summary apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Varying {
    weight_decay: bool,
    learning_rate: bool,
    density: bool,
    samples: bool,
}

impl Varying {
    pub(super) fn among(cells: &[Cell]) -> Self {
        // Where something is switched off, its settings are no others.
        let several = |value: fn(&Cell) -> String, switched_on: fn(&Cell) -> bool| {
            cells.iter().filter(|cell| switched_on(cell)).map(value).collect::<BTreeSet<_>>().len() > 1
        };
        Self {
            weight_decay: several(|cell| cell.weight_decay.to_string(), |cell| cell.weight_decay > 0.0),
            learning_rate: several(|cell| cell.learning_rate.to_string(), |_| true),
            density: several(|cell| cell.density.to_owned(), |cell| cell.lambda > 0.0),
            samples: several(|cell| cell.penalty_samples.to_string(), |cell| cell.lambda > 0.0),
        }
    }

    /// What both cells have, then what each of them has.
    pub(super) fn sides(self, cell: &Cell, reference: &Cell) -> (String, String, String) {
        let network = |cell: &Cell| cell.architecture.network().to_string();
        let rate = |cell: &Cell| format!("learning rate {}", cell.learning_rate);
        let mut context = vec![format!("n = {}", cell.subset_size)];
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let mut place = |text: &dyn Fn(&Cell) -> String, needed: bool| {
            let (of_cell, of_reference) = (text(cell), text(reference));
            if of_cell != of_reference {
                left.push(of_cell);
                right.push(of_reference);
            } else if needed {
                context.push(of_cell);
            }
        };
        place(&network, true);
        place(&rate, self.learning_rate);
        left.push(self.regularisers(cell));
        right.push(self.regularisers(reference));
        let only = |of: &Cell, other: &Cell| {
            of.variant.iter().filter(|phrase| !other.variant.contains(phrase)).cloned().collect::<Vec<_>>()
        };
        left.extend(only(cell, reference));
        right.extend(only(reference, cell));
        context.extend(cell.variant.iter().filter(|phrase| reference.variant.contains(phrase)).cloned());
        (context.join(", "), left.join(", "), right.join(", "))
    }

    /// What keeps a cell's network from fitting its few images too closely.
    fn regularisers(self, cell: &Cell) -> String {
        let mut names = Vec::new();
        if cell.lambda > 0.0 {
            let mut norm = format!("function norm (lambda {}", cell.lambda);
            if self.density {
                norm += &format!(", {}", cell.density);
            }
            if self.samples {
                norm += &format!(", {} samples", cell.penalty_samples);
            }
            names.push(norm + ")");
        }
        if cell.weight_decay > 0.0 {
            let value = if self.weight_decay { format!(" ({})", cell.weight_decay) } else { String::new() };
            names.push(format!("weight decay{value}"));
        }
        names.extend(cell.architecture.switch().map(|switch| match switch {
            Switch::Dropout => "dropout".to_owned(),
            Switch::BatchNorm => "batch norm".to_owned(),
        }));
        if names.is_empty() { "none".to_owned() } else { names.join(" + ") }
    }
}
