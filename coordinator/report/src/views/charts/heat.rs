//! The map of lambda and subset size: the gain over no function norm, or the accuracy where there is nothing to compare with.

use std::collections::BTreeSet;

use swfn_shared::{axes, grid::Selection, numbers::short};

use super::{
    facets::chosen,
    figure::{Content, Study},
    pen::{Anchor, Drawn, Font, Frame, NORMAL, Pen, SMALL, STRONG, fitted, picture, widest},
    theme::{Role, Theme, diverging, sequential},
};
use crate::{
    numbers::{
        cell::{Cell, over_lambda, without},
        statistics::Estimate,
    },
    phrases::rounding::{decimal, signed},
};

struct Field {
    column: usize,
    row: usize,
    /// Percent.
    accuracy: f64,
    /// Percentage points, over the same seeds without the function norm.
    gain: Option<f64>,
}

struct Map {
    title: String,
    fields: Vec<Field>,
}

struct Maps {
    /// Before each accuracy: a picture may be shown without its caption, and must not flatter in silence.
    mark: &'static str,
    lambdas: Vec<f64>,
    /// From the largest down.
    sizes: Vec<u32>,
    maps: Vec<Map>,
}

/// Maps beside each other, and above each other.
const MAPS: usize = 8;
const LAMBDAS: usize = 10;
const SIZES: usize = 10;

pub(super) fn heat(study: &Study<'_>) -> Content {
    let cells = || {
        study
            .cells()
            .iter()
            .filter(|cell| cell.spec.penalty.is_some() && !cell.accuracies.is_empty())
    };
    let sizes: BTreeSet<u32> = cells().map(|cell| cell.subset_size).collect();
    let mut lambdas: Vec<f64> = cells().map(|cell| cell.spec.lambda()).collect();
    lambdas.sort_by(f64::total_cmp);
    lambdas.dedup();
    if sizes.len() < 2 || lambdas.len() < 2 {
        return Content::Missing(
            "it takes results of two subset sizes and two values of λ above zero".to_owned(),
        );
    }
    let mut note = String::new();
    let lambdas = chosen(lambdas, LAMBDAS, "values of λ", &mut note);
    let sizes = chosen(sizes.into_iter().rev().collect(), SIZES, "subset sizes", &mut note);
    let mut maps: Vec<(_, Map)> = Vec::new();
    for cell in cells() {
        let column = lambdas.iter().position(|lambda| *lambda == cell.spec.lambda());
        let row = sizes.iter().position(|size| *size == cell.subset_size);
        let (Some(column), Some(row), Some(estimate)) =
            (column, row, mean(cell.accuracies.values().copied()))
        else {
            continue;
        };
        let mut key = over_lambda(&cell.spec);
        key.subset_size = 1;
        let place = maps.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
            let others = study.treatment(cell).regulariser.with(axes::LAMBDA, 0.0);
            let variant = &study.treatment(cell).variant;
            let title = match (others.parts(), variant.is_empty()) {
                (0, true) => cell.network.to_string(),
                (0, false) => format!("{}, {variant}", cell.network),
                (_, true) => format!("{} + {others}", cell.network),
                (_, false) => format!("{} + {others}, {variant}", cell.network),
            };
            maps.push((key, Map { title, fields: Vec::new() }));
            maps.len() - 1
        });
        maps[place].1.fields.push(Field {
            column,
            row,
            accuracy: 100.0 * estimate,
            gain: gain(study, cell),
        });
    }
    let maps = maps.into_iter().map(|(_, map)| map).collect();
    let mark = if study.summary.selection == Selection::Best { "best " } else { "" };
    let maps = Maps { mark, lambdas, sizes, maps: chosen(maps, MAPS, "maps", &mut note) };
    Content::Drawing { draw: Box::new(move |theme| maps.draw(theme)), note }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    Estimate::of(&values.collect::<Vec<_>>()).map(|estimate| estimate.mean)
}

fn gain(study: &Study<'_>, cell: &Cell) -> Option<f64> {
    let none = study.summary.cell(without(&cell.spec).cell())?;
    let pairs = cell
        .accuracies
        .iter()
        .filter_map(|(seed, with)| Some(100.0 * (with - none.accuracies.get(seed)?)));
    mean(pairs)
}

const CELL_HEIGHT: f64 = 40.0;
const ABOVE: f64 = 26.0;
const BELOW: f64 = 44.0;
const GAP: f64 = 22.0;
const LEFT: f64 = 26.0;
const LARGE: Font = Font { size: 12.5, bold: true };
const LITTLE: Font = Font { size: 10.5, bold: false };

impl Maps {
    fn draw(&self, theme: Theme) -> Drawn<String> {
        let cell_width: f64 = if self.lambdas.len() > 6 { 58.0 } else { 72.0 };
        let size_texts: Vec<String> = self.sizes.iter().map(u32::to_string).collect();
        let numbers = widest(size_texts.iter().map(String::as_str), SMALL)? + 12.0;
        let columns = self.maps.len().min(if self.lambdas.len() > 5 { 1 } else { 2 });
        let rows = self.maps.len().div_ceil(columns);
        let map_width = cell_width * self.lambdas.len() as f64;
        let map_height = CELL_HEIGHT * self.sizes.len() as f64;
        let width = LEFT + columns as f64 * (numbers + map_width + GAP);
        let height = rows as f64 * (ABOVE + map_height + BELOW);
        let gains = self.maps.iter().flat_map(|map| &map.fields).filter_map(|field| field.gain);
        let strongest = gains.fold(0.0, |strongest: f64, gain| strongest.max(gain.abs())).max(0.1);
        picture(width, height, theme, |pen| {
            for (index, map) in self.maps.iter().enumerate() {
                let (row, column) = (index / columns, index % columns);
                let left = LEFT + numbers + column as f64 * (map_width + numbers + GAP);
                let top = ABOVE + row as f64 * (ABOVE + map_height + BELOW);
                let frame = Frame { left, top, right: left + map_width, bottom: top + map_height };
                self.draw_map(pen, map, frame, &size_texts, cell_width, strongest)?;
            }
            let middle = ABOVE + map_height / 2.0;
            (0..rows).try_for_each(|row| {
                let level = middle + row as f64 * (ABOVE + map_height + BELOW);
                pen.text(
                    "training images",
                    (LEFT / 2.0 + 2.0, level),
                    Anchor::Upwards,
                    NORMAL,
                    Role::Ink,
                )
            })
        })
    }

    fn draw_map(
        &self,
        pen: &Pen<'_>,
        map: &Map,
        frame: Frame,
        sizes: &[String],
        width: f64,
        strongest: f64,
    ) -> Drawn {
        let title = fitted(&map.title, STRONG, frame.width())?;
        pen.text(&title, (frame.left, frame.top - 13.0), Anchor::Left, STRONG, Role::Ink)?;
        for (row, size) in sizes.iter().enumerate() {
            let level = frame.top + (row as f64 + 0.5) * CELL_HEIGHT;
            pen.text(size, (frame.left - 7.0, level), Anchor::Right, SMALL, Role::Muted)?;
        }
        for (column, lambda) in self.lambdas.iter().enumerate() {
            let across = frame.left + (column as f64 + 0.5) * width;
            pen.text(
                &short(*lambda),
                (across, frame.bottom + 13.0),
                Anchor::Middle,
                SMALL,
                Role::Muted,
            )?;
        }
        let middle = (frame.left + frame.right) / 2.0;
        pen.text("weight λ", (middle, frame.bottom + 31.0), Anchor::Middle, NORMAL, Role::Ink)?;
        let accuracies = || map.fields.iter().map(|field| field.accuracy);
        let (low, high) =
            (accuracies().fold(f64::INFINITY, f64::min), accuracies().fold(0.0, f64::max));
        for field in &map.fields {
            let left = frame.left + field.column as f64 * width;
            let top = frame.top + field.row as f64 * CELL_HEIGHT;
            let (middle, level) = (left + width / 2.0, top + CELL_HEIGHT / 2.0);
            let (ground, ink) = match field.gain {
                Some(gain) => diverging(gain / strongest),
                None => sequential((field.accuracy - low) / (high - low).max(1e-9)),
            };
            let (right, bottom) = (left + width - 2.0, top + CELL_HEIGHT - 2.0);
            pen.field(Frame { left, top, right, bottom }, ground)?;
            let accuracy = format!("{}{} %", self.mark, decimal(field.accuracy, 1));
            match field.gain {
                Some(gain) => {
                    pen.ink(
                        &signed(gain, 2),
                        (middle - 1.0, level - 7.5),
                        Anchor::Middle,
                        LARGE,
                        ink,
                    )?;
                    pen.ink(&accuracy, (middle - 1.0, level + 8.0), Anchor::Middle, LITTLE, ink)?;
                }
                None => pen.ink(&accuracy, (middle - 1.0, level), Anchor::Middle, LARGE, ink)?,
            }
        }
        Ok(())
    }
}
