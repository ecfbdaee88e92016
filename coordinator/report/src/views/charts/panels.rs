//! Small multiples: rows and columns of panels under one key, each with a frame for its data, axes, grid lines and a title.

use std::ops::RangeInclusive;

use super::{
    axis::Axis,
    palette::Look,
    pen::{Anchor, Drawn, Font, Frame, NORMAL, Pen, Place, SMALL, STRONG, fitted, widest, width},
    theme::Role,
};

/// Panels beside each other, and above each other.
pub(super) const COLUMNS: usize = 4;
pub(super) const ROWS: usize = 4;

/// How a chart is laid out.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Height of the data of a panel.
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
    /// Width of the data of a panel.
    fn panel_width(&self) -> f64 {
        match self.columns {
            1 => 460.0,
            2 => 310.0,
            3 => 250.0,
            _ => 205.0,
        }
    }

    pub(super) fn width(&self) -> f64 {
        let columns = self.columns as f64;
        LEFT + self.numbers
            + columns * (self.panel_width() + self.beside)
            + (columns - 1.0) * GAP
            + EDGE
    }

    pub(super) fn total_height(&self) -> f64 {
        self.above
            + self.rows as f64 * (TITLE + self.height)
            + (self.rows - 1) as f64 * BELOW * 0.6
            + BELOW
    }

    /// The frame of the data of a panel.
    pub(super) fn frame(&self, row: usize, column: usize) -> Frame {
        let left = LEFT + self.numbers + column as f64 * (self.panel_width() + self.beside + GAP);
        let top = self.above + TITLE + row as f64 * (TITLE + self.height + BELOW * 0.6);
        Frame { left, top, right: left + self.panel_width(), bottom: top + self.height }
    }
}

/// The place of a point in a panel.
pub(super) fn place(frame: Frame, x: &Axis, y: &Axis, (across, up): (f64, f64)) -> Place {
    let level = frame.bottom - y.share(up).clamp(0.0, 1.0) * frame.height();
    (frame.left + x.share(across).clamp(0.0, 1.0) * frame.width(), level)
}

/// What of the axes a panel shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) y_numbers: bool,
    pub(super) x_title: bool,
}

/// Grid lines, numbers and titles of a panel.
pub(super) fn axes(
    pen: &Pen<'_>,
    frame: Frame,
    title: &str,
    x: &Axis,
    y: &Axis,
    shown: Shown,
) -> Drawn {
    let title = fitted(title, STRONG, frame.width())?;
    pen.text(&title, (frame.left, frame.top - 13.0), Anchor::Left, STRONG, Role::Ink)?;
    for (share, text) in &y.ticks {
        let level = frame.bottom - share * frame.height();
        pen.line((frame.left, level), (frame.right, level), Role::Grid, 1.0)?;
        if shown.y_numbers {
            pen.text(text, (frame.left - 7.0, level), Anchor::Right, SMALL, Role::Muted)?;
        }
    }
    let mut x = x.clone();
    let widths: Vec<f64> =
        x.ticks.iter().map(|(_, text)| width(text, SMALL)).collect::<Drawn<_>>()?;
    let room: std::collections::HashMap<String, f64> =
        x.ticks.iter().map(|(_, text)| text.clone()).zip(widths).collect();
    x.thin(|text| (room.get(text).copied().unwrap_or(0.0) + 4.0) / frame.width());
    for (share, text) in &x.ticks {
        let across = frame.left + share * frame.width();
        pen.line((across, frame.bottom), (across, frame.bottom + 4.0), Role::Muted, 1.0)?;
        pen.text(text, (across, frame.bottom + 14.0), Anchor::Middle, SMALL, Role::Muted)?;
    }
    pen.line((frame.left, frame.bottom), (frame.right, frame.bottom), Role::Muted, 1.0)?;
    if shown.x_title {
        let middle = (frame.left + frame.right) / 2.0;
        pen.text(&x.title, (middle, frame.bottom + 34.0), Anchor::Middle, NORMAL, Role::Ink)?;
    }
    Ok(())
}

/// The title of the vertical axis of some rows.
pub(super) fn y_title(
    pen: &Pen<'_>,
    layout: &Layout,
    title: &str,
    rows: RangeInclusive<usize>,
) -> Drawn {
    let (top, bottom) = (layout.frame(*rows.start(), 0).top, layout.frame(*rows.end(), 0).bottom);
    let title = fitted(title, NORMAL, bottom - top + TITLE)?;
    pen.text(&title, (LEFT / 2.0 + 2.0, (top + bottom) / 2.0), Anchor::Upwards, NORMAL, Role::Ink)
}

/// Height of a line of the key.
const KEY_LINE: f64 = 20.0;

/// What is in the key: shape and colour, and the name.
pub(super) type KeyEntry<'k> = (Look, &'k str);

/// The lines into which the key is broken: for each entry its place.
fn key_places(entries: &[KeyEntry<'_>], room: f64) -> Drawn<Vec<Place>> {
    let (mut across, mut line) = (LEFT, 0.0);
    let mut places = Vec::new();
    for (_, name) in entries {
        let needed = width(name, SMALL)? + 44.0;
        if across + needed > room && across > LEFT {
            (across, line) = (LEFT, line + 1.0);
        }
        places.push((across, 16.0 + line * KEY_LINE));
        across += needed;
    }
    Ok(places)
}

/// Height that the key takes.
pub(super) fn key_height(entries: &[KeyEntry<'_>], room: f64) -> Drawn<f64> {
    Ok(key_places(entries, room)?.last().map_or(0.0, |(_, y)| y + KEY_LINE / 2.0))
}

/// Draws the key at the top.
pub(super) fn key(pen: &Pen<'_>, entries: &[KeyEntry<'_>], room: f64) -> Drawn {
    for ((look, name), (x, y)) in entries.iter().zip(key_places(entries, room)?) {
        pen.line((x, y), (x + 20.0, y), look.color(), 2.0)?;
        pen.mark((x + 10.0, y), look.mark, look.color(), 4.0)?;
        pen.text(name, (x + 26.0, y), Anchor::Left, SMALL, Role::Ink)?;
    }
    Ok(())
}

/// Labels at the right of a panel, at the ends of their lines, but never on top of each other.
pub(super) fn end_labels(pen: &Pen<'_>, frame: Frame, mut ends: Vec<(Place, Look, &str)>) -> Drawn {
    const STEP: f64 = 15.0;
    const FONT: Font = SMALL;
    ends.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
    let mut levels: Vec<f64> = ends.iter().map(|((_, level), ..)| *level).collect();
    for index in 1..levels.len() {
        levels[index] = levels[index].max(levels[index - 1] + STEP);
    }
    // What was pushed out at the bottom moves up again.
    let mut limit = frame.bottom + 4.0;
    for level in levels.iter_mut().rev() {
        *level = level.min(limit);
        limit = *level - STEP;
    }
    for ((end, look, name), level) in ends.iter().zip(&levels) {
        let color = look.color();
        // From the edge: within the panel it would cross other lines.
        pen.line((end.0.max(frame.right) + 3.0, end.1), (frame.right + 12.0, *level), color, 1.0)?;
        pen.mark((frame.right + 17.0, *level), look.mark, color, 4.0)?;
        pen.text(name, (frame.right + 26.0, *level), Anchor::Left, FONT, Role::Ink)?;
    }
    Ok(())
}

/// Room that these labels need.
pub(super) fn end_labels_width(names: &[&str]) -> Drawn<f64> {
    Ok(widest(names.iter().copied(), SMALL)? + 32.0)
}
