//! The accuracies of all seeds, cell by cell: a mark for each with the mean and its interval. Trials of one seed are joined: they are
//! paired.

use std::collections::BTreeMap;

use super::{
    axis::Axis,
    facets::{Facets, chosen},
    figure::{Content, Study},
    geometry::cap,
    over::selected_accuracy,
    palette::Look,
    pen::{Anchor, Drawn, Frame, NORMAL, Pen, Place, SMALL, STRONG, fitted, picture, widest},
    theme::{Role, Theme},
};
use crate::{
    numbers::{cell::Cell, statistics::Estimate},
    phrases::rounding::decimal,
};

/// Rows of all sections together.
const ROWS: usize = 80;

struct Row {
    label: String,
    /// By seed, in percent.
    values: BTreeMap<u64, f64>,
    estimate: Estimate,
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
    let cells: Vec<&Cell> =
        study.cells().iter().filter(|cell| !cell.accuracies.is_empty()).collect();
    let mut cells = chosen(cells, ROWS, "cells", &mut note);
    cells.sort_by_key(|cell| cell.treatment);
    let networks = Facets::new(study, |cell| !cell.accuracies.is_empty()).networks;
    let mut sections: BTreeMap<(Option<usize>, u32), Section> = BTreeMap::new();
    for cell in cells {
        let values: BTreeMap<u64, f64> =
            cell.accuracies.iter().map(|(seed, share)| (*seed, 100.0 * share)).collect();
        let Some(estimate) = Estimate::of(&values.values().copied().collect::<Vec<_>>()) else {
            continue;
        };
        let (network, size) = (cell.network, cell.subset_size);
        let title = format!("{network}, n = {size}");
        let place = networks.iter().position(|other| *other == network);
        let section = sections.entry((place, size)).or_insert(Section { title, rows: Vec::new() });
        let treatment = study.treatment(cell);
        section.rows.push(Row {
            label: treatment.name.clone(),
            values,
            estimate,
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

fn draw(sections: &[Section], title: &str, theme: Theme) -> Drawn<String> {
    let rows = || sections.iter().flat_map(|section| &section.rows);
    let labels = widest(rows().map(|row| row.label.as_str()), SMALL)?.min(380.0);
    let numbers = widest(["100.00 ± 10.00"], SMALL)?;
    let left = EDGE + labels + 12.0;
    let width = left + PLOT + 12.0 + numbers + EDGE;
    let height: f64 =
        sections.iter().map(|section| ABOVE + BELOW + STEP * section.rows.len() as f64).sum();
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

/// Around all values and intervals but those that dwarf the others.
fn horizontal(section: &Section) -> Axis {
    let values = section.rows.iter().flat_map(|row| row.values.values().copied());
    let estimates = section.rows.iter().map(|row| (row.estimate.mean, row.estimate.confidence_95));
    let cap = cap(&estimates.collect::<Vec<_>>());
    let ends = section.rows.iter().flat_map(|row| {
        let half = row.estimate.confidence_95.unwrap_or(0.0).min(cap);
        [row.estimate.mean - half, row.estimate.mean + half]
    });
    let (low, high) =
        values.chain(ends).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    let margin = 0.04 * (high - low).max(0.5);
    Axis::linear("", low - margin, high + margin)
}

fn draw_section(pen: &Pen<'_>, section: &Section, frame: Frame, labels: f64) -> Drawn {
    let x = horizontal(section);
    let across = |value: f64| frame.left + x.share(value).clamp(0.0, 1.0) * frame.width();
    let level = |row: usize| frame.top + (row as f64 + 0.5) * STEP;
    pen.text(&section.title, (EDGE, frame.top - 13.0), Anchor::Left, STRONG, Role::Ink)?;
    pen.text(
        "mean ± 95 %",
        (frame.right + 12.0, frame.top - 13.0),
        Anchor::Left,
        SMALL,
        Role::Muted,
    )?;
    for (share, text) in &x.ticks {
        let place = frame.left + share * frame.width();
        pen.line((place, frame.top), (place, frame.bottom), Role::Grid, 1.0)?;
        pen.text(text, (place, frame.bottom + 13.0), Anchor::Middle, SMALL, Role::Muted)?;
    }
    pen.line((frame.left, frame.bottom), (frame.right, frame.bottom), Role::Muted, 1.0)?;
    for (index, row) in section.rows.iter().enumerate() {
        let level = level(index);
        let label = fitted(&row.label, SMALL, labels)?;
        pen.text(&label, (EDGE, level), Anchor::Left, SMALL, Role::Ink)?;
        let Estimate { mean, confidence_95, .. } = row.estimate;
        let mut text = decimal(mean, 2);
        if let Some(half) = confidence_95 {
            let (from, to) = (across(mean - half), across(mean + half));
            let (above, below) = (level - 6.5, level + 6.5);
            pen.area(
                &[(from, above), (to, above), (to, below), (from, below)],
                row.look.color(),
                0.2,
            )?;
            text += &format!(" ± {}", decimal(half, 2));
        }
        pen.text(&text, (frame.right + 12.0, level), Anchor::Left, SMALL, Role::Ink)?;
    }
    for path in threads(section, |row, place, value| (across(value), level(row) + aside(place))) {
        pen.path(&path, Role::Muted, 0.6)?;
    }
    for (index, row) in section.rows.iter().enumerate() {
        for (seed, value) in &row.values {
            let place = (across(*value), level(index) + aside(place_of(section, *seed)));
            pen.mark(place, row.look.mark, row.look.color(), 2.8)?;
        }
        let mean = across(row.estimate.mean);
        pen.line((mean, level(index) - 8.0), (mean, level(index) + 8.0), Role::Ink, 2.0)?;
    }
    Ok(())
}

/// Marks of equal accuracies stay apart.
fn aside(place: usize) -> f64 {
    ((place % 3) as f64 - 1.0) * 3.0
}

/// The place of a seed among those of a section.
fn place_of(section: &Section, seed: u64) -> usize {
    let before = |row: &Row| row.values.range(..seed).count();
    section.rows.iter().map(before).max().unwrap_or(0)
}

/// For each seed the line through its marks, from row to row; broken where a row lacks it.
fn threads(section: &Section, at: impl Fn(usize, usize, f64) -> Place) -> Vec<Vec<Place>> {
    let mut threads = Vec::new();
    for (index, pair) in section.rows.windows(2).enumerate() {
        for (seed, value) in &pair[0].values {
            let Some(next) = pair[1].values.get(seed) else { continue };
            let place = place_of(section, *seed);
            threads.push(vec![at(index, place, *value), at(index + 1, place, *next)]);
        }
    }
    threads
}
