//! What the report says, in the order in which it says it, before it becomes HTML, Markdown or LaTeX.

use super::{tables::AnswerView, view::TableView};

/// The report.
pub(crate) struct Document {
    pub(crate) title: String,
    /// When, in UTC.
    pub(crate) made: String,
    pub(crate) version: &'static str,
    pub(crate) question: String,
    /// How much of the sweep there is.
    pub(crate) progress: String,
    pub(crate) answer: AnswerView,
    /// What a reader must know before believing the numbers.
    pub(crate) warnings: Vec<String>,
    /// Claims, comparisons, cells.
    pub(crate) results: Vec<TableView>,
    pub(crate) figures: Vec<FigureView>,
    pub(crate) missing_figures: Vec<MissingFigure>,
    pub(crate) sheets: Vec<Sheet>,
    pub(crate) sheets_caption: &'static str,
    pub(crate) failures_lead: String,
    pub(crate) failures: Vec<FailureView>,
    pub(crate) settings: TableView,
    pub(crate) provenance: TableView,
    pub(crate) cost: TableView,
    pub(crate) grids: Vec<GridText>,
}

/// A chart that was drawn.
pub(crate) struct FigureView {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) caption: String,
    /// In the colours of the page.
    pub(crate) svg: String,
}

pub(crate) struct MissingFigure {
    pub(crate) title: &'static str,
    pub(crate) why: String,
}

/// A picture that a trial left behind.
pub(crate) struct Sheet {
    pub(crate) label: String,
    pub(crate) base64: String,
}

pub(crate) struct FailureView {
    pub(crate) title: String,
    pub(crate) error: String,
    /// The trials that failed so.
    pub(crate) trials: Vec<String>,
    pub(crate) log: String,
}

pub(crate) struct GridText {
    pub(crate) run: String,
    pub(crate) text: String,
}
