//! The charts of lines: what is drawn over iterations, over lambda and over the size of the subset.

use std::collections::{BTreeSet, HashMap};

use swfn_shared::{grid::Selection, ids::CellId, trial::TrialSpec};
use swfn_store::MeanPoint;

use super::{
    Content,
    axis::Axis,
    facets::Facets,
    lines::{Line, Lines, Panel, Point, Vertical},
};
use crate::{
    statistics::{Estimate, half_width},
    study::{Study, StudyCell, without},
};

/// Curves of cells, thinned.
pub(crate) type Curves = HashMap<CellId, Vec<MeanPoint>>;

pub(super) const ACCURACY: &str = "test accuracy, %";

/// The accuracy that counts, for titles of axes. A picture may be shown without its caption, and must not flatter in silence.
pub(super) fn selected_accuracy(selection: Selection) -> &'static str {
    match selection {
        Selection::Final => "test accuracy",
        Selection::Best => "best accuracy (chosen on test images)",
        Selection::Validation => "validated test accuracy",
    }
}

/// The estimate of a cell's final accuracy, in percent.
fn accuracy(cell: &StudyCell, x: f64) -> Option<Point> {
    let values: Vec<f64> = cell.accuracies.values().map(|share| 100.0 * share).collect();
    Estimate::of(&values).map(|Estimate { mean, confidence_95, .. }| Point { x, mean, half: confidence_95 })
}

fn has_results(cell: &StudyCell) -> bool {
    !cell.accuracies.is_empty()
}

/// What a cell adds to a panel: points of the line of that name, and what the line is measured against.
struct Part {
    name: String,
    points: Vec<Point>,
    reference: Option<Point>,
}

/// Whether subset sizes have panels of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Sizes,
    One,
}

/// The panels, with the parts of all cells in their places. Panels without any line are left out.
fn panels(study: &Study, facets: &Facets, rows: Rows, part: impl Fn(&StudyCell) -> Option<Part>) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for cell in &study.cells {
        let column = facets.architectures.iter().position(|architecture| *architecture == cell.spec.architecture);
        let size = facets.sizes.iter().position(|size| *size == cell.spec.subset_size);
        let row = if rows == Rows::Sizes { size } else { Some(0) };
        let (Some(column), Some(row), Some(part)) = (column, row, part(cell)) else { continue };
        let Some(series) = facets.series(&part.name) else { continue };
        let place = panels.iter().position(|panel| (panel.row, panel.column) == (row, column));
        let place = place.unwrap_or_else(|| {
            let title = match rows {
                Rows::Sizes => format!("{}, n = {}", cell.spec.architecture, cell.spec.subset_size),
                Rows::One => cell.spec.architecture.to_string(),
            };
            panels.push(Panel { row, column, title, lines: Vec::new() });
            panels.len() - 1
        });
        let lines = &mut panels[place].lines;
        let line = lines.iter().position(|line| line.series == series).unwrap_or_else(|| {
            lines.push(Line { series, points: Vec::new(), reference: None });
            lines.len() - 1
        });
        lines[line].points.extend(part.points);
        lines[line].reference = lines[line].reference.or(part.reference);
    }
    for line in panels.iter_mut().flat_map(|panel| &mut panel.lines) {
        line.points.sort_by(|one, other| one.x.total_cmp(&other.x));
    }
    panels
}

/// The lines of the charts over iterations, and their panels.
fn of_curves(study: &Study) -> Facets {
    Facets::new(study, |cell| Some(study.treatment(&cell.spec)), has_results)
}

/// The cells whose curves these charts show.
pub(crate) fn cells_of_curves(study: &Study) -> BTreeSet<CellId> {
    let facets = of_curves(study);
    let shown = study.cells.iter().filter(|cell| {
        let TrialSpec { architecture, subset_size, .. } = &cell.spec;
        let has_line = || facets.series(&study.treatment(&cell.spec)).is_some();
        facets.architectures.contains(architecture) && facets.sizes.contains(subset_size) && has_line()
    });
    shown.map(|cell| cell.id).collect()
}

/// A metric over the iterations of the classifier, for each cell. Values are multiplied by `factor`.
pub(super) fn iterations(study: &Study, curves: &Curves, y_title: &str, factor: f64, vertical: Vertical) -> Content {
    let curve = |cell: &StudyCell| curves.get(&cell.id).filter(|curve| curve.len() > 1);
    let facets = of_curves(study);
    let panels = panels(study, &facets, Rows::Sizes, |cell| {
        let points = curve(cell)?.iter().map(|point| Point {
            x: point.step as f64,
            mean: factor * point.mean,
            half: half_width(point.n, point.standard_deviation).map(|half| factor * half),
        });
        Some(Part { name: study.treatment(&cell.spec), points: points.collect(), reference: None })
    });
    let note = facets.note();
    let steps = panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points).map(|point| point.x);
    let last = steps.fold(0.0, f64::max);
    if last <= 0.0 {
        return Content::Missing("no trial that has ended reported two values".to_owned());
    }
    let x = Axis::linear("iteration", 0.0, last);
    drawn(Lines { y_title: y_title.to_owned(), vertical, x, names: facets.names, panels }, note)
}

/// Accuracy over lambda; the level without function norm is a mark of its own.
pub(super) fn lambda(study: &Study) -> Content {
    let facets = Facets::new(study, |cell| cell.spec.penalty.map(|_| study.variant(&cell.spec)), has_results);
    let panels = panels(study, &facets, Rows::Sizes, |cell| {
        cell.spec.penalty?;
        let none = study.cell(without(&cell.spec).cell());
        let reference = none.and_then(|none| accuracy(none, 0.0));
        Some(Part { name: study.variant(&cell.spec), points: vec![accuracy(cell, cell.spec.lambda())?], reference })
    });
    let note = facets.note();
    let lines = || panels.iter().flat_map(|panel| &panel.lines);
    if !lines().any(|line| line.points.len() > 1) {
        return Content::Missing("it takes results of two values of lambda above zero".to_owned());
    }
    let mut lambdas: Vec<f64> =
        lines().flat_map(|line| line.points.iter().chain(&line.reference)).map(|point| point.x).collect();
    lambdas.sort_by(f64::total_cmp);
    lambdas.dedup();
    let x = Axis::of("weight λ of the function norm", &lambdas);
    let y_title = format!("{}, %", selected_accuracy(study.selection));
    drawn(Lines { y_title, vertical: Vertical::Linear, x, names: facets.names, panels }, note)
}

/// Accuracy over the size of the subset.
pub(super) fn size(study: &Study) -> Content {
    let facets = Facets::new(study, |cell| Some(study.treatment(&cell.spec)), has_results);
    let panels = panels(study, &facets, Rows::One, |cell| {
        let point = accuracy(cell, cell.spec.subset_size.into())?;
        Some(Part { name: study.treatment(&cell.spec), points: vec![point], reference: None })
    });
    let points = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
    let sizes: BTreeSet<u32> = points().map(|point| point.x as u32).collect();
    if sizes.len() < 2 {
        return Content::Missing("it takes results of two subset sizes".to_owned());
    }
    let sizes: Vec<f64> = sizes.into_iter().map(f64::from).collect();
    let x = Axis::of("training images", &sizes);
    // All sizes are on the axis here: a choice of them is none.
    let note = facets.lines_note.clone();
    let y_title = format!("{}, %", selected_accuracy(study.selection));
    drawn(Lines { y_title, vertical: Vertical::Linear, x, names: facets.names, panels }, note)
}

fn drawn(lines: Lines, note: String) -> Content {
    Content::Drawing { draw: Box::new(move |theme| lines.draw(theme)), note }
}
