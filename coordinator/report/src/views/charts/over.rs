//! The charts of lines: what is drawn over iterations, over lambda and over the size of the subset.

use std::collections::BTreeSet;

use swfn_shared::{
    axes,
    grid::Selection,
    ids::CellId,
    treatment::{Names, Regulariser},
};

use super::{
    axis::Axis,
    facets::Facets,
    figure::{Content, Study},
    lines::{Kind, Line, Lines, Panel, Point, Upright, Vertical},
    palette::kind,
};
use crate::{
    numbers::{
        cell::{Cell, plain},
        hypothesis::difference,
        source::Curves,
        statistics::{Estimate, half_width},
    },
    phrases::rounding::signed,
};

pub(super) const ACCURACY: &str = "test accuracy, %";
pub(super) const GAIN: &str = "points over none";

/// The accuracy that counts, for titles of axes. A picture may be shown without its caption, and must not flatter in silence.
pub(super) fn selected_accuracy(selection: Selection) -> &'static str {
    match selection {
        Selection::Final => "test accuracy",
        Selection::Best => "best accuracy (chosen on test images)",
        Selection::Validation => "validated test accuracy",
    }
}

fn point(study: &Study<'_>, cell: &Cell, x: f64, percent: &[f64]) -> Option<Point> {
    let Estimate { mean, confidence_95, .. } = Estimate::of(percent)?;
    Some(Point { x, mean, half: confidence_95, look: study.look(cell) })
}

/// The estimate of a cell's accuracy, in percent.
fn accuracy(study: &Study<'_>, cell: &Cell, x: f64) -> Option<Point> {
    let values: Vec<f64> = cell.accuracies.values().map(|share| 100.0 * share).collect();
    point(study, cell, x, &values)
}

/// The estimate of what it gains over the same seeds without any regulariser, in percentage points.
fn gain(study: &Study<'_>, cell: &Cell, x: f64) -> Option<Point> {
    let none = study.summary.cell(plain(&cell.spec).cell())?;
    let pairs = cell
        .accuracies
        .iter()
        .filter_map(|(seed, with)| Some(100.0 * difference(*with, *none.accuracies.get(seed)?)));
    point(study, cell, x, &pairs.collect::<Vec<_>>())
}

fn has_results(cell: &Cell) -> bool {
    !cell.accuracies.is_empty()
}

/// Panels that grow point by point.
#[derive(Default)]
struct Panels(Vec<Panel>);

impl Panels {
    fn line(&mut self, (row, column): (usize, usize), title: String, line: Line) {
        let place = self.0.iter().position(|panel| (panel.row, panel.column) == (row, column));
        let place = place.unwrap_or_else(|| {
            self.0.push(Panel { row, column, title, lines: Vec::new() });
            self.0.len() - 1
        });
        let lines = &mut self.0[place].lines;
        match lines.iter_mut().find(|other| other.name == line.name) {
            Some(known) => known.points.extend(line.points),
            None => lines.push(line),
        }
    }

    /// Lines in the order of their colours, points in that of their places.
    fn finished(mut self) -> Vec<Panel> {
        for panel in &mut self.0 {
            panel
                .lines
                .iter_mut()
                .for_each(|line| line.points.sort_by(|one, other| one.x.total_cmp(&other.x)));
            panel.lines.sort_by_key(|line| line.points.first().map(|point| point.look.tint));
        }
        self.0
    }
}

/// The line of a cell's treatment.
fn line_of(study: &Study<'_>, cell: &Cell, points: Vec<Point>) -> Line {
    Line {
        name: study.treatment(cell).name.clone(),
        tint: study.look(cell).tint,
        points,
        kind: Kind::Line,
    }
}

/// The cells whose curves these charts show.
pub(crate) fn cells_of_curves(study: &Study<'_>) -> BTreeSet<CellId> {
    let facets = Facets::new(study, has_results);
    let shown = |cell: &&Cell| {
        facets.column(cell).is_some() && facets.row(cell).is_some() && facets.has_line(cell)
    };
    study.cells().iter().filter(shown).map(|cell| cell.id).collect()
}

/// A metric over the iterations of the classifier, for each cell. Values are multiplied by `factor`.
pub(super) fn iterations(
    study: &Study<'_>,
    curves: &Curves,
    upright: Upright,
    factor: f64,
) -> Content {
    let facets = Facets::new(study, has_results);
    let mut panels = Panels::default();
    for cell in study.cells().iter().filter(|cell| facets.has_line(cell)) {
        let curve = curves.get(&cell.id).filter(|curve| curve.len() > 1);
        let (Some(column), Some(row), Some(curve)) = (facets.column(cell), facets.row(cell), curve)
        else {
            continue;
        };
        let points = curve.iter().map(|point| Point {
            x: point.step as f64,
            mean: factor * point.mean,
            half: half_width(point.n, point.standard_deviation).map(|half| factor * half),
            look: study.look(cell),
        });
        let title = format!("{}, n = {}", cell.network, cell.subset_size);
        panels.line((row, column), title, line_of(study, cell, points.collect()));
    }
    let panels = panels.finished();
    let steps = panels
        .iter()
        .flat_map(|panel| &panel.lines)
        .flat_map(|line| &line.points)
        .map(|point| point.x);
    let last = steps.fold(0.0, f64::max);
    if last <= 0.0 {
        return Content::Missing("no trial that has ended reported two values".to_owned());
    }
    // Room for the marks of the last iteration, which stand beside each other.
    let most = panels.iter().map(|panel| panel.lines.len()).max().unwrap_or(0);
    let x = Axis::linear("iteration", 0.0, (1.05 + 0.035 * most as f64) * last);
    drawn(Lines { uprights: vec![upright], x, panels }, facets.note())
}

/// What the line of a function norm beside other regularisers is called.
fn beside(names: Names, others: Regulariser) -> String {
    if others.parts() == 0 {
        "fn".to_owned()
    } else {
        format!("fn + {}", names.regulariser(others))
    }
}

/// Over lambda, what is gained over the same seeds without any regulariser; other regularisers are levels. Where such seeds are missing, the
/// accuracy itself.
pub(super) fn lambda(study: &Study<'_>) -> Content {
    let facets = Facets::new(study, has_results);
    let with_norm = |cell: &&Cell| cell.spec.penalty.is_some() && has_results(cell);
    let gains = study.cells().iter().filter(with_norm).all(|cell| gain(study, cell, 1.0).is_some());
    let mut panels = Panels::default();
    let names =
        Names::among(study.summary.treatments().iter().map(|treatment| treatment.regulariser));
    for cell in study.cells() {
        let treatment = study.treatment(cell);
        let value = if gains {
            gain(study, cell, cell.spec.lambda())
        } else {
            accuracy(study, cell, cell.spec.lambda())
        };
        let (Some(column), Some(row), Some(point)) = (facets.column(cell), facets.row(cell), value)
        else {
            continue;
        };
        let line = match treatment.regulariser.lambda() > 0.0 {
            false => Line { kind: Kind::Level, ..line_of(study, cell, vec![point]) },
            true => {
                let others = treatment.regulariser.with(axes::LAMBDA, 0.0);
                let variant = if treatment.variant.is_empty() {
                    String::new()
                } else {
                    format!(", {}", treatment.variant)
                };
                let name = format!("{}{variant}", beside(names, others));
                Line {
                    name,
                    tint: kind(&treatment.regulariser),
                    points: vec![point],
                    kind: Kind::Line,
                }
            }
        };
        panels.line((row, column), format!("{}, n = {}", cell.network, cell.subset_size), line);
    }
    let mut panels = panels.finished();
    let grows = |line: &Line| line.kind == Kind::Line && line.points.len() > 1;
    panels.retain(|panel| panel.lines.iter().any(grows));
    let mut note = facets.rows_note.clone();
    for panel in &mut panels {
        // Levels fill the room that lines leave.
        let mut note_of_panel = String::new();
        let (levels, lines): (Vec<Line>, Vec<Line>) =
            panel.lines.drain(..).partition(|line| line.kind == Kind::Level);
        let lines = super::facets::chosen(lines, super::facets::LINES, "lines", &mut note_of_panel);
        let room = (super::facets::LINES + 2).saturating_sub(lines.len());
        panel.lines = super::facets::chosen(levels, room, "levels", &mut note_of_panel);
        panel.lines.extend(lines);
        if !note.contains(&note_of_panel) {
            note += &note_of_panel;
        }
    }
    if gains {
        set_apart(&mut panels);
    }
    let places = panels
        .iter()
        .flat_map(|panel| &panel.lines)
        .flat_map(|line| &line.points)
        .map(|point| point.x);
    let mut lambdas: Vec<f64> = places.collect();
    lambdas.sort_by(f64::total_cmp);
    lambdas.dedup();
    if lambdas.is_empty() {
        return Content::Missing("it takes results of two values of λ above zero".to_owned());
    }
    let x = Axis::of("weight λ of the function norm", &lambdas);
    drawn(Lines { uprights: vec![upright(study, gains)], x, panels }, note)
}

/// Levels that are further away from all lines of their row than those reach: they would flatten what the chart is about.
fn set_apart(panels: &mut [Panel]) {
    let rows = panels.iter().map(|panel| panel.row).max().unwrap_or(0);
    for row in 0..=rows {
        let lines = panels.iter().filter(|panel| panel.row == row).flat_map(|panel| &panel.lines);
        let points = lines.filter(|line| line.kind == Kind::Line).flat_map(|line| &line.points);
        let ends = points.flat_map(|point| {
            [point.mean - point.half.unwrap_or(0.0), point.mean + point.half.unwrap_or(0.0)]
        });
        let (low, high) =
            ends.fold((0.0_f64, 0.0_f64), |(low, high), end| (low.min(end), high.max(end)));
        let reach = (high - low).max(1.0);
        for line in
            panels.iter_mut().filter(|panel| panel.row == row).flat_map(|panel| &mut panel.lines)
        {
            let Some(mean) = line.points.first().map(|point| point.mean) else { continue };
            if line.kind == Kind::Level && !(low - reach..=high + reach).contains(&mean) {
                line.kind = Kind::Beyond;
                line.name = format!("{} {}", line.name, signed(mean, 1));
            }
        }
    }
}

fn upright(study: &Study<'_>, gains: bool) -> Upright {
    let accuracy = selected_accuracy(study.summary.selection);
    match gains {
        true if study.summary.selection == Selection::Final => {
            Upright { title: GAIN.to_owned(), vertical: Vertical::Gain }
        }
        true => Upright { title: format!("{GAIN}: {accuracy}"), vertical: Vertical::Gain },
        false => Upright { title: format!("{accuracy}, %"), vertical: Vertical::Percent },
    }
}

/// Over the size of the subset the accuracy, and below it what is gained over the same seeds without any regulariser.
pub(super) fn size(study: &Study<'_>) -> Content {
    let facets = Facets::new(study, has_results);
    let mut panels = Panels::default();
    for cell in study.cells().iter().filter(|cell| facets.has_line(cell)) {
        let Some(column) = facets.column(cell) else { continue };
        let x = f64::from(cell.subset_size);
        let network = cell.network;
        if let Some(point) = accuracy(study, cell, x) {
            panels.line((0, column), network.to_string(), line_of(study, cell, vec![point]));
        }
        if let Some(point) = gain(study, cell, x) {
            panels.line(
                (1, column),
                format!("{network}: same seeds"),
                line_of(study, cell, vec![point]),
            );
        }
    }
    let mut panels = panels.finished();
    // Of none alone there is nothing to see.
    panels.retain(|panel| panel.row == 0 || panel.lines.len() > 1);
    let points = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
    let sizes: BTreeSet<u32> = points().map(|point| point.x as u32).collect();
    if sizes.len() < 2 {
        return Content::Missing("it takes results of two subset sizes".to_owned());
    }
    let sizes: Vec<f64> = sizes.into_iter().map(f64::from).collect();
    let x = Axis::of("training images", &sizes);
    let uprights = vec![upright(study, false), upright(study, true)];
    // All sizes are on the axis here: a choice of them is none.
    drawn(Lines { uprights, x, panels }, facets.lines_note)
}

fn drawn(lines: Lines, note: String) -> Content {
    Content::Drawing { draw: Box::new(move |theme| lines.draw(theme)), note }
}
