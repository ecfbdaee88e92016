//! Paired differences with their intervals, beside a table of what is compared.

use swfn_shared::grid::Selection;

use super::{
    axis::Axis,
    canvas::{
        Anchor, BOLD_LABEL, Canvas, Frame, LABEL, NUMBER, PANEL_TITLE, fitted, picture, widest,
    },
    figure::{Content, Study},
    geometry::{ends, extremes},
    palette::Look,
    panels::{horizontal_axis, vertical_lines, x_title},
    theme::{Color, Theme},
};
use crate::{
    numbers::contrast::Comparison,
    phrases::{
        legends::selected_accuracy,
        rounding::{decimal, signed},
    },
};

/// One difference, in percentage points.
#[derive(Clone)]
struct Row {
    /// The comparison's name in the grid file. Rows of one name stand together.
    name: String,
    /// In the order of [`TITLES`].
    texts: [String; 3],
    numbers: String,
    look: Look,
    mean: f64,
    half: Option<f64>,
    decided: bool,
}

struct Forest {
    rows: Vec<Row>,
    title: String,
}

const TITLES: [&str; 3] = ["at", "regulariser", "over"];

/// The most rows on the first screen of the report, and in any chart.
const FIRST: usize = 20;
const ROWS: usize = 120;

const STEP: f64 = 18.0;
const HEAD: f64 = 26.0;
const BELOW: f64 = 44.0;
const PLOT: f64 = 250.0;
const EDGE: f64 = 6.0;
const GAP: f64 = 14.0;
/// The widest column of texts.
const COLUMN: f64 = 190.0;

/// A choice of the differences: those that are decided, and an even choice of the others.
pub(super) fn first(study: &Study<'_>) -> Content {
    forest(study, FIRST)
}

/// All differences; missing if the first chart shows them.
pub(super) fn all(study: &Study<'_>) -> Content {
    let known = study.summary.comparisons.iter().filter(|of| of.difference.is_some());
    if known.count() > FIRST { forest(study, ROWS) } else { Content::Missing(String::new()) }
}

fn forest(study: &Study<'_>, limit: usize) -> Content {
    let rows: Vec<Row> =
        study.summary.comparisons.iter().filter_map(|comparison| row(study, comparison)).collect();
    if rows.is_empty() {
        return Content::Missing("no two cells have results of the same seeds".to_owned());
    }
    let (mut rows, note) = most_telling(rows, limit);
    // Rows of one name stand together, where the first of them stood.
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    rows.sort_by_key(|row| names.iter().position(|name| *name == row.name));
    let accuracy = match study.summary.selection {
        Selection::Final => String::new(),
        selection => format!(" of {}", selected_accuracy(selection)),
    };
    let forest = Forest { rows, title: format!("difference{accuracy}, percentage points") };
    Content::Drawing { draw: Box::new(move |theme| forest.draw(theme)), note }
}

fn row(study: &Study<'_>, comparison: &Comparison) -> Option<Row> {
    let Comparison { name, context, treatment, control, .. } = comparison;
    let (mean, half) = comparison.difference?.percent();
    let interval = half.map_or(String::new(), |half| format!(" ± {}", decimal(half, 2)));
    Some(Row {
        name: name.clone().unwrap_or_default(),
        texts: [context, treatment, control].map(String::clone),
        numbers: signed(mean, 2) + &interval,
        look: study.look(&study.summary.cells()[comparison.cell]),
        mean,
        half,
        decided: comparison.decided().is_some(),
    })
}

/// At most `limit` rows, in their order: decided ones before others. The note counts them.
fn most_telling(rows: Vec<Row>, limit: usize) -> (Vec<Row>, String) {
    let count = rows.len();
    if count <= limit {
        return (rows, String::new());
    }
    let (mut kept, open): (Vec<usize>, Vec<usize>) =
        (0..count).partition(|place| rows[*place].decided);
    kept.truncate(limit);
    let decided = kept.len();
    let room = limit - decided;
    kept.extend((0..room).map(|index| open[index * open.len() / room]));
    kept.sort_unstable();
    let note = format!(" Shown are {limit} of {count} differences, {decided} of them decided.");
    (kept.into_iter().map(|place| rows[place].clone()).collect(), note)
}

impl Forest {
    fn draw(&self, theme: Theme) -> String {
        let mut lefts = vec![EDGE];
        for (column, title) in TITLES.iter().enumerate() {
            let texts = self.rows.iter().map(|row| row.texts[column].as_str()).chain([*title]);
            lefts.push(lefts[column] + widest(texts, LABEL).min(COLUMN) + GAP);
        }
        let left = lefts[TITLES.len()] + 4.0;
        let right = left + PLOT;
        let numbers = right + 10.0;
        let texts = self.rows.iter().map(|row| row.numbers.as_str()).chain(["± 95 %"]);
        let total = numbers + widest(texts, BOLD_LABEL) + EDGE;
        let mut bottom = HEAD;
        let mut blocks: Vec<(Frame, &[Row])> = Vec::new();
        for rows in self.rows.chunk_by(|one, other| one.name == other.name) {
            let top = bottom + if rows[0].name.is_empty() { 0.0 } else { STEP };
            bottom = top + STEP * rows.len() as f64;
            blocks.push((Frame { left, top, right, bottom }, rows));
        }
        let x = axis(&self.rows);
        picture(total, bottom + BELOW, theme, |canvas| {
            for (title, left) in TITLES.iter().zip(&lefts) {
                canvas.text(title, (*left, 12.0), Anchor::Left, NUMBER);
            }
            canvas.text("± 95 %", (numbers, 12.0), Anchor::Left, NUMBER);
            let whole = Frame { left, top: HEAD, right, bottom };
            let zero = whole.across(x.share(0.0));
            if zero - left > 54.0 {
                canvas.text("← worse", (zero - 8.0, 12.0), Anchor::Right, NUMBER);
            }
            if right - zero > 54.0 {
                canvas.text("better →", (zero + 8.0, 12.0), Anchor::Left, NUMBER);
            }
            for (frame, rows) in blocks {
                let name = fitted(&rows[0].name, PANEL_TITLE, total - 2.0 * EDGE);
                let position = (EDGE, frame.top - STEP / 2.0);
                canvas.text(&name, position, Anchor::Left, PANEL_TITLE);
                vertical_lines(canvas, frame, &x);
                canvas.line((zero, frame.top), (zero, frame.bottom), Color::Muted, 1.2);
                for (index, row) in rows.iter().enumerate() {
                    let level = frame.top + (index as f64 + 0.5) * STEP;
                    row.draw(canvas, frame, &x, level);
                    for (text, left) in row.texts.iter().zip(&lefts) {
                        let text = fitted(text, LABEL, COLUMN);
                        canvas.text(&text, (*left, level), Anchor::Left, LABEL);
                    }
                    let style = if row.decided { BOLD_LABEL } else { LABEL };
                    canvas.text(&row.numbers, (numbers, level), Anchor::Left, style);
                }
            }
            horizontal_axis(canvas, whole, &x);
            x_title(canvas, whole, &self.title, total);
        })
    }
}

impl Row {
    fn draw(&self, canvas: &mut Canvas, frame: Frame, x: &Axis, level: f64) {
        let across = |value: f64| frame.across(x.share(value));
        let color = self.look.color();
        let ends = self.half.map(|half| [(self.mean - half, -1.0), (self.mean + half, 1.0)]);
        if let Some([(from, _), (to, _)]) = ends {
            let width = if self.decided { 2.6 } else { 1.5 };
            canvas.line((across(from), level), (across(to), level), color, width);
        }
        match self.decided {
            true => canvas.mark((across(self.mean), level), self.look, 4.2),
            false => canvas.hollow_mark((across(self.mean), level), self.look, 4.2),
        }
        // The ends of a short interval stand before the mark.
        for (value, direction) in ends.into_iter().flatten() {
            let end = across(value);
            match x.contains(value) {
                true => canvas.line((end, level - 5.5), (end, level + 5.5), color, 1.5),
                false => canvas.arrow((end, level), (direction, 0.0), color),
            }
        }
    }
}

/// The axis around zero, all means and all intervals, except those that dwarf the others.
fn axis(rows: &[Row]) -> Axis {
    let estimates = rows.iter().map(|row| (row.mean, row.half));
    let (low, high) = extremes(ends(estimates.chain([(0.0, None)])));
    let margin = (0.06 * (high - low)).max(0.05);
    Axis::linear("", low - margin, high + margin)
}
