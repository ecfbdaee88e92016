//! Which panels and lines a chart has: what there is, or an even choice of it with a note.

use swfn_shared::treatment::Network;

use super::{
    figure::Study,
    palette::SHAPES,
    panels::{COLUMNS, ROWS},
};
use crate::numbers::cell::Cell;

/// Lines of one panel: as many as there are shapes of marks.
pub(super) const LINES: usize = SHAPES;

/// Networks beside each other, subset sizes above each other, the lines of each panel.
pub(super) struct Facets {
    pub(super) networks: Vec<Network>,
    pub(super) sizes: Vec<u32>,
    /// Treatments of the study, by their places.
    pub(super) treatments: Vec<usize>,
    /// What is left out of the rows, and of the lines.
    pub(super) rows_note: String,
    pub(super) lines_note: String,
}

impl Facets {
    /// `shown`: the cells of which there is something to show.
    pub(super) fn new(study: &Study<'_>, shown: impl Fn(&Cell) -> bool) -> Self {
        let (mut networks, mut sizes, mut treatments) = (Vec::new(), Vec::new(), Vec::new());
        for cell in study.cells().iter().filter(|cell| shown(cell)) {
            networks.push(cell.network);
            sizes.push(cell.subset_size);
            treatments.push(cell.treatment);
        }
        sizes.sort_unstable();
        sizes.dedup();
        treatments.sort_unstable();
        treatments.dedup();
        // In the order of the grid.
        let mut seen = Vec::new();
        networks.retain(|network| {
            !seen.contains(network) && {
                seen.push(*network);
                true
            }
        });
        networks.truncate(COLUMNS);
        let (mut rows_note, mut lines_note) = (String::new(), String::new());
        let sizes = chosen(sizes, ROWS, "subset sizes", &mut rows_note);
        let treatments = chosen_treatments(study, treatments, &mut lines_note);
        Self { networks, sizes, treatments, rows_note, lines_note }
    }

    /// What is left out of a chart that has both.
    pub(super) fn note(&self) -> String {
        format!("{}{}", self.rows_note, self.lines_note)
    }

    /// The column of a cell, and its row if rows are subset sizes.
    pub(super) fn column(&self, cell: &Cell) -> Option<usize> {
        self.networks.iter().position(|network| *network == cell.network)
    }

    pub(super) fn row(&self, cell: &Cell) -> Option<usize> {
        self.sizes.iter().position(|size| *size == cell.subset_size)
    }

    /// Whether the cell's line is one of those that are shown.
    pub(super) fn has_line(&self, cell: &Cell) -> bool {
        self.treatments.contains(&cell.treatment)
    }
}

/// At most as many as there are shapes: of all variants the same lambdas, if there is room.
fn chosen_treatments(study: &Study<'_>, all: Vec<usize>, note: &mut String) -> Vec<usize> {
    let lambda = |place: &usize| study.summary.treatments()[*place].regulariser.lambda();
    let mut lambdas: Vec<f64> = all.iter().map(lambda).collect();
    lambdas.sort_by(f64::total_cmp);
    lambdas.dedup();
    let together = all.len().div_ceil(lambdas.len().max(1)).max(1);
    let room = LINES / together;
    if all.len() <= LINES || room < 2 {
        return chosen(all, LINES, "lines", note);
    }
    let lambdas = chosen(lambdas, room, "values of λ", note);
    all.into_iter().filter(|place| lambdas.contains(&lambda(place))).take(LINES).collect()
}

/// At most so many of them, evenly spread, the first and the last included; the note says so.
pub(super) fn chosen<T>(all: Vec<T>, limit: usize, what: &str, note: &mut String) -> Vec<T> {
    let count = all.len();
    if count <= limit {
        return all;
    }
    note.push_str(&format!(" Shown are {limit} of {count} {what}, evenly chosen."));
    let wanted: Vec<usize> =
        (0..limit).map(|index| index * (count - 1) / (limit - 1).max(1)).collect();
    all.into_iter()
        .enumerate()
        .filter(|(index, _)| wanted.contains(index))
        .map(|(_, item)| item)
        .collect()
}
