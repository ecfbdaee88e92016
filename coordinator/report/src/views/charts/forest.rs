//! Paired differences with their intervals, beside a table of what is compared.

use swfn_shared::grid::Selection;

use super::{
    axis::Axis,
    figure::Content,
    geometry::cap,
    over::selected_accuracy,
    palette::Look,
    pen::{Anchor, Drawn, Font, NORMAL, Pen, SMALL, STRONG, fitted, picture, widest, width},
    theme::{Role, Theme},
};
use crate::phrases::rounding::{decimal, signed};

/// One difference, in percentage points.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// What the grid file calls it; rows of one name stand together.
    pub(crate) name: String,
    pub(crate) size: u32,
    pub(crate) network: String,
    /// What is compared with what.
    pub(crate) treatment: String,
    pub(crate) control: String,
    pub(crate) look: Look,
    pub(crate) mean: f64,
    pub(crate) half: Option<f64>,
    /// Whether it is told apart from zero.
    pub(crate) decided: bool,
}

/// Rows that stand on the first screen of the report, and in any chart.
const FIRST: usize = 20;
const ROWS: usize = 120;
const STEP: f64 = 18.0;
const HEAD: f64 = 26.0;
const BELOW: f64 = 42.0;
const PLOT: f64 = 250.0;
const EDGE: f64 = 6.0;
const GAP: f64 = 14.0;
const BOLD: Font = Font { bold: true, ..SMALL };

/// The rows that tell most: those that are decided, and an even choice of the others.
pub(super) fn first(differences: &[Difference], selection: Selection) -> Content {
    forest(differences, selection, FIRST)
}

/// All rows; nothing if the first chart has them.
pub(super) fn all(differences: &[Difference], selection: Selection) -> Content {
    match differences.len() {
        0..=FIRST => Content::Missing(String::new()),
        _ => forest(differences, selection, ROWS),
    }
}

fn forest(differences: &[Difference], selection: Selection, limit: usize) -> Content {
    if differences.is_empty() {
        return Content::Missing("no two cells have results of the same seeds".to_owned());
    }
    let (rows, note) = telling(differences, limit);
    let forest = Forest::new(rows, selection);
    Content::Drawing { draw: Box::new(move |theme| forest.draw(theme)), note }
}

/// At most so many rows, in their order: decided ones first of all.
fn telling(differences: &[Difference], limit: usize) -> (Vec<Difference>, String) {
    let count = differences.len();
    if count <= limit {
        return (differences.to_vec(), String::new());
    }
    let (decided, open): (Vec<usize>, Vec<usize>) =
        (0..count).partition(|place| differences[*place].decided);
    let mut kept: Vec<usize> = decided.iter().copied().take(limit).collect();
    let room = limit - kept.len();
    kept.extend((0..room).map(|index| open[index * open.len() / room]));
    kept.sort_unstable();
    let note = format!(
        " Shown are {limit} of {count} differences, {} decided ones among them.",
        decided.len().min(limit)
    );
    (kept.into_iter().map(|place| differences[place].clone()).collect(), note)
}

/// A column of texts: its title, and what stands in each row.
struct Column {
    title: &'static str,
    texts: Vec<String>,
}

struct Forest {
    rows: Vec<Difference>,
    columns: Vec<Column>,
    numbers: Vec<String>,
    title: String,
}

impl Forest {
    fn new(mut rows: Vec<Difference>, selection: Selection) -> Self {
        // Rows of one name stand together, where the first of them stood.
        let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
        rows.sort_by_key(|row| names.iter().position(|name| *name == row.name));
        let column = |title, text: fn(&Difference) -> String| Column {
            title,
            texts: rows.iter().map(text).collect(),
        };
        let columns = vec![
            column("n", |row| row.size.to_string()),
            column("network", |row| row.network.clone()),
            column("regulariser", |row| row.treatment.clone()),
            column("over", |row| row.control.clone()),
        ];
        let numbers = rows.iter().map(|row| match row.half {
            Some(half) => format!("{} ± {}", signed(row.mean, 2), decimal(half, 2)),
            None => signed(row.mean, 2),
        });
        let numbers = numbers.collect();
        let what = match selection {
            Selection::Final => String::new(),
            _ => format!(" of {}", selected_accuracy(selection)),
        };
        Self { rows, columns, numbers, title: format!("difference{what}, percentage points") }
    }

    /// Whether a row begins a new name.
    fn begins(&self, row: usize) -> bool {
        row == 0 || self.rows[row].name != self.rows[row - 1].name
    }

    /// The rows of each name, with the level of the first one.
    fn blocks(&self) -> Vec<(std::ops::Range<usize>, f64)> {
        let mut blocks: Vec<(std::ops::Range<usize>, f64)> = Vec::new();
        let mut level = HEAD;
        for row in 0..self.rows.len() {
            if self.begins(row) {
                level += if self.rows[row].name.is_empty() { 0.0 } else { STEP };
                blocks.push((row..row, level));
            }
            level += STEP;
            if let Some((rows, _)) = blocks.last_mut() {
                rows.end = row + 1;
            }
        }
        blocks
    }

    fn draw(&self, theme: Theme) -> Drawn<String> {
        const WIDEST: f64 = 190.0;
        let mut lefts = vec![EDGE];
        for column in &self.columns {
            let texts = column.texts.iter().map(String::as_str).chain([column.title]);
            lefts.push(lefts[lefts.len() - 1] + widest(texts, SMALL)?.min(WIDEST) + GAP);
        }
        let left = lefts[lefts.len() - 1] + 4.0;
        let right = left + PLOT;
        let numbers = right + 10.0;
        let total = numbers
            + widest(self.numbers.iter().map(String::as_str).chain(["± 95 %"]), BOLD)?
            + EDGE;
        let blocks = self.blocks();
        let bottom = blocks.last().map_or(HEAD, |(rows, level)| level + STEP * rows.len() as f64);
        let x = axis(&self.rows);
        let across = |value: f64| left + x.share(value).clamp(0.0, 1.0) * PLOT;
        picture(total, bottom + BELOW, theme, |pen| {
            for (column, left) in self.columns.iter().zip(&lefts) {
                pen.text(column.title, (*left, 12.0), Anchor::Left, SMALL, Role::Muted)?;
            }
            pen.text("± 95 %", (numbers, 12.0), Anchor::Left, SMALL, Role::Muted)?;
            directions(pen, across(0.0), left, right)?;
            for (rows, top) in &blocks {
                let end = top + STEP * rows.len() as f64;
                let name = &self.rows[rows.start].name;
                let name = fitted(name, STRONG, total - 2.0 * EDGE)?;
                pen.text(&name, (EDGE, top - STEP / 2.0), Anchor::Left, STRONG, Role::Ink)?;
                for (share, _) in &x.ticks {
                    let place = left + share * PLOT;
                    pen.line((place, *top), (place, end), Role::Grid, 1.0)?;
                }
                pen.line((across(0.0), *top), (across(0.0), end), Role::Muted, 1.2)?;
                for row in rows.clone() {
                    let level = top + (row - rows.start) as f64 * STEP + STEP / 2.0;
                    self.draw_row(pen, row, level, &x, (left, right))?;
                    for (column, left) in self.columns.iter().zip(&lefts) {
                        let text = fitted(&column.texts[row], SMALL, WIDEST)?;
                        pen.text(&text, (*left, level), Anchor::Left, SMALL, Role::Ink)?;
                    }
                    let font = if self.rows[row].decided { BOLD } else { SMALL };
                    pen.text(&self.numbers[row], (numbers, level), Anchor::Left, font, Role::Ink)?;
                }
            }
            pen.line((left, bottom), (right, bottom), Role::Muted, 1.0)?;
            let mut x = x.clone();
            let widths: Vec<f64> =
                x.ticks.iter().map(|(_, text)| width(text, SMALL)).collect::<Drawn<_>>()?;
            let most = widths.into_iter().fold(0.0, f64::max);
            x.thin(|_| (most + 6.0) / PLOT);
            for (share, text) in &x.ticks {
                pen.text(
                    text,
                    (left + share * PLOT, bottom + 12.0),
                    Anchor::Middle,
                    SMALL,
                    Role::Muted,
                )?;
            }
            let middle =
                ((left + right) / 2.0).min(total - EDGE - width(&self.title, NORMAL)? / 2.0);
            pen.text(&self.title, (middle, bottom + 30.0), Anchor::Middle, NORMAL, Role::Ink)
        })
    }

    fn draw_row(
        &self,
        pen: &Pen<'_>,
        row: usize,
        level: f64,
        x: &Axis,
        (left, right): (f64, f64),
    ) -> Drawn {
        let Difference { mean, half, look, decided, .. } = &self.rows[row];
        let across = |value: f64| left + x.share(value).clamp(0.0, 1.0) * (right - left);
        let color = look.color();
        let ends = half.map(|half| (mean - half, mean + half));
        if let Some((from, to)) = ends {
            pen.line(
                (across(from), level),
                (across(to), level),
                color,
                if *decided { 2.6 } else { 1.5 },
            )?;
        }
        match decided {
            true => pen.mark((across(*mean), level), look.mark, color, 4.2)?,
            false => pen.hollow((across(*mean), level), look.mark, color, 4.2)?,
        }
        // The ends of a short interval stand before the mark.
        for (value, outwards) in ends.into_iter().flat_map(|(from, to)| [(from, -1.0), (to, 1.0)]) {
            let end = across(value);
            match (0.0..=1.0).contains(&x.share(value)) {
                true => pen.line((end, level - 5.5), (end, level + 5.5), color, 1.5)?,
                // An interval that goes beyond the picture ends in an arrow.
                false => pen.area(
                    &[
                        (end, level),
                        (end - 6.0 * outwards, level - 3.5),
                        (end - 6.0 * outwards, level + 3.5),
                    ],
                    color,
                    1.0,
                )?,
            }
        }
        Ok(())
    }
}

/// Which side is which, where there is room.
fn directions(pen: &Pen<'_>, zero: f64, left: f64, right: f64) -> Drawn {
    if zero - left > 54.0 {
        pen.text("← worse", (zero - 8.0, 12.0), Anchor::Right, SMALL, Role::Muted)?;
    }
    if right - zero > 54.0 {
        pen.text("better →", (zero + 8.0, 12.0), Anchor::Left, SMALL, Role::Muted)?;
    }
    Ok(())
}

/// Around zero, all means and all intervals but those that dwarf the others.
fn axis(rows: &[Difference]) -> Axis {
    let estimates: Vec<(f64, Option<f64>)> =
        rows.iter().map(|row| (row.mean, row.half)).chain([(0.0, None)]).collect();
    let cap = cap(&estimates);
    let ends = |sign: f64| {
        rows.iter()
            .map(move |row| sign * row.mean + row.half.unwrap_or(0.0).min(cap))
            .fold(0.0, f64::max)
    };
    let (below, above) = (ends(-1.0), ends(1.0));
    let margin = (0.06 * (below + above)).max(0.05);
    Axis::linear("", -below - margin, above + margin)
}
