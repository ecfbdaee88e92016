//! Panels of lines: over iterations, over lambda, over the size of the subset. What coincides is set apart, so that nothing hides
//! anything: points stand beside each other, and lines that lie on each other take turns on top.

use super::{
    axis::Axis,
    geometry::{FEW, cap, entering, extremes, marked, turns},
    palette::Look,
    panels::{
        COLUMNS, KeyEntry, Layout, ROWS, Shown, axes, end_labels, end_labels_width, key,
        key_height, place, y_title,
    },
    pen::{Drawn, Frame, Pen, Place, SMALL, picture, widest},
    theme::{Role, Theme, Tint},
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
    pub(super) kind: Kind,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Line,
    /// Its one point stands for all places: a dashed level.
    Level,
    /// A level so far away that it would flatten the lines: it stands at the edge with its number.
    Beyond,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) title: String,
    pub(super) lines: Vec<Line>,
}

/// How a vertical axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vertical {
    /// Shares in percent.
    Percent,
    /// The same, but the steep beginning of training may lie below.
    Late,
    /// Differences, around zero.
    Gain,
    /// Where values differ by orders of magnitude logarithmic, else linear.
    LogIfWide,
}

/// The vertical axis of a row, or of all.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Upright {
    pub(super) title: String,
    pub(super) vertical: Vertical,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lines {
    /// One for all rows, or one for each.
    pub(super) uprights: Vec<Upright>,
    pub(super) x: Axis,
    pub(super) panels: Vec<Panel>,
}

/// How intervals are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// Each beside the others.
    Whiskers,
    /// Of few lines with many points.
    Bands,
    /// Of many lines with many points: that of the last one.
    Ends,
}

/// Lines whose bands can be told apart.
const BANDS: usize = 3;
/// Pixels between neighbours that stand beside each other.
const BESIDE: f64 = 7.0;
/// Height of a label at the end of a line.
const LABEL: f64 = 15.0;

impl Lines {
    pub(super) fn draw(&self, theme: Theme) -> Drawn<String> {
        let columns =
            self.panels.iter().map(|panel| panel.column + 1).max().unwrap_or(1).min(COLUMNS);
        let rows = self.panels.iter().map(|panel| panel.row + 1).max().unwrap_or(1).min(ROWS);
        let vertical: Vec<Axis> = (0..rows).map(|row| self.vertical(row)).collect();
        let numbers = widest(
            vertical.iter().flat_map(|axis| &axis.ticks).map(|(_, text)| text.as_str()),
            SMALL,
        )? + 10.0;
        let entries = self.entries();
        let height = if rows == 1 { 240.0 } else { 180.0 };
        let most = self.panels.iter().map(|panel| panel.lines.len()).max().unwrap_or(0);
        // Names stand where the lines end, unless there are too many for that.
        let direct = entries.len() > 1 && columns <= 2 && most as f64 * LABEL <= height;
        let names: Vec<&str> = entries.iter().map(|(_, name)| *name).collect();
        let beside = if direct { end_labels_width(&names)? } else { 0.0 };
        let mut layout = Layout { rows, columns, height, beside, above: 0.0, numbers };
        let entries: Vec<KeyEntry<'_>> =
            if entries.len() > 1 && !direct { entries } else { Vec::new() };
        layout.above = key_height(&entries, layout.width())?;
        picture(layout.width(), layout.total_height(), theme, |pen| {
            key(pen, &entries, layout.width())?;
            for (index, upright) in self.uprights.iter().enumerate().take(rows) {
                let last = if self.uprights.len() == 1 { rows - 1 } else { index };
                y_title(pen, &layout, &upright.title, index..=last)?;
            }
            for panel in
                self.panels.iter().filter(|panel| panel.row < rows && panel.column < columns)
            {
                let frame = layout.frame(panel.row, panel.column);
                let y = &vertical[panel.row];
                let below = |other: &Panel| other.column == panel.column && other.row > panel.row;
                let left = |other: &Panel| other.row == panel.row && other.column < panel.column;
                let shown = Shown {
                    y_numbers: !self.panels.iter().any(left),
                    x_title: !self.panels.iter().any(below),
                };
                axes(pen, frame, &panel.title, &self.x, y, shown)?;
                self.draw_panel(pen, frame, panel, y, direct)?;
            }
            Ok(())
        })
    }

    fn upright(&self, row: usize) -> Vertical {
        self.uprights
            .get(row)
            .or(self.uprights.first())
            .map_or(Vertical::Percent, |upright| upright.vertical)
    }

    /// What stands in the key: each line once, in the order in which it looks.
    fn entries(&self) -> Vec<KeyEntry<'_>> {
        let mut entries: Vec<KeyEntry<'_>> = Vec::new();
        for line in self.panels.iter().flat_map(|panel| &panel.lines) {
            let Some(last) = line.points.last() else { continue };
            if !entries.iter().any(|(_, name)| *name == line.name) {
                entries.push((Look { tint: line.tint, mark: last.look.mark }, &line.name));
            }
        }
        entries.sort_by_key(|(look, _)| look.tint);
        entries
    }

    fn spread(&self) -> Spread {
        let points =
            self.panels.iter().flat_map(|panel| &panel.lines).map(|line| line.points.len()).max();
        let lines = self.panels.iter().map(|panel| panel.lines.len()).max();
        let is_curve = matches!(self.upright(0), Vertical::Late | Vertical::LogIfWide);
        match (points.unwrap_or(0), lines.unwrap_or(0)) {
            (points, _) if points <= FEW || !is_curve => Spread::Whiskers,
            (_, 0..=BANDS) => Spread::Bands,
            _ => Spread::Ends,
        }
    }

    fn draw_panel(
        &self,
        pen: &Pen<'_>,
        frame: Frame,
        panel: &Panel,
        y: &Axis,
        direct: bool,
    ) -> Drawn {
        let spread = self.spread();
        if self.upright(panel.row) == Vertical::Gain {
            let level = frame.bottom - y.share(0.0) * frame.height();
            pen.line((frame.left, level), (frame.right, level), Role::Muted, 1.0)?;
        }
        let asides = self.asides(frame, panel, spread);
        let at = |line: usize, point: usize, up: f64| {
            let (across, level) = place(frame, &self.x, y, (panel.lines[line].points[point].x, up));
            (across + asides(line, point), level)
        };
        let paths: Vec<Vec<Place>> = panel
            .lines
            .iter()
            .enumerate()
            .map(|(number, line)| {
                let mut path: Vec<Place> = (0..line.points.len())
                    .map(|index| at(number, index, line.points[index].mean))
                    .collect();
                if let (Spread::Ends, Some(last)) = (spread, line.points.last()) {
                    // The line ends at its place, and goes on level to its mark.
                    path.insert(path.len() - 1, place(frame, &self.x, y, (last.x, last.mean)));
                }
                // A line that begins far below the axis comes in from below.
                entering(&path, frame, |index| {
                    y.share(line.points[index.min(line.points.len() - 1)].mean)
                })
            })
            .collect();
        for (number, (line, path)) in panel.lines.iter().zip(&paths).enumerate() {
            let color = Role::Of(line.tint);
            if spread == Spread::Bands {
                band(pen, line, |index, up| at(number, index, up))?;
            }
            match (line.kind, path.last()) {
                (Kind::Level, Some((_, level))) => {
                    pen.dashes((frame.left, *level), frame.right, color, 1.2)?
                }
                (Kind::Line, _) => pen.path(path, color, 2.0)?,
                _ => {}
            }
        }
        // Where lines lie on each other, each is on top for a while.
        for (number, (line, path)) in panel.lines.iter().zip(&paths).enumerate() {
            for turn in turns(path, number, panel.lines.len()) {
                pen.path(&turn, Role::Of(line.tint), 2.0)?;
            }
        }
        for (number, line) in panel.lines.iter().enumerate() {
            for (index, point) in line.points.iter().enumerate() {
                let place = at(number, index, point.mean);
                if line.kind == Kind::Beyond {
                    outwards(pen, frame, place, point)?;
                    continue;
                }
                let last = index + 1 == line.points.len();
                if spread == Spread::Whiskers || (spread == Spread::Ends && last) {
                    whisker(pen, frame, y, point, place.0)?;
                }
                let shown =
                    spread == Spread::Whiskers || last || marked(index, line.points.len(), number);
                if shown && y.share(point.mean) >= 0.0 {
                    pen.mark(place, point.look.mark, point.look.color(), 4.2)?;
                }
            }
        }
        if !direct {
            return Ok(());
        }
        let ends = panel.lines.iter().zip(&paths).filter_map(|(line, path)| {
            let (across, level) = match line.kind {
                Kind::Beyond => {
                    place(frame, &self.x, y, (line.points.last()?.x, line.points.last()?.mean))
                }
                Kind::Line | Kind::Level => *path.last()?,
            };
            let across = if line.kind == Kind::Line { across } else { frame.right };
            let look = Look { tint: line.tint, mark: line.points.last()?.look.mark };
            Some(((across, level), look, line.name.as_str()))
        });
        end_labels(pen, frame, ends.collect())
    }

    /// How far points stand beside their places, so that no interval hides another one.
    fn asides(
        &self,
        frame: Frame,
        panel: &Panel,
        spread: Spread,
    ) -> impl Fn(usize, usize) -> f64 + use<> {
        let mut places: Vec<f64> = panel
            .lines
            .iter()
            .flat_map(|line| &line.points)
            .map(|point| self.x.share(point.x))
            .collect();
        places.sort_by(f64::total_cmp);
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

    /// The vertical axis of a row: around all means and intervals. One that is far wider than the others goes beyond, and shows it.
    fn vertical(&self, row: usize) -> Axis {
        let upright = self.upright(row);
        let spread = self.spread();
        let lines =
            || self.panels.iter().filter(|panel| panel.row == row).flat_map(|panel| &panel.lines);
        let lines = || lines().filter(|line| line.kind != Kind::Beyond);
        let points = || lines().flat_map(|line| &line.points);
        if upright == Vertical::LogIfWide {
            let (low, high) = extremes(points().map(|point| point.mean).filter(|mean| *mean > 0.0));
            if high > 20.0 * low {
                return Axis::log("", low, high);
            }
        }
        // Each line has a beginning of its own: a short one is not all beginning beside a long one.
        let late = lines().flat_map(|line| {
            let last = line.points.last().map_or(0.0, |point| point.x);
            let crop = upright == Vertical::Late && line.points.len() >= 5;
            let shown = move |point: &Point| match spread {
                Spread::Ends if point.x < last => None,
                _ => point.half,
            };
            line.points
                .iter()
                .filter(move |point| !crop || point.x >= 0.3 * last)
                .map(move |point| (point.mean, shown(point)))
        });
        let late: Vec<(f64, Option<f64>)> = late.collect();
        let cap = cap(&late);
        let ends = late.iter().flat_map(|(mean, half)| {
            let half = half.unwrap_or(0.0).min(cap);
            [mean - half, mean + half]
        });
        // A peak is never cut.
        let zero = (upright == Vertical::Gain).then_some(0.0);
        let (low, _) = extremes(ends.clone().chain(zero));
        let (_, high) = extremes(ends.chain(points().map(|point| point.mean)).chain(zero));
        if low > high {
            return Axis::linear("", 0.0, 1.0);
        }
        let margin = 0.08 * (high - low).max(0.02 * high.abs()).max(1e-6);
        let (low, high) = (low - margin, high + margin);
        match upright {
            Vertical::Percent | Vertical::Late => Axis::linear("", low.max(0.0), high.min(101.0)),
            Vertical::Gain | Vertical::LogIfWide => Axis::linear("", low, high),
        }
    }
}

fn band(pen: &Pen<'_>, line: &Line, at: impl Fn(usize, f64) -> Place) -> Drawn {
    let banded: Vec<_> = line
        .points
        .iter()
        .enumerate()
        .filter_map(|(index, point)| Some((index, point.mean, point.half?)))
        .collect();
    if banded.len() < 2 {
        return Ok(());
    }
    let above = banded.iter().map(|(index, mean, half)| at(*index, mean + half));
    let below = banded.iter().rev().map(|(index, mean, half)| at(*index, mean - half));
    pen.area(&above.chain(below).collect::<Vec<_>>(), Role::Of(line.tint), 0.14)
}

/// The mark of what lies beyond the frame: an arrow at its edge.
fn outwards(pen: &Pen<'_>, frame: Frame, (across, level): Place, point: &Point) -> Drawn {
    let middle = (frame.top + frame.bottom) / 2.0;
    let inwards = if level > middle { -1.0 } else { 1.0 };
    let color = point.look.color();
    pen.line((across, level), (across, level + 16.0 * inwards), color, 1.5)?;
    pen.area(
        &[
            (across, level),
            (across - 4.0, level + 7.0 * inwards),
            (across + 4.0, level + 7.0 * inwards),
        ],
        color,
        1.0,
    )
}

/// The interval of a mark; an arrow where it goes beyond the frame.
fn whisker(pen: &Pen<'_>, frame: Frame, y: &Axis, point: &Point, across: f64) -> Drawn {
    let Some(half) = point.half else { return Ok(()) };
    let color = point.look.color();
    let level = |value: f64| frame.bottom - y.share(value).clamp(0.0, 1.0) * frame.height();
    let (low, high) = (point.mean - half, point.mean + half);
    pen.line((across, level(low)), (across, level(high)), color, 1.5)?;
    for (value, outwards) in [(low, 1.0), (high, -1.0)] {
        let end = level(value);
        if !(0.0..=1.0).contains(&y.share(value)) {
            pen.area(
                &[
                    (across, end),
                    (across - 3.5, end - 6.0 * outwards),
                    (across + 3.5, end - 6.0 * outwards),
                ],
                color,
                1.0,
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::palette::Mark, *};

    const LOOK: Look = Look { tint: Tint { family: 4, shade: 2 }, mark: Mark(0) };

    fn line(points: impl Iterator<Item = (f64, f64)>) -> Line {
        let points = points.map(|(x, mean)| Point { x, mean, half: None, look: LOOK }).collect();
        Line { name: "fn".to_owned(), tint: LOOK.tint, points, kind: Kind::Line }
    }

    /// The axis of a chart over 10,000 iterations with one row.
    fn axis(lines: Vec<Line>, vertical: Vertical) -> Axis {
        let panel = Panel { row: 0, column: 0, title: String::new(), lines };
        let uprights = vec![Upright { title: String::new(), vertical }];
        Lines { uprights, x: Axis::linear("iteration", 0.0, 10_000.0), panels: vec![panel] }
            .vertical(0)
    }

    fn inside(axis: &Axis, value: f64) -> bool {
        (0.0..=1.0).contains(&axis.share(value))
    }

    #[test]
    fn a_peak_at_the_beginning_and_a_short_run_stay_in_the_picture() {
        // From 10 to a peak of 90 at a tenth, and down to 80.
        let early =
            |i: i32| (f64::from(i) * 500.0, if i < 2 { 10.0 } else { 90.5 - f64::from(i) * 0.5 });
        let long = axis(vec![line((1..=20).map(early))], Vertical::Late);
        assert!(inside(&long, 89.5) && inside(&long, 80.5) && !inside(&long, 10.0));
        // All of the second one lies before three tenths of the first.
        let steep = |i: i32| (f64::from(i) * 100.0, if i < 3 { 10.0 } else { 60.0 });
        let both = axis(vec![line((1..=20).map(early)), line((1..=10).map(steep))], Vertical::Late);
        assert!(inside(&both, 60.0) && inside(&both, 89.5) && !inside(&both, 10.0));
    }

    /// Means that lie close together among wide intervals; one interval is far wider than the others.
    #[test]
    fn no_interval_is_cut_but_one_that_dwarfs_the_others() {
        let mut close = line((1..=4).map(|i| (f64::from(i) * 100.0, 80.0 + 0.1 * f64::from(i))));
        close.points.iter_mut().for_each(|point| point.half = Some(2.0));
        let all = axis(vec![close.clone()], Vertical::Percent);
        assert!(inside(&all, 78.1) && inside(&all, 82.4));
        close.points[0].half = Some(50.0);
        let most = axis(vec![close], Vertical::Percent);
        assert!(inside(&most, 78.2) && !inside(&most, 40.0));
    }
}
