//! A chart before it is drawn, and the cells that all charts are about.

use super::{
    palette::{Look, looks},
    pen::ChartError,
    theme::Theme,
};
use crate::numbers::{
    cell::{Cell, Treatment},
    summary::Summary,
};

/// Draws a chart in a theme, as SVG.
pub(crate) type Draw = Box<dyn Fn(Theme) -> Result<String, ChartError>>;

/// A chart, or why there is none.
pub(crate) enum Content {
    Drawing {
        draw: Draw,
        /// What it leaves out; empty, or a sentence after a space.
        note: String,
    },
    /// What it would take; empty where nobody misses it.
    Missing(String),
}

/// A chart with what stands above and below it.
pub(crate) struct Figure {
    /// The file's name without its extension.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) caption: String,
    pub(crate) content: Content,
}

/// The cells of a summary, and how what they are told apart by looks.
pub(crate) struct Study<'s> {
    pub(crate) summary: &'s Summary,
    /// By treatment.
    looks: Vec<Look>,
}

impl<'s> Study<'s> {
    pub(crate) fn new(summary: &'s Summary) -> Self {
        let regularisers: Vec<_> =
            summary.treatments().iter().map(|treatment| treatment.regulariser).collect();
        Self { summary, looks: looks(&regularisers) }
    }

    pub(crate) fn cells(&self) -> &'s [Cell] {
        self.summary.cells()
    }

    pub(crate) fn treatment(&self, cell: &Cell) -> &'s Treatment {
        &self.summary.treatments()[cell.treatment]
    }

    pub(crate) fn look(&self, cell: &Cell) -> Look {
        self.looks[cell.treatment]
    }

    /// The most seeds that any cell has results of.
    pub(super) fn seeds(&self) -> usize {
        self.cells().iter().map(|cell| cell.accuracies.len()).max().unwrap_or(0)
    }
}
