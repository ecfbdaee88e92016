//! Panels of lines: over iterations, over lambda, over the size of the subset.
//!
//! Lines that coincide are set apart, so that none hides another: points stand beside each other,
//! and lines that lie on each other take turns on top.

use super::{
    axis::Axis,
    canvas::{Canvas, Frame, NUMBER, Position, picture, widest},
    geometry::{FEW, ascending, ends, entering, extremes, is_marked, turns},
    palette::Look,
    panels::{
        END_LABEL, KeyEntry, Layout, axes, end_labels, end_labels_width, key, key_height, x_title,
        y_title,
    },
    theme::{Color, Theme, Tint},
};

/// A mean over seeds, and half of its interval if it has one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) mean: f64,
    pub(super) half: Option<f64>,
    pub(super) look: Look,
}

/// One line of a panel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) tint: Tint,
    /// In ascending order.
    pub(super) points: Vec<Point>,
    pub(super) kind: LineKind,
}

impl Line {
    /// The line's colour, and the mark of its last point.
    fn look(&self) -> Option<Look> {
        Some(Look { tint: self.tint, mark: self.points.last()?.look.mark })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind {
    Curve,
    /// A dashed level, whose one point holds for the whole axis.
    Level,
    /// A level so far away that it would flatten the curves. It stands at the edge with its number.
    Beyond,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) title: String,
    pub(super) lines: Vec<Line>,
}

/// The points of all lines of some panels.
pub(super) fn points(panels: &[Panel]) -> impl Iterator<Item = &Point> {
    panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points)
}

/// How a vertical axis is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Shares in percent.
    Percent,
    /// Shares in percent, where the steep beginning of training may lie below the axis.
    Late,
    /// Differences, around zero.
    Gain,
    /// Logarithmic if values differ by orders of magnitude, else linear.
    LogIfWide,
}

/// The vertical axis of a row, or of all rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vertical {
    pub(super) title: String,
    pub(super) scale: Scale,
}

/// A chart of lines.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lines {
    /// One for all rows, or one for each.
    pub(super) verticals: Vec<Vertical>,
    pub(super) x: Axis,
    pub(super) panels: Vec<Panel>,
}

/// How intervals are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// Each interval beside the others.
    Whiskers,
    /// As bands, for few lines with many points.
    Bands,
    /// That of the last point, for many lines with many points.
    Ends,
}

/// The most lines whose bands are distinguishable.
const BANDS: usize = 3;
/// Pixels between neighbours that stand beside each other.
const BESIDE: f64 = 7.0;

impl Lines {
    pub(super) fn draw(&self, theme: Theme) -> String {
        let count = |index: fn(&Panel) -> usize| self.panels.iter().map(index).max().unwrap_or(0);
        let (rows, columns) = (count(|panel| panel.row) + 1, count(|panel| panel.column) + 1);
        let vertical: Vec<Axis> = (0..rows).map(|row| self.vertical(row)).collect();
        let numbers = vertical.iter().flat_map(|axis| &axis.ticks).map(|(_, text)| text);
        let numbers = widest(numbers, NUMBER) + 10.0;
        let mut entries = self.entries();
        let height = if rows == 1 { 240.0 } else { 180.0 };
        // Names stand where the lines end, unless there are too many for that.
        let most = count(|panel| panel.lines.len()) as f64;
        let direct = entries.len() > 1 && columns <= 2 && most * END_LABEL <= height;
        let beside = if direct { end_labels_width(&entries) } else { 0.0 };
        let mut layout = Layout { rows, columns, height, beside, above: 0.0, numbers };
        if direct || entries.len() == 1 {
            entries.clear();
        }
        let width = layout.width();
        layout.above = key_height(&entries, width);
        picture(width, layout.total_height(), theme, |canvas| {
            key(canvas, &entries, width);
            for (row, vertical) in self.verticals.iter().enumerate().take(rows) {
                let last = if self.verticals.len() == 1 { rows - 1 } else { row };
                let bottom = layout.frame(last, 0).bottom;
                y_title(canvas, Frame { bottom, ..layout.frame(row, 0) }, &vertical.title);
            }
            for panel in &self.panels {
                let frame = layout.frame(panel.row, panel.column);
                let y = &vertical[panel.row];
                let below = |other: &Panel| other.column == panel.column && other.row > panel.row;
                let left = |other: &Panel| other.row == panel.row && other.column < panel.column;
                let numbered = !self.panels.iter().any(left);
                axes(canvas, frame, &panel.title, (&self.x, y), numbered);
                if !self.panels.iter().any(below) {
                    x_title(canvas, frame, &self.x.title, width);
                }
                self.draw_panel(canvas, frame, panel, y, direct);
            }
        })
    }

    fn scale(&self, row: usize) -> Scale {
        self.verticals[row.min(self.verticals.len() - 1)].scale
    }

    /// The key: each line once, in the order of the looks.
    fn entries(&self) -> Vec<KeyEntry<'_>> {
        let mut entries: Vec<KeyEntry<'_>> = Vec::new();
        for line in self.panels.iter().flat_map(|panel| &panel.lines) {
            let Some(look) = line.look() else { continue };
            if !entries.iter().any(|(_, name)| *name == line.name) {
                entries.push((look, &line.name));
            }
        }
        entries.sort_by_key(|(look, _)| look.tint);
        entries
    }

    fn spread(&self) -> Spread {
        let lines = self.panels.iter().map(|panel| panel.lines.len()).max().unwrap_or(0);
        let points =
            self.panels.iter().flat_map(|panel| &panel.lines).map(|line| line.points.len());
        let is_curve = matches!(self.scale(0), Scale::Late | Scale::LogIfWide);
        match (points.max().unwrap_or(0), lines) {
            (points, _) if points <= FEW || !is_curve => Spread::Whiskers,
            (_, 0..=BANDS) => Spread::Bands,
            _ => Spread::Ends,
        }
    }

    fn draw_panel(&self, canvas: &mut Canvas, frame: Frame, panel: &Panel, y: &Axis, direct: bool) {
        let spread = self.spread();
        let level = |value: f64| frame.level(y.share(value));
        if self.scale(panel.row) == Scale::Gain {
            let zero = level(0.0);
            canvas.line((frame.left, zero), (frame.right, zero), Color::Muted, 1.0);
        }
        let asides = self.asides(frame, panel, spread);
        let at = |line: usize, point: usize, value: f64| {
            let x = panel.lines[line].points[point].x;
            (frame.across(self.x.share(x)) + asides(line, point), level(value))
        };
        let path = |(number, line): (usize, &Line)| {
            let points = line.points.iter().enumerate();
            let mut path: Vec<Position> =
                points.map(|(index, point)| at(number, index, point.mean)).collect();
            if let (Spread::Ends, Some(last)) = (spread, line.points.last()) {
                // The line ends where it belongs; from there a level piece leads to its mark.
                let end = (frame.across(self.x.share(last.x)), level(last.mean));
                path.insert(path.len() - 1, end);
            }
            // A line that begins far below the axis comes in from below.
            let share = |index: usize| line.points[index.min(line.points.len() - 1)].mean;
            entering(&path, frame, |index| y.share(share(index)))
        };
        let paths: Vec<Vec<Position>> = panel.lines.iter().enumerate().map(path).collect();
        for (number, (line, path)) in panel.lines.iter().zip(&paths).enumerate() {
            let color = Color::Regulariser(line.tint);
            if spread == Spread::Bands {
                band(canvas, line, |index, value| at(number, index, value));
            }
            match line.kind {
                LineKind::Curve => canvas.path(path, color, 2.0),
                LineKind::Level => {
                    let start = (frame.left, level(line.points[0].mean));
                    canvas.dashes(start, frame.right, color, 1.2);
                }
                LineKind::Beyond => {}
            }
        }
        // Lines that lie on each other take turns on top.
        for (number, (line, path)) in panel.lines.iter().zip(&paths).enumerate() {
            for turn in turns(path, number, panel.lines.len()) {
                canvas.path(&turn, Color::Regulariser(line.tint), 2.0);
            }
        }
        for (number, line) in panel.lines.iter().enumerate() {
            for (index, point) in line.points.iter().enumerate() {
                let position = at(number, index, point.mean);
                if line.kind == LineKind::Beyond {
                    outwards(canvas, frame, position, point.look.color());
                    continue;
                }
                let last = index + 1 == line.points.len();
                if spread == Spread::Whiskers || (spread == Spread::Ends && last) {
                    whisker(canvas, frame, y, point, position.0);
                }
                let marked = is_marked(index, line.points.len(), number);
                if (spread == Spread::Whiskers || last || marked) && y.share(point.mean) >= 0.0 {
                    canvas.mark(position, point.look, 4.2);
                }
            }
        }
        if direct {
            let ends = panel.lines.iter().zip(&paths).filter_map(|(line, path)| {
                let end = match line.kind {
                    LineKind::Curve => *path.last()?,
                    LineKind::Level | LineKind::Beyond => (frame.right, level(line.points[0].mean)),
                };
                Some((end, (line.look()?, line.name.as_str())))
            });
            end_labels(canvas, frame, ends.collect());
        }
    }

    /// How far points stand beside their places, so that no interval hides another one.
    fn asides(
        &self,
        frame: Frame,
        panel: &Panel,
        spread: Spread,
    ) -> impl Fn(usize, usize) -> f64 + use<> {
        let points = panel.lines.iter().flat_map(|line| &line.points);
        let places = ascending(points.map(|point| self.x.share(point.x)));
        let apart = places.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 1e-9);
        let room = 0.7 * apart.fold(1.0, f64::min) * frame.width();
        let counts: Vec<usize> = panel.lines.iter().map(|line| line.points.len()).collect();
        let step =
            if spread == Spread::Ends { BESIDE } else { BESIDE.min(room / counts.len() as f64) };
        let middle = (counts.len() as f64 - 1.0) / 2.0;
        move |line, point| match spread {
            Spread::Whiskers => (line as f64 - middle) * step,
            // Beyond the last place, where nothing else is.
            Spread::Ends if point + 1 == counts[line] => (line as f64 + 1.0) * step,
            Spread::Ends | Spread::Bands => 0.0,
        }
    }

    /// The vertical axis of a row, around all means and intervals.
    ///
    /// An interval that is far wider than the others goes beyond, and shows it.
    fn vertical(&self, row: usize) -> Axis {
        let (scale, spread) = (self.scale(row), self.spread());
        let panels = || self.panels.iter().filter(|panel| panel.row == row);
        let lines = || panels().flat_map(|panel| &panel.lines);
        let lines = || lines().filter(|line| line.kind != LineKind::Beyond);
        let means = || lines().flat_map(|line| &line.points).map(|point| point.mean);
        if scale == Scale::LogIfWide {
            let (low, high) = extremes(means().filter(|mean| *mean > 0.0));
            if high > 20.0 * low {
                return Axis::logarithmic("", low, high);
            }
        }
        // Each line has a beginning of its own, since lines differ in length.
        let late = lines().flat_map(|line| {
            let last = line.points.last().map_or(0.0, |point| point.x);
            let crop = scale == Scale::Late && line.points.len() >= 5;
            let shown = line.points.iter().filter(move |point| !crop || point.x >= 0.3 * last);
            shown.map(move |point| {
                let is_shown = spread != Spread::Ends || point.x >= last;
                (point.mean, point.half.filter(|_| is_shown))
            })
        });
        let ends = ends(late);
        // A peak is never cut.
        let zero = (scale == Scale::Gain).then_some(0.0);
        let (low, _) = extremes(ends.clone().chain(zero));
        let (_, high) = extremes(ends.chain(means()).chain(zero));
        if low > high {
            return Axis::linear("", 0.0, 1.0);
        }
        let margin = 0.08 * (high - low).max(0.02 * high.abs()).max(1e-6);
        let (low, high) = (low - margin, high + margin);
        match scale {
            Scale::Percent | Scale::Late => Axis::linear("", low.max(0.0), high.min(101.0)),
            Scale::Gain | Scale::LogIfWide => Axis::linear("", low, high),
        }
    }
}

fn band(canvas: &mut Canvas, line: &Line, at: impl Fn(usize, f64) -> Position) {
    let points = line.points.iter().enumerate();
    let banded: Vec<_> =
        points.filter_map(|(index, point)| Some((index, point.mean, point.half?))).collect();
    let above = banded.iter().map(|(index, mean, half)| at(*index, mean + half));
    let below = banded.iter().rev().map(|(index, mean, half)| at(*index, mean - half));
    let outline: Vec<Position> = above.chain(below).collect();
    if banded.len() > 1 {
        canvas.area(&outline, Color::Regulariser(line.tint), 0.14);
    }
}

/// Draws the mark of a level beyond the frame: an arrow at its edge.
fn outwards(canvas: &mut Canvas, frame: Frame, (across, level): Position, color: Color) {
    let direction = if level > frame.center().1 { 1.0 } else { -1.0 };
    canvas.line((across, level), (across, level - 16.0 * direction), color, 1.5);
    canvas.arrow((across, level), (0.0, direction), color);
}

/// Draws the interval of a mark, with an arrow where it goes beyond the frame.
fn whisker(canvas: &mut Canvas, frame: Frame, y: &Axis, point: &Point, across: f64) {
    let Some(half) = point.half else { return };
    let ends = [(point.mean - half, 1.0), (point.mean + half, -1.0)];
    let [low, high] = ends.map(|(value, _)| (across, frame.level(y.share(value))));
    canvas.line(low, high, point.look.color(), 1.5);
    for ((value, direction), end) in ends.into_iter().zip([low, high]) {
        if !y.contains(value) {
            canvas.arrow(end, (0.0, direction), point.look.color());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::palette::Mark, *};

    const LOOK: Look = Look { tint: Tint { family: 4, shade: 2 }, mark: Mark(0) };

    fn line(points: impl Iterator<Item = (f64, f64)>) -> Line {
        let points = points.map(|(x, mean)| Point { x, mean, half: None, look: LOOK }).collect();
        Line { name: "fn".to_owned(), tint: LOOK.tint, points, kind: LineKind::Curve }
    }

    /// The axis of a chart over 10,000 iterations with one row.
    fn axis(lines: Vec<Line>, scale: Scale) -> Axis {
        let panel = Panel { row: 0, column: 0, title: String::new(), lines };
        let verticals = vec![Vertical { title: String::new(), scale }];
        Lines { verticals, x: Axis::linear("iteration", 0.0, 10_000.0), panels: vec![panel] }
            .vertical(0)
    }

    #[test]
    fn peaks_and_short_runs_stay_in_the_picture() {
        // From 10 to a peak of 90 at a tenth, and down to 80.
        let early =
            |i: i32| (f64::from(i) * 500.0, if i < 2 { 10.0 } else { 90.5 - f64::from(i) * 0.5 });
        let long = axis(vec![line((1..=20).map(early))], Scale::Late);
        assert!(long.contains(89.5) && long.contains(80.5) && !long.contains(10.0));
        // All of the second one lies before three tenths of the first.
        let steep = |i: i32| (f64::from(i) * 100.0, if i < 3 { 10.0 } else { 60.0 });
        let both = axis(vec![line((1..=20).map(early)), line((1..=10).map(steep))], Scale::Late);
        assert!(both.contains(60.0) && both.contains(89.5) && !both.contains(10.0));
    }

    /// Means that lie close together among wide intervals; one interval is far wider than the
    /// others.
    #[test]
    fn only_intervals_that_dwarf_others_are_cut() {
        let mut close = line((1..=4).map(|i| (f64::from(i) * 100.0, 80.0 + 0.1 * f64::from(i))));
        close.points.iter_mut().for_each(|point| point.half = Some(2.0));
        let all = axis(vec![close.clone()], Scale::Percent);
        assert!(all.contains(78.1) && all.contains(82.4));
        close.points[0].half = Some(50.0);
        let most = axis(vec![close], Scale::Percent);
        assert!(most.contains(78.2) && !most.contains(40.0));
    }
}
