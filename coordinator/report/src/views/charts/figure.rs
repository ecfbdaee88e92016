//! A chart before it is drawn, and the cells that charts show.

use super::{
    palette::{Look, looks},
    theme::Theme,
};
use crate::numbers::{
    cell::{Cell, Treatment},
    summary::Summary,
};

/// A chart, or why there is none.
pub(crate) enum Content {
    Drawing {
        /// Draws the chart as SVG.
        draw: Box<dyn Fn(Theme) -> String>,
        /// A sentence about omitted parts, after a space; empty if there are none.
        note: String,
    },
    /// The results that the chart needs; empty if another chart shows the same.
    Missing(String),
}

/// A chart with its title and caption.
pub(crate) struct Figure {
    /// The name of its files, without the extension.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) caption: String,
    pub(crate) content: Content,
}

impl Figure {
    /// The chart as SVG.
    pub(crate) fn svg(&self, theme: Theme) -> Option<String> {
        match &self.content {
            Content::Drawing { draw, .. } => Some(draw(theme)),
            Content::Missing(_) => None,
        }
    }

    /// The reason why readers miss the chart.
    pub(crate) fn missing(&self) -> Option<&str> {
        match &self.content {
            Content::Missing(reason) if !reason.is_empty() => Some(reason),
            _ => None,
        }
    }
}

/// A summary, and how its treatments look.
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

    /// The cells with results.
    pub(super) fn cells(&self) -> impl Iterator<Item = &'s Cell> {
        self.summary.cells().iter().filter(|cell| !cell.accuracies.is_empty())
    }

    pub(super) fn treatment(&self, cell: &Cell) -> &'s Treatment {
        &self.summary.treatments()[cell.treatment]
    }

    pub(crate) fn look(&self, cell: &Cell) -> Look {
        self.looks[cell.treatment]
    }

    /// The largest number of seeds with results that a cell has.
    pub(super) fn seeds(&self) -> usize {
        self.cells().map(|cell| cell.accuracies.len()).max().unwrap_or(0)
    }
}
