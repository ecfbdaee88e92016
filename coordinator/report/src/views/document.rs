//! What the report says, in the order in which it says it, before it becomes HTML, Markdown or LaTeX.

use super::{table::TableView, tables::AnswerView};

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
    /// The pivot of the answer, network by network.
    pub(crate) pivot: PivotView,
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

/// All cells side by side: regularisers above each other, subset sizes beside each other.
pub(crate) struct PivotView {
    pub(crate) sizes: Vec<u32>,
    pub(crate) groups: Vec<PivotGroup>,
}

/// The rows of one network.
pub(crate) struct PivotGroup {
    pub(crate) network: &'static str,
    pub(crate) rows: Vec<PivotRowView>,
}

pub(crate) struct PivotRowView {
    /// How the regulariser looks in charts: a little SVG.
    pub(crate) swatch: String,
    pub(crate) name: String,
    /// As many as sizes.
    pub(crate) cells: Vec<PivotEntry>,
}

/// Mean and interval, and the sign of what is decided; both may be empty.
#[derive(Default)]
pub(crate) struct PivotEntry {
    pub(crate) text: String,
    pub(crate) sign: &'static str,
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
