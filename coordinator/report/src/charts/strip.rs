//! The accuracies of all seeds, cell by cell: dots, with the mean and its interval.

use std::collections::BTreeMap;

use super::{
    Content,
    axis::Axis,
    facets::chosen,
    over::selected_accuracy,
    pen::{Anchor, Drawn, Frame, NORMAL, Pen, SMALL, STRONG, fitted, picture, widest},
    theme::{Role, Theme},
};
use crate::{
    rounding::decimal,
    statistics::Estimate,
    study::{Study, StudyCell},
};

/// Rows of all sections together.
const ROWS: usize = 80;

struct Row {
    label: String,
    /// In percent.
    values: Vec<f64>,
    estimate: Estimate,
    with_norm: bool,
}

/// The rows of one subset size.
struct Section {
    title: String,
    rows: Vec<Row>,
}

pub(super) fn strip(study: &Study) -> Content {
    if study.seeds() < 2 {
        return Content::Missing("it takes results of two seeds".to_owned());
    }
    let mut note = String::new();
    let cells: Vec<&StudyCell> = study.cells.iter().filter(|cell| !cell.accuracies.is_empty()).collect();
    let mut sections: BTreeMap<u32, Section> = BTreeMap::new();
    for cell in chosen(cells, ROWS, "cells", &mut note) {
        let values: Vec<f64> = cell.accuracies.values().map(|share| 100.0 * share).collect();
        let Some(estimate) = Estimate::of(&values) else { continue };
        let size = cell.spec.subset_size;
        let title = format!("{size} images");
        let section = sections.entry(size).or_insert(Section { title, rows: Vec::new() });
        let label = format!("{}, {}", cell.spec.architecture, study.treatment(&cell.spec));
        section.rows.push(Row { label, values, estimate, with_norm: cell.spec.penalty.is_some() });
    }
    let sections: Vec<Section> = sections.into_values().collect();
    let title = format!("{}, %", selected_accuracy(study.selection));
    Content::Drawing { draw: Box::new(move |theme| draw(&sections, &title, theme)), note }
}

const STEP: f64 = 22.0;
const ABOVE: f64 = 28.0;
const BELOW: f64 = 34.0;
const PLOT: f64 = 430.0;
const EDGE: f64 = 14.0;

fn draw(sections: &[Section], title: &str, theme: Theme) -> Drawn<String> {
    let rows = || sections.iter().flat_map(|section| &section.rows);
    let labels = widest(rows().map(|row| row.label.as_str()), SMALL)?.min(380.0);
    let numbers = widest(["100.00 ± 10.00"], SMALL)?;
    let left = EDGE + labels + 12.0;
    let width = left + PLOT + 12.0 + numbers + EDGE;
    let height: f64 = sections.iter().map(|section| ABOVE + BELOW + STEP * section.rows.len() as f64).sum();
    picture(width, height + 26.0, theme, |pen| {
        let mut top = 0.0;
        for section in sections {
            let bottom = top + ABOVE + STEP * section.rows.len() as f64;
            let frame = Frame { left, top: top + ABOVE, right: left + PLOT, bottom };
            draw_section(pen, section, frame, labels)?;
            top = bottom + BELOW;
        }
        pen.text(title, (left + PLOT / 2.0, top + 6.0), Anchor::Middle, NORMAL, Role::Ink)
    })
}

/// Around all values, and around intervals as long as they do not dwarf them.
fn horizontal(section: &Section) -> Axis {
    let values = || section.rows.iter().flat_map(|row| &row.values).copied();
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let span = (high - low).max(0.5);
    let ends = |sign: f64| {
        section.rows.iter().map(move |row| sign * row.estimate.mean + row.estimate.confidence_95.unwrap_or(0.0))
    };
    let lowest = -ends(-1.0).fold(-low, f64::max).min(span - low);
    let highest = ends(1.0).fold(high, f64::max).min(high + span);
    let margin = 0.04 * (highest - lowest).max(0.5);
    Axis::linear("", lowest - margin, highest + margin)
}

fn draw_section(pen: &Pen<'_>, section: &Section, frame: Frame, labels: f64) -> Drawn {
    let x = horizontal(section);
    let across = |value: f64| frame.left + x.share(value).clamp(0.0, 1.0) * frame.width();
    pen.text(&section.title, (EDGE, frame.top - 13.0), Anchor::Left, STRONG, Role::Ink)?;
    pen.text("mean ± 95 %", (frame.right + 12.0, frame.top - 13.0), Anchor::Left, SMALL, Role::Muted)?;
    for (share, text) in &x.ticks {
        let place = frame.left + share * frame.width();
        pen.line((place, frame.top), (place, frame.bottom), Role::Grid, 1.0)?;
        pen.text(text, (place, frame.bottom + 13.0), Anchor::Middle, SMALL, Role::Muted)?;
    }
    pen.line((frame.left, frame.bottom), (frame.right, frame.bottom), Role::Muted, 1.0)?;
    for (index, row) in section.rows.iter().enumerate() {
        let level = frame.top + (index as f64 + 0.5) * STEP;
        let color = if row.with_norm { Role::Series(0) } else { Role::Series(1) };
        let label = fitted(&row.label, SMALL, labels)?;
        pen.text(&label, (frame.left - 12.0, level), Anchor::Right, SMALL, Role::Ink)?;
        let Estimate { mean, confidence_95, .. } = row.estimate;
        let mut text = decimal(mean, 2);
        if let Some(half) = confidence_95 {
            let (from, to) = (across(mean - half), across(mean + half));
            let (above, below) = (level - 5.5, level + 5.5);
            pen.area(&[(from, above), (to, above), (to, below), (from, below)], color, 0.18)?;
            text += &format!(" ± {}", decimal(half, 2));
        }
        for (place, value) in row.values.iter().enumerate() {
            // Dots of equal accuracies stay apart.
            let aside = ((place % 3) as f64 - 1.0) * 2.2;
            pen.dot((across(*value), level + aside), 2.8, color, 0.75)?;
        }
        pen.line((across(mean), level - 8.0), (across(mean), level + 8.0), Role::Ink, 2.0)?;
        pen.text(&text, (frame.right + 12.0, level), Anchor::Left, SMALL, Role::Ink)?;
    }
    Ok(())
}
