//! Small multiples: rows and columns of panels under one key, each with a frame, axes and a title.

use super::{
    axis::Axis,
    canvas::{AXIS_TITLE, Anchor, Canvas, Frame, LABEL, NUMBER, Position, fitted, widest, width},
    palette::Look,
    theme::Color,
};

/// The most panels beside each other, and above each other.
pub(super) const COLUMNS: usize = 4;
pub(super) const ROWS: usize = 4;

/// How a chart is laid out, in pixels.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Height of a panel's frame.
    pub(super) height: f64,
    /// Room at the right of each panel.
    pub(super) beside: f64,
    /// Room above all panels.
    pub(super) above: f64,
    /// Room for the numbers of the vertical axis.
    pub(super) numbers: f64,
}

const LEFT: f64 = 26.0;
const TITLE: f64 = 26.0;
const BELOW: f64 = 50.0;
const GAP: f64 = 28.0;
const EDGE: f64 = 14.0;

impl Layout {
    /// Width of a panel's frame.
    fn panel_width(&self) -> f64 {
        match self.columns {
            1 => 460.0,
            2 => 310.0,
            3 => 250.0,
            _ => 205.0,
        }
    }

    pub(super) fn width(&self) -> f64 {
        let panels = self.columns as f64 * (self.panel_width() + self.beside + GAP) - GAP;
        LEFT + self.numbers + panels + EDGE
    }

    pub(super) fn total_height(&self) -> f64 {
        self.frame(self.rows - 1, 0).bottom + BELOW
    }

    /// The frame of a panel.
    pub(super) fn frame(&self, row: usize, column: usize) -> Frame {
        let left = LEFT + self.numbers + column as f64 * (self.panel_width() + self.beside + GAP);
        let top = self.above + TITLE + row as f64 * (TITLE + self.height + BELOW * 0.6);
        Frame { left, top, right: left + self.panel_width(), bottom: top + self.height }
    }
}

/// Draws grid lines and the title of a panel, its horizontal axis, and the numbers of its vertical
/// axis where `numbered`.
pub(super) fn axes(
    canvas: &mut Canvas,
    frame: Frame,
    title: &str,
    (x, y): (&Axis, &Axis),
    numbered: bool,
) {
    canvas.title(title, frame);
    for (share, text) in &y.ticks {
        let level = frame.level(*share);
        canvas.line((frame.left, level), (frame.right, level), Color::Grid, 1.0);
        if numbered {
            canvas.text(text, (frame.left - 7.0, level), Anchor::Right, NUMBER);
        }
    }
    horizontal_axis(canvas, frame, x);
}

/// Draws a line below a frame, with as many numbers as fit.
pub(super) fn horizontal_axis(canvas: &mut Canvas, frame: Frame, x: &Axis) {
    let mut x = x.clone();
    x.thin(|text| (width(text, NUMBER) + 4.0) / frame.width());
    for (share, text) in &x.ticks {
        let across = frame.across(*share);
        canvas.line((across, frame.bottom), (across, frame.bottom + 4.0), Color::Muted, 1.0);
        canvas.text(text, (across, frame.bottom + 14.0), Anchor::Middle, NUMBER);
    }
    canvas.line((frame.left, frame.bottom), (frame.right, frame.bottom), Color::Muted, 1.0);
}

/// Draws a vertical line at each number of the axis.
pub(super) fn vertical_lines(canvas: &mut Canvas, frame: Frame, x: &Axis) {
    for (share, _) in &x.ticks {
        let across = frame.across(*share);
        canvas.line((across, frame.top), (across, frame.bottom), Color::Grid, 1.0);
    }
}

/// Draws the title of the horizontal axis, at the middle of a frame or left of it to fit the
/// picture.
pub(super) fn x_title(canvas: &mut Canvas, frame: Frame, title: &str, picture: f64) {
    let middle = frame.center().0.min(picture - EDGE - width(title, AXIS_TITLE) / 2.0);
    canvas.text(title, (middle, frame.bottom + 33.0), Anchor::Middle, AXIS_TITLE);
}

/// Draws the title of the vertical axis beside a frame, or beside a column of them.
pub(super) fn y_title(canvas: &mut Canvas, frame: Frame, title: &str) {
    let title = fitted(title, AXIS_TITLE, frame.height() + TITLE);
    canvas.text(&title, (LEFT / 2.0 + 2.0, frame.center().1), Anchor::Upwards, AXIS_TITLE);
}

/// Height of a line of the key.
const KEY_LINE: f64 = 20.0;

/// A name in the key, and how it looks.
pub(super) type KeyEntry<'k> = (Look, &'k str);

/// The position of each entry of the key, which is broken into lines.
fn key_positions(entries: &[KeyEntry<'_>], room: f64) -> Vec<Position> {
    let (mut across, mut level) = (LEFT, 16.0);
    let place = |(_, name): &KeyEntry<'_>| {
        let needed = width(name, LABEL) + 44.0;
        if across + needed > room && across > LEFT {
            (across, level) = (LEFT, level + KEY_LINE);
        }
        across += needed;
        (across - needed, level)
    };
    entries.iter().map(place).collect()
}

/// Height of the key.
pub(super) fn key_height(entries: &[KeyEntry<'_>], room: f64) -> f64 {
    key_positions(entries, room).last().map_or(0.0, |(_, level)| level + KEY_LINE / 2.0)
}

/// Draws the key at the top.
pub(super) fn key(canvas: &mut Canvas, entries: &[KeyEntry<'_>], room: f64) {
    for ((look, name), (x, y)) in entries.iter().zip(key_positions(entries, room)) {
        canvas.line((x, y), (x + 20.0, y), look.color(), 2.0);
        canvas.mark((x + 10.0, y), *look, 4.0);
        canvas.text(name, (x + 26.0, y), Anchor::Left, LABEL);
    }
}

/// Height of a label at the end of a line.
pub(super) const END_LABEL: f64 = 15.0;

/// Draws labels at the right of a panel, at the ends of their lines, but never on top of each
/// other.
pub(super) fn end_labels(
    canvas: &mut Canvas,
    frame: Frame,
    mut ends: Vec<(Position, KeyEntry<'_>)>,
) {
    ends.sort_by(|one, other| one.0.1.total_cmp(&other.0.1));
    let mut levels: Vec<f64> = ends.iter().map(|((_, level), _)| *level).collect();
    for index in 1..levels.len() {
        levels[index] = levels[index].max(levels[index - 1] + END_LABEL);
    }
    // Labels that were pushed out at the bottom move up again.
    let mut limit = frame.bottom + 4.0;
    for level in levels.iter_mut().rev() {
        *level = level.min(limit);
        limit = *level - END_LABEL;
    }
    for (((across, end), (look, name)), level) in ends.into_iter().zip(levels) {
        // Within the panel, the connecting line would cross other lines.
        let start = (across.max(frame.right) + 3.0, end);
        canvas.line(start, (frame.right + 12.0, level), look.color(), 1.0);
        canvas.mark((frame.right + 17.0, level), look, 4.0);
        canvas.text(name, (frame.right + 26.0, level), Anchor::Left, LABEL);
    }
}

/// Room that these labels need.
pub(super) fn end_labels_width(entries: &[KeyEntry<'_>]) -> f64 {
    widest(entries.iter().map(|(_, name)| name), LABEL) + 32.0
}
