//! The accuracies of all seeds, cell by cell: a mark for each, with the mean and its interval.
//!
//! Trials of one seed are paired, so lines join them.

use std::collections::BTreeMap;

use super::{
    axis::Axis,
    canvas::{
        AXIS_TITLE, Anchor, Canvas, Frame, LABEL, NUMBER, PANEL_TITLE, fitted, picture, widest,
    },
    facets::{Facets, chosen},
    figure::{Content, Study},
    geometry::{ends, extremes},
    palette::Look,
    panels::{horizontal_axis, vertical_lines},
    theme::{Color, Theme},
};
use crate::{
    numbers::statistics::Estimate,
    phrases::{legends::selected_accuracy, rounding::decimal},
};

/// The most rows of all sections together.
const ROWS: usize = 80;

struct Row {
    label: String,
    /// By seed, in percent.
    values: BTreeMap<u64, f64>,
    mean: f64,
    /// Half of the interval.
    half: Option<f64>,
    look: Look,
}

/// The rows of one network and subset size.
struct Section {
    title: String,
    rows: Vec<Row>,
}

pub(super) fn strip(study: &Study<'_>) -> Content {
    if study.seeds() < 2 {
        return Content::Missing("it takes results of two seeds".to_owned());
    }
    let mut note = String::new();
    let mut cells = chosen(study.cells().collect(), ROWS, "cells", &mut note);
    cells.sort_by_key(|cell| cell.treatment);
    let facets = Facets::new(study);
    let mut sections: BTreeMap<(Option<usize>, u32), Section> = BTreeMap::new();
    for cell in cells {
        let Some((mean, half)) = cell.test_accuracy.map(Estimate::percent) else { continue };
        let title = format!("{}, n = {}", cell.network, cell.subset_size);
        let place = (facets.column(cell), cell.subset_size);
        let section = sections.entry(place).or_insert(Section { title, rows: Vec::new() });
        section.rows.push(Row {
            label: study.treatment(cell).name.clone(),
            values: cell.accuracies.iter().map(|(seed, share)| (*seed, 100.0 * share)).collect(),
            mean,
            half,
            look: study.look(cell),
        });
    }
    let sections: Vec<Section> = sections.into_values().collect();
    let title = format!("{}, %", selected_accuracy(study.summary.selection));
    Content::Drawing { draw: Box::new(move |theme| draw(&sections, &title, theme)), note }
}

const STEP: f64 = 22.0;
const ABOVE: f64 = 28.0;
const BELOW: f64 = 34.0;
const PLOT: f64 = 430.0;
const EDGE: f64 = 14.0;

fn draw(sections: &[Section], title: &str, theme: Theme) -> String {
    let rows = sections.iter().flat_map(|section| &section.rows);
    let labels = widest(rows.map(|row| &row.label), LABEL).min(380.0);
    let left = EDGE + labels + 12.0;
    let right = left + PLOT;
    let width = right + 12.0 + widest(["100.00 ± 10.00"], LABEL) + EDGE;
    let mut bottom = 0.0;
    let mut frames = Vec::new();
    for section in sections {
        let top = bottom + ABOVE;
        frames.push(Frame { left, top, right, bottom: top + STEP * section.rows.len() as f64 });
        bottom = top + STEP * section.rows.len() as f64 + BELOW;
    }
    picture(width, bottom + 26.0, theme, |canvas| {
        for (section, frame) in sections.iter().zip(frames) {
            section.draw(canvas, frame, labels);
        }
        canvas.text(title, (left + PLOT / 2.0, bottom + 6.0), Anchor::Middle, AXIS_TITLE);
    })
}

impl Section {
    /// The axis around all values and intervals, except intervals that dwarf the others.
    fn axis(&self) -> Axis {
        let estimates = self.rows.iter().map(|row| (row.mean, row.half));
        let values = self.rows.iter().flat_map(|row| row.values.values().copied());
        let (low, high) = extremes(values.chain(ends(estimates)));
        let margin = 0.04 * (high - low).max(0.5);
        Axis::linear("", low - margin, high + margin)
    }

    fn draw(&self, canvas: &mut Canvas, frame: Frame, labels: f64) {
        let x = self.axis();
        let across = |value: f64| frame.across(x.share(value));
        let level = |row: usize| frame.top + (row as f64 + 0.5) * STEP;
        let above = frame.top - 13.0;
        canvas.text(&self.title, (EDGE, above), Anchor::Left, PANEL_TITLE);
        canvas.text("mean ± 95 %", (frame.right + 12.0, above), Anchor::Left, NUMBER);
        vertical_lines(canvas, frame, &x);
        horizontal_axis(canvas, frame, &x);
        for (index, row) in self.rows.iter().enumerate() {
            let level = level(index);
            let label = fitted(&row.label, LABEL, labels);
            canvas.text(&label, (EDGE, level), Anchor::Left, LABEL);
            let mut text = decimal(row.mean, 2);
            if let Some(half) = row.half {
                let (left, right) = (across(row.mean - half), across(row.mean + half));
                let bar = Frame { left, top: level - 6.5, right, bottom: level + 6.5 };
                canvas.rectangle(bar, row.look.color(), 0.2);
                text += &format!(" ± {}", decimal(half, 2));
            }
            canvas.text(&text, (frame.right + 12.0, level), Anchor::Left, LABEL);
        }
        // Marks of equal accuracies stay apart.
        let aside = |seed: u64| ((self.place_of(seed) % 3) as f64 - 1.0) * 3.0;
        let at = |row: usize, seed: u64, value: f64| (across(value), level(row) + aside(seed));
        // A thin line joins the trials of a seed from row to row, unless a row lacks the seed.
        for (index, pair) in self.rows.windows(2).enumerate() {
            for (seed, value) in &pair[0].values {
                if let Some(next) = pair[1].values.get(seed) {
                    let (from, to) = (at(index, *seed, *value), at(index + 1, *seed, *next));
                    canvas.line(from, to, Color::Muted, 0.6);
                }
            }
        }
        for (index, row) in self.rows.iter().enumerate() {
            for (seed, value) in &row.values {
                canvas.mark(at(index, *seed, *value), row.look, 2.8);
            }
            let (mean, level) = (across(row.mean), level(index));
            canvas.line((mean, level - 8.0), (mean, level + 8.0), Color::Ink, 2.0);
        }
    }

    /// The place of a seed among those of all rows.
    fn place_of(&self, seed: u64) -> usize {
        self.rows.iter().map(|row| row.values.range(..seed).count()).max().unwrap_or(0)
    }
}
