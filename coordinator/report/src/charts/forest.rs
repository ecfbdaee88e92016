//! Paired differences with their intervals.

use std::collections::HashMap;

use swfn_shared::grid::Selection;

use super::{
    Content,
    axis::Axis,
    facets::chosen,
    over::selected_accuracy,
    pen::{Anchor, Drawn, Frame, Mark, NORMAL, SMALL, STRONG, fitted, picture, widest},
    theme::{Role, Theme},
};
use crate::rounding::{decimal, signed};

/// One difference, in percentage points.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// What is compared; rows of one group stand together.
    pub(crate) group: String,
    pub(crate) label: String,
    pub(crate) mean: f64,
    pub(crate) half: Option<f64>,
    /// Whether it is told apart from zero.
    pub(crate) decided: bool,
}

/// Rows of one chart.
const ROWS: usize = 80;
const STEP: f64 = 22.0;
const ABOVE: f64 = 30.0;
const BELOW: f64 = 50.0;
const PLOT: f64 = 400.0;
const EDGE: f64 = 14.0;

pub(super) fn forest(differences: &[Difference], selection: Selection) -> Content {
    if differences.is_empty() {
        return Content::Missing("no two cells have results of the same seeds".to_owned());
    }
    let mut note = String::new();
    let mut rows = chosen(differences.to_vec(), ROWS, "differences", &mut note);
    // Groups stand in the order of their first rows, and rows in theirs.
    let mut groups: HashMap<String, usize> = HashMap::new();
    for row in &rows {
        let next = groups.len();
        groups.entry(row.group.clone()).or_insert(next);
    }
    rows.sort_by_key(|row| groups[&row.group]);
    Content::Drawing { draw: Box::new(move |theme| draw(&rows, selection, theme)), note }
}

fn draw(rows: &[Difference], selection: Selection, theme: Theme) -> Drawn<String> {
    let labels = widest(rows.iter().map(|row| row.label.as_str()), SMALL)?.min(420.0);
    let texts: Vec<String> = rows.iter().map(text).collect();
    let numbers = widest(texts.iter().map(String::as_str).chain(["± 95 %, points"]), SMALL)?;
    let left = EDGE + labels + 12.0;
    let width = left + PLOT + 12.0 + numbers + EDGE;
    let new_group = |index: usize| index == 0 || rows[index].group != rows[index - 1].group;
    let groups = (0..rows.len()).filter(|index| new_group(*index)).count();
    let bottom = ABOVE + STEP * (rows.len() + groups) as f64;
    let frame = Frame { left, top: ABOVE, right: left + PLOT, bottom };
    let x = axis(rows);
    let across = |value: f64| frame.left + x.share(value).clamp(0.0, 1.0) * frame.width();
    picture(width, bottom + BELOW, theme, |pen| {
        pen.text("± 95 %, points", (frame.right + 12.0, 15.0), Anchor::Left, SMALL, Role::Muted)?;
        let zero = across(0.0);
        if zero - frame.left > 80.0 {
            pen.text("← worse", (zero - 10.0, 15.0), Anchor::Right, SMALL, Role::Muted)?;
        }
        if frame.right - zero > 80.0 {
            pen.text("better →", (zero + 10.0, 15.0), Anchor::Left, SMALL, Role::Muted)?;
        }
        for (share, text) in &x.ticks {
            let place = frame.left + share * frame.width();
            pen.line((place, frame.top), (place, bottom), Role::Grid, 1.0)?;
            pen.text(text, (place, bottom + 13.0), Anchor::Middle, SMALL, Role::Muted)?;
        }
        pen.line((frame.left, bottom), (frame.right, bottom), Role::Muted, 1.0)?;
        pen.line((across(0.0), frame.top - 6.0), (across(0.0), bottom), Role::Muted, 1.5)?;
        let mut level = ABOVE - STEP / 2.0;
        for (index, (row, text)) in rows.iter().zip(&texts).enumerate() {
            level += STEP;
            if new_group(index) {
                pen.text(&row.group, (EDGE, level), Anchor::Left, STRONG, Role::Ink)?;
                level += STEP;
            }
            let color = match (row.decided, row.mean > 0.0) {
                (false, _) => Role::Series(6),
                (true, true) => Role::Series(0),
                (true, false) => Role::Series(1),
            };
            let shape = if row.decided { Mark(1) } else { Mark(0) };
            let label = fitted(&row.label, SMALL, labels)?;
            pen.text(&label, (frame.left - 12.0, level), Anchor::Right, SMALL, Role::Ink)?;
            if let Some(half) = row.half {
                let (from, to) = (across(row.mean - half), across(row.mean + half));
                pen.line((from, level), (to, level), color, 2.0)?;
                for (end, whole) in [(from, row.mean - half), (to, row.mean + half)] {
                    // An interval that goes beyond the picture has no end there.
                    if (0.0..=1.0).contains(&x.share(whole)) {
                        pen.line((end, level - 4.0), (end, level + 4.0), color, 1.5)?;
                    }
                }
            }
            pen.mark((across(row.mean), level), shape, color, 4.5)?;
            pen.text(text, (frame.right + 12.0, level), Anchor::Left, SMALL, Role::Ink)?;
        }
        let title = format!("difference of {}, percentage points", selected_accuracy(selection));
        pen.text(&title, (frame.left + PLOT / 2.0, bottom + 33.0), Anchor::Middle, NORMAL, Role::Ink)
    })
}

fn text(row: &Difference) -> String {
    match row.half {
        Some(half) => format!("{} ± {}", signed(row.mean, 2), decimal(half, 2)),
        None => signed(row.mean, 2),
    }
}

/// Around all means and zero; an interval may go beyond when it dwarfs all means.
fn axis(rows: &[Difference]) -> Axis {
    let ends = |sign: f64| rows.iter().map(move |row| sign * row.mean + row.half.unwrap_or(0.0)).fold(0.0, f64::max);
    let largest = rows.iter().map(|row| row.mean.abs()).fold(0.1, f64::max);
    let (below, above) = (ends(-1.0).min(4.0 * largest), ends(1.0).min(4.0 * largest));
    let margin = 0.06 * (below + above);
    Axis::linear("", -below - margin.max(0.05), above + margin.max(0.05))
}
