//! Which panels and lines a chart has: all of them, or an even choice with a note.

use std::collections::BTreeSet;

use swfn_shared::treatment::Network;

use super::{
    figure::Study,
    geometry::ascending,
    palette::SHAPES,
    panels::{COLUMNS, ROWS},
};
use crate::numbers::{cell::Cell, united::distinct};

/// The most lines of one panel: as many as there are shapes of marks.
pub(super) const LINES: usize = SHAPES;

/// Networks beside each other, subset sizes above each other, and the lines of each panel.
pub(super) struct Facets {
    pub(super) networks: Vec<Network>,
    sizes: Vec<u32>,
    /// Indices of treatments.
    treatments: Vec<usize>,
    /// Which rows are omitted, and which lines.
    pub(super) rows_note: String,
    pub(super) lines_note: String,
}

impl Facets {
    pub(super) fn new(study: &Study<'_>) -> Self {
        let sizes: BTreeSet<u32> = study.cells().map(|cell| cell.subset_size).collect();
        let treatments: BTreeSet<usize> = study.cells().map(|cell| cell.treatment).collect();
        let mut networks = distinct(study.cells().map(|cell| cell.network));
        networks.truncate(COLUMNS);
        let (mut rows_note, mut lines_note) = (String::new(), String::new());
        let sizes = chosen(sizes.into_iter().collect(), ROWS, "subset sizes", &mut rows_note);
        let treatments =
            chosen_treatments(study, treatments.into_iter().collect(), &mut lines_note);
        Self { networks, sizes, treatments, rows_note, lines_note }
    }

    pub(super) fn column(&self, cell: &Cell) -> Option<usize> {
        self.networks.iter().position(|network| *network == cell.network)
    }

    /// Row and column of a cell's panel, if that is shown.
    pub(super) fn panel(&self, cell: &Cell) -> Option<(usize, usize)> {
        let row = self.sizes.iter().position(|size| *size == cell.subset_size)?;
        Some((row, self.column(cell)?))
    }

    /// Whether the line of a cell's treatment is shown.
    pub(super) fn has_line(&self, cell: &Cell) -> bool {
        self.treatments.contains(&cell.treatment)
    }
}

/// At most as many treatments as there are shapes: if there is room, all variants of some lambdas.
fn chosen_treatments(study: &Study<'_>, all: Vec<usize>, note: &mut String) -> Vec<usize> {
    let lambda = |place: &usize| study.summary.treatments()[*place].regulariser.lambda();
    let lambdas = ascending(all.iter().map(lambda));
    let together = all.len().div_ceil(lambdas.len().max(1)).max(1);
    let room = LINES / together;
    if all.len() <= LINES || room < 2 {
        return chosen(all, LINES, "lines", note);
    }
    let lambdas = chosen(lambdas, room, "values of λ", note);
    all.into_iter().filter(|place| lambdas.contains(&lambda(place))).take(LINES).collect()
}

/// At most `limit` items, evenly spread from the first to the last. Adds a sentence to the note.
pub(super) fn chosen<T>(all: Vec<T>, limit: usize, items: &str, note: &mut String) -> Vec<T> {
    let count = all.len();
    if count <= limit {
        return all;
    }
    *note += &format!(" Shown are {limit} of {count} {items}, evenly chosen.");
    let wanted: BTreeSet<usize> =
        (0..limit).map(|index| index * (count - 1) / (limit - 1).max(1)).collect();
    all.into_iter().enumerate().filter(|(index, _)| wanted.contains(index)).map(|of| of.1).collect()
}
