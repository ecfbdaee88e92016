//! The charts of lines: over iterations, over lambda and over the size of the subset.

use std::collections::BTreeSet;

use swfn_shared::{
    axes,
    grid::Selection,
    ids::CellId,
    treatment::{Names, Regulariser},
};

use super::{
    axis::Axis,
    facets::{Facets, LINES, chosen},
    figure::{Content, Study},
    geometry::{ascending, extremes},
    lines::{Line, LineKind, Lines, Panel, Point, Scale, Vertical, points},
    palette::family_tint,
};
use crate::{
    numbers::{
        cell::{Cell, plain},
        source::Curves,
        statistics::{Estimate, half_width},
    },
    phrases::{legends::selected_accuracy, rounding::signed},
};

const GAIN: &str = "points over none";

/// A cell's estimate at a place of the axis, in percent.
fn point(study: &Study<'_>, cell: &Cell, x: f64, share: Estimate) -> Point {
    let (mean, half) = share.percent();
    Point { x, mean, half, look: study.look(cell) }
}

fn accuracy(study: &Study<'_>, cell: &Cell, x: f64) -> Option<Point> {
    Some(point(study, cell, x, cell.test_accuracy?))
}

/// The gain of a cell over the same seeds without any regulariser, in percentage points.
fn gain(study: &Study<'_>, cell: &Cell, x: f64) -> Option<Point> {
    let none = study.summary.cell(plain(&cell.spec).cell())?;
    Some(point(study, cell, x, Estimate::of(&cell.differences(none))?))
}

/// Panels that grow point by point.
#[derive(Default)]
struct Panels(Vec<Panel>);

impl Panels {
    fn add(&mut self, (row, column): (usize, usize), title: String, line: Line) {
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

    /// Sorts lines by their colours, and points by their places.
    fn finish(mut self) -> Vec<Panel> {
        for panel in &mut self.0 {
            for line in &mut panel.lines {
                line.points.sort_by(|one, other| one.x.total_cmp(&other.x));
            }
            panel.lines.sort_by_key(|line| line.points.first().map(|point| point.look.tint));
        }
        self.0
    }
}

/// The line of a cell's treatment.
fn line_of(study: &Study<'_>, cell: &Cell, points: Vec<Point>) -> Line {
    let (name, tint) = (study.treatment(cell).name.clone(), study.look(cell).tint);
    Line { name, tint, points, kind: LineKind::Curve }
}

fn panel_title(cell: &Cell) -> String {
    format!("{}, n = {}", cell.network, cell.subset_size)
}

/// The cells whose curves these charts show.
pub(crate) fn cells_of_curves(study: &Study<'_>) -> BTreeSet<CellId> {
    let facets = Facets::new(study);
    let shown = |cell: &&Cell| facets.panel(cell).is_some() && facets.has_line(cell);
    study.cells().filter(shown).map(|cell| cell.id).collect()
}

/// A metric over the iterations of the classifier, for each cell, multiplied by `factor`.
pub(super) fn iterations(
    study: &Study<'_>,
    curves: &Curves,
    vertical: Vertical,
    factor: f64,
) -> Content {
    let facets = Facets::new(study);
    let mut panels = Panels::default();
    for cell in study.cells().filter(|cell| facets.has_line(cell)) {
        let curve = curves.get(&cell.id).filter(|curve| curve.len() > 1);
        let (Some(panel), Some(curve)) = (facets.panel(cell), curve) else { continue };
        let points = curve.iter().map(|point| Point {
            x: point.step as f64,
            mean: factor * point.mean,
            half: half_width(point.n, point.standard_deviation).map(|half| factor * half),
            look: study.look(cell),
        });
        panels.add(panel, panel_title(cell), line_of(study, cell, points.collect()));
    }
    let panels = panels.finish();
    let last = points(&panels).map(|point| point.x).fold(0.0, f64::max);
    if last <= 0.0 {
        return Content::Missing("no finished trial reported two values".to_owned());
    }
    // The marks of the last iteration stand beside each other, and need room.
    let most = panels.iter().map(|panel| panel.lines.len()).max().unwrap_or(0);
    let x = Axis::linear("iteration", 0.0, (1.05 + 0.035 * most as f64) * last);
    let note = format!("{}{}", facets.rows_note, facets.lines_note);
    drawing(Lines { verticals: vec![vertical], x, panels }, note)
}

/// The gain of the function norm over the same seeds without any regulariser, over lambda.
///
/// Other regularisers are levels. If such seeds are missing, the chart shows the accuracy itself.
pub(super) fn lambda(study: &Study<'_>) -> Content {
    let facets = Facets::new(study);
    let mut with_norm = study.cells().filter(|cell| cell.spec.penalty.is_some());
    let gains = with_norm.all(|cell| gain(study, cell, 1.0).is_some());
    let value = if gains { gain } else { accuracy };
    let mut panels = Panels::default();
    for cell in study.cells() {
        let point = value(study, cell, cell.spec.lambda());
        let (Some(panel), Some(point)) = (facets.panel(cell), point) else { continue };
        let line = line_of(study, cell, vec![point]);
        let line = if cell.spec.lambda() > 0.0 {
            let tint = family_tint(&study.treatment(cell).regulariser);
            Line { name: name_over_lambda(study, cell), tint, ..line }
        } else {
            Line { kind: LineKind::Level, ..line }
        };
        panels.add(panel, panel_title(cell), line);
    }
    let mut panels = panels.finish();
    let grows = |line: &Line| line.kind == LineKind::Curve && line.points.len() > 1;
    panels.retain(|panel| panel.lines.iter().any(grows));
    let mut note = facets.rows_note;
    for panel in &mut panels {
        // Levels fill the room that curves leave.
        let mut note_of_panel = String::new();
        let (levels, curves): (Vec<Line>, Vec<Line>) =
            panel.lines.drain(..).partition(|line| line.kind == LineKind::Level);
        let curves = chosen(curves, LINES, "lines", &mut note_of_panel);
        panel.lines = chosen(levels, LINES + 2 - curves.len(), "levels", &mut note_of_panel);
        panel.lines.extend(curves);
        if !note.contains(&note_of_panel) {
            note += &note_of_panel;
        }
    }
    if gains {
        set_apart(&mut panels);
    }
    let lambdas = ascending(points(&panels).map(|point| point.x));
    if lambdas.is_empty() {
        return Content::Missing("it takes results of two values of λ above zero".to_owned());
    }
    let x = Axis::with_values("weight λ of the function norm", &lambdas);
    drawing(Lines { verticals: vec![vertical(study, gains)], x, panels }, note)
}

/// The name of a treatment without its lambda: `fn + wd 5e-4`.
fn name_over_lambda(study: &Study<'_>, cell: &Cell) -> String {
    let regularisers = study.summary.treatments().iter().map(|treatment| treatment.regulariser);
    let others: Regulariser = study.treatment(cell).regulariser.with(axes::LAMBDA, 0.0);
    let mut name = "fn".to_owned();
    if others.parts() > 0 {
        name += &format!(" + {}", Names::among(regularisers).regulariser(others));
    }
    [vec![name], cell.variant.clone()].concat().join(", ")
}

/// Marks levels that would flatten the chart: those further from all curves of their row than the
/// curves reach.
fn set_apart(panels: &mut [Panel]) {
    let rows: BTreeSet<usize> = panels.iter().map(|panel| panel.row).collect();
    for row in rows {
        let lines = panels.iter().filter(|panel| panel.row == row).flat_map(|panel| &panel.lines);
        let points =
            lines.filter(|line| line.kind == LineKind::Curve).flat_map(|line| &line.points);
        let ends = points.flat_map(|point| {
            [-1.0, 1.0].map(|sign| point.mean + sign * point.half.unwrap_or(0.0))
        });
        let (low, high) = extremes(ends.chain([0.0]));
        let reach = (high - low).max(1.0);
        let panels = panels.iter_mut().filter(|panel| panel.row == row);
        for line in panels.flat_map(|panel| &mut panel.lines) {
            let mean = line.points[0].mean;
            if line.kind == LineKind::Level && !(low - reach..=high + reach).contains(&mean) {
                line.kind = LineKind::Beyond;
                line.name += &format!(" {}", signed(mean, 1));
            }
        }
    }
}

fn vertical(study: &Study<'_>, gains: bool) -> Vertical {
    let selection = study.summary.selection;
    let accuracy = selected_accuracy(selection);
    let title = match (gains, selection) {
        (true, Selection::Final) => GAIN.to_owned(),
        (true, _) => format!("{GAIN}: {accuracy}"),
        (false, _) => format!("{accuracy}, %"),
    };
    Vertical { title, scale: if gains { Scale::Gain } else { Scale::Percent } }
}

/// The accuracy over the size of the subset, and below it the gain over the same seeds without any
/// regulariser.
pub(super) fn size(study: &Study<'_>) -> Content {
    let facets = Facets::new(study);
    let mut panels = Panels::default();
    for cell in study.cells().filter(|cell| facets.has_line(cell)) {
        let Some(column) = facets.column(cell) else { continue };
        let (x, network) = (f64::from(cell.subset_size), cell.network);
        let rows = [
            (accuracy(study, cell, x), network.to_string()),
            (gain(study, cell, x), format!("{network}: same seeds")),
        ];
        for (row, (point, title)) in rows.into_iter().enumerate() {
            let Some(point) = point else { continue };
            panels.add((row, column), title, line_of(study, cell, vec![point]));
        }
    }
    let mut panels = panels.finish();
    // The gain of none over itself is always zero.
    panels.retain(|panel| panel.row == 0 || panel.lines.len() > 1);
    let sizes = ascending(points(&panels).map(|point| point.x));
    if sizes.len() < 2 {
        return Content::Missing("it takes results of two subset sizes".to_owned());
    }
    let x = Axis::with_values("training images", &sizes);
    // All sizes are on the axis, so the note about rows does not apply.
    let verticals = vec![vertical(study, false), vertical(study, true)];
    drawing(Lines { verticals, x, panels }, facets.lines_note)
}

fn drawing(lines: Lines, note: String) -> Content {
    Content::Drawing { draw: Box::new(move |theme| lines.draw(theme)), note }
}
