//! Panels of lines with bands: over iterations, over lambda, over the size of the subset.

use std::collections::BTreeSet;

use super::{
    axis::Axis,
    panels::{self, COLUMNS, KeyEntry, Layout, ROWS, Shown, axes, end_labels, key, place, y_title},
    pen::{Drawn, Frame, Mark, Pen, Place, SMALL, picture, widest},
    theme::{Role, Theme},
};

/// A mean over seeds, and half of its interval if it has one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) mean: f64,
    pub(super) half: Option<f64>,
}

/// One line of a panel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// Its place in the list of names: the same thing looks the same in all panels.
    pub(super) series: usize,
    /// In ascending order.
    pub(super) points: Vec<Point>,
    /// What it is measured against: a level, with a mark of its own at the axis's zero.
    pub(super) reference: Option<Point>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) title: String,
    pub(super) lines: Vec<Line>,
}

/// How the vertical axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vertical {
    Linear,
    /// The same, but the steep beginning of training may lie below.
    Late,
    /// Where values differ by orders of magnitude, else linear.
    LogIfWide,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lines {
    pub(super) y_title: String,
    pub(super) vertical: Vertical,
    pub(super) x: Axis,
    /// What the lines are; one alone needs no name.
    pub(super) names: Vec<String>,
    pub(super) panels: Vec<Panel>,
}

impl Lines {
    pub(super) fn draw(&self, theme: Theme) -> Drawn<String> {
        let columns = self.panels.iter().map(|panel| panel.column + 1).max().unwrap_or(1).min(COLUMNS);
        let rows = self.panels.iter().map(|panel| panel.row + 1).max().unwrap_or(1).min(ROWS);
        let lines = || self.panels.iter().flat_map(|panel| &panel.lines);
        let used: BTreeSet<usize> = lines().map(|line| line.series).collect();
        let named = self.names.len() > 1;
        // Names stand where the lines end, unless there are too many panels for that.
        let direct = named && columns <= 2;
        let vertical: Vec<Axis> = (0..rows).map(|row| self.vertical(row)).collect();
        let numbers =
            widest(vertical.iter().flat_map(|axis| &axis.ticks).map(|(_, text)| text.as_str()), SMALL)? + 10.0;
        let entries: Vec<KeyEntry<'_>> = used.iter().map(|series| (*series, self.names[*series].as_str())).collect();
        let names: Vec<&str> = entries.iter().map(|(_, name)| *name).collect();
        let beside = if direct { panels::end_labels_width(&names)? } else { 0.0 };
        let height = if rows == 1 { 240.0 } else { 180.0 };
        let mut layout = Layout { rows, columns, height, beside, above: 0.0, numbers };
        let entries: Vec<KeyEntry<'_>> = if named && !direct { entries } else { Vec::new() };
        layout.above = panels::key_height(&entries, layout.width())?;
        picture(layout.width(), layout.total_height(), theme, |pen| {
            key(pen, &entries, layout.width())?;
            y_title(pen, &layout, &self.y_title)?;
            for panel in self.panels.iter().filter(|panel| panel.row < rows && panel.column < columns) {
                let frame = layout.frame(panel.row, panel.column);
                let y = &vertical[panel.row];
                let below = |other: &Panel| other.column == panel.column && other.row > panel.row;
                let left = |other: &Panel| other.row == panel.row && other.column < panel.column;
                let shown = Shown { y_numbers: !self.panels.iter().any(left), x_title: !self.panels.iter().any(below) };
                axes(pen, frame, &panel.title, &self.x, y, shown)?;
                self.draw_lines(pen, frame, panel, y, direct)?;
            }
            Ok(())
        })
    }

    fn draw_lines(&self, pen: &Pen<'_>, frame: Frame, panel: &Panel, y: &Axis, direct: bool) -> Drawn {
        let at = |point: &Point, up: f64| place(frame, &self.x, y, (point.x, up));
        // Many bands on top of each other shall not hide what lies below.
        let opacity = match panel.lines.len() {
            0..=2 => 0.14,
            3..=4 => 0.09,
            _ => 0.05,
        };
        for line in &panel.lines {
            let color = Role::Series(line.series);
            let banded: Vec<_> = line.points.iter().filter_map(|point| Some((point, point.half?))).collect();
            if banded.len() > 1 {
                let above = banded.iter().map(|(point, half)| at(point, point.mean + half));
                let below = banded.iter().rev().map(|(point, half)| at(point, point.mean - half));
                pen.area(&above.chain(below).collect::<Vec<_>>(), color, opacity)?;
            }
        }
        let mut ends = Vec::new();
        for line in &panel.lines {
            let color = Role::Series(line.series);
            if let Some(reference) = &line.reference {
                let level = at(reference, reference.mean).1;
                pen.dashes((frame.left, level), frame.right, color, 1.2)?;
                whisker(pen, reference, at, color)?;
                pen.mark(at(reference, reference.mean), Mark(line.series), color, 4.2)?;
            }
            let path: Vec<Place> = line.points.iter().map(|point| at(point, point.mean)).collect();
            // A line that begins far below the axis comes in from below.
            pen.path(&entering(&path, frame, |index| y.share(line.points[index].mean)), color, 2.0)?;
            if let [alone] = &line.points[..] {
                whisker(pen, alone, at, color)?;
            }
            for (index, place) in path.iter().enumerate() {
                let all = self.vertical == Vertical::Linear || path.len() <= FEW;
                if (all || marked(index, path.len(), line.series)) && place.1 < frame.bottom - 0.5 {
                    pen.mark(*place, Mark(line.series), color, 4.2)?;
                }
            }
            ends.extend(path.last().map(|end| (*end, line.series, self.names[line.series].as_str())));
        }
        if direct { end_labels(pen, frame, ends) } else { Ok(()) }
    }

    /// The vertical axis of a row: around all means, and around intervals as long as they do not dwarf the means.
    fn vertical(&self, row: usize) -> Axis {
        let lines = || self.panels.iter().filter(|panel| panel.row == row).flat_map(|panel| &panel.lines);
        let points = || lines().flat_map(|line| line.points.iter().chain(&line.reference));
        // Each line has a beginning of its own: a short one is not all beginning beside a long one.
        let late = || {
            lines().flat_map(|line| {
                let last = line.points.last().map_or(0.0, |point| point.x);
                let crop = self.vertical == Vertical::Late && line.points.len() >= 5;
                line.points.iter().filter(move |point| !crop || point.x >= 0.3 * last).chain(&line.reference)
            })
        };
        let extremes = |values: &mut dyn Iterator<Item = f64>| {
            values.filter(|v| v.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
        };
        if self.vertical == Vertical::LogIfWide {
            let (low, high) = extremes(&mut points().map(|point| point.mean).filter(|mean| *mean > 0.0));
            if high > 20.0 * low {
                return Axis::log("", low, high);
            }
        }
        let (low, _) = extremes(&mut late().map(|point| point.mean));
        let (_, high) = extremes(&mut points().map(|point| point.mean));
        if low > high {
            return Axis::linear("", 0.0, 1.0);
        }
        let span = (high - low).max(0.02 * high.abs()).max(1e-6);
        let half = |point: &Point| point.half.unwrap_or(0.0);
        let (lowest, _) = extremes(&mut late().map(|point| point.mean - half(point)));
        let (_, highest) = extremes(&mut points().map(|point| point.mean + half(point)));
        let (low, high) = (lowest.max(low - span), highest.min(high + span));
        let margin = 0.06 * (high - low).max(span * 0.5);
        Axis::linear("", low - margin, high + margin)
    }
}

/// The path from the point on where it enters the frame.
fn entering(path: &[Place], frame: Frame, share: impl Fn(usize) -> f64) -> Vec<Place> {
    let Some(first) = (0..path.len()).find(|index| share(*index) >= 0.0) else { return Vec::new() };
    let mut inside = path[first..].to_vec();
    if first > 0 {
        let (before, after) = (share(first - 1), share(first));
        let part = -before / (after - before);
        let ((left, _), (right, _)) = (path[first - 1], path[first]);
        inside.insert(0, (left + part * (right - left), frame.bottom));
    }
    inside
}

/// Points of a curve that are all marked.
const FEW: usize = 12;

/// Of many points every so many-th, not the same ones on each line.
fn marked(index: usize, count: usize, series: usize) -> bool {
    let every = count.div_ceil(FEW / 2).max(1);
    (index + series * every / 3) % every == every - 1
}

/// The interval of a mark.
fn whisker(pen: &Pen<'_>, point: &Point, at: impl Fn(&Point, f64) -> Place, color: Role) -> Drawn {
    let Some(half) = point.half else { return Ok(()) };
    pen.line(at(point, point.mean - half), at(point, point.mean + half), color, 1.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(series: usize, points: impl Iterator<Item = (f64, f64)>) -> Line {
        let points = points.map(|(x, mean)| Point { x, mean, half: None }).collect();
        Line { series, points, reference: None }
    }

    /// The axis of a chart over 10,000 iterations with one row.
    fn axis(lines: Vec<Line>) -> Axis {
        let panel = Panel { row: 0, column: 0, title: String::new(), lines };
        let (x, names) = (Axis::linear("iteration", 0.0, 10_000.0), Vec::new());
        Lines { y_title: String::new(), vertical: Vertical::Late, x, names, panels: vec![panel] }.vertical(0)
    }

    #[test]
    fn a_peak_at_the_beginning_and_a_short_run_stay_in_the_picture() {
        let inside = |axis: &Axis, value| (0.0..=1.0).contains(&axis.share(value));
        // From 10 to a peak of 90 at a tenth, and down to 80.
        let early = |i: i32| (f64::from(i) * 500.0, if i < 2 { 10.0 } else { 90.5 - f64::from(i) * 0.5 });
        let long = axis(vec![line(0, (1..=20).map(early))]);
        assert!(inside(&long, 89.5) && inside(&long, 80.5) && !inside(&long, 10.0));
        // All of the second one lies before three tenths of the first.
        let steep = |i: i32| (f64::from(i) * 100.0, if i < 3 { 10.0 } else { 60.0 });
        let both = axis(vec![line(0, (1..=20).map(early)), line(1, (1..=10).map(steep))]);
        assert!(inside(&both, 60.0) && inside(&both, 89.5) && !inside(&both, 10.0));
    }
}
