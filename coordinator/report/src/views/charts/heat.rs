//! The map of lambda and subset size: the gain over no function norm, or else the accuracy.

use std::collections::BTreeSet;

use swfn_shared::{axes, grid::Selection, numbers::short};

use super::{
    canvas::{Anchor, Canvas, Frame, LABEL, NUMBER, TextStyle, picture, widest},
    facets::chosen,
    figure::{Content, Study},
    geometry::{ascending, extremes},
    panels::{x_title, y_title},
    theme::{Theme, diverging, sequential},
};
use crate::{
    numbers::cell::{Cell, over_lambda},
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
    /// Stands before each accuracy, since a picture without its caption must not flatter.
    mark: &'static str,
    lambdas: Vec<f64>,
    /// From the largest down.
    sizes: Vec<u32>,
    maps: Vec<Map>,
}

/// The most maps of a chart.
const MAPS: usize = 8;
const LAMBDAS: usize = 10;
const SIZES: usize = 10;

pub(super) fn heat(study: &Study<'_>) -> Content {
    let cells = || study.cells().filter(|cell| cell.spec.penalty.is_some());
    let sizes: BTreeSet<u32> = cells().map(|cell| cell.subset_size).collect();
    let lambdas = ascending(cells().map(|cell| cell.spec.lambda()));
    if sizes.len() < 2 || lambdas.len() < 2 {
        let needed = "it takes results of two subset sizes and two values of λ above zero";
        return Content::Missing(needed.to_owned());
    }
    let mut note = String::new();
    let lambdas = chosen(lambdas, LAMBDAS, "values of λ", &mut note);
    let sizes = chosen(sizes.into_iter().rev().collect(), SIZES, "subset sizes", &mut note);
    let mut maps: Vec<(_, Map)> = Vec::new();
    for cell in cells() {
        let column = lambdas.iter().position(|lambda| *lambda == cell.spec.lambda());
        let row = sizes.iter().position(|size| *size == cell.subset_size);
        let (Some(column), Some(row), Some(estimate)) = (column, row, cell.test_accuracy) else {
            continue;
        };
        let mut key = over_lambda(&cell.spec);
        key.subset_size = 1;
        let place = maps.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
            maps.push((key, Map { title: title(study, cell), fields: Vec::new() }));
            maps.len() - 1
        });
        let accuracy = 100.0 * estimate.mean;
        let gain = cell.gain_over_none.map(|gain| 100.0 * gain.mean);
        maps[place].1.fields.push(Field { column, row, accuracy, gain });
    }
    let maps = maps.into_iter().map(|(_, map)| map).collect();
    let mark = if study.summary.selection == Selection::Best { "best " } else { "" };
    let maps = Maps { mark, lambdas, sizes, maps: chosen(maps, MAPS, "maps", &mut note) };
    Content::Drawing { draw: Box::new(move |theme| maps.draw(theme)), note }
}

/// Network, other regularisers and variant.
fn title(study: &Study<'_>, cell: &Cell) -> String {
    let others = study.treatment(cell).regulariser.with(axes::LAMBDA, 0.0);
    let mut title = cell.network.to_string();
    if others.parts() > 0 {
        title += &format!(" + {others}");
    }
    [vec![title], cell.variant.clone()].concat().join(", ")
}

const CELL_HEIGHT: f64 = 40.0;
const ABOVE: f64 = 26.0;
const BELOW: f64 = 44.0;
const GAP: f64 = 22.0;
const LEFT: f64 = 26.0;

impl Maps {
    fn draw(&self, theme: Theme) -> String {
        let cell_width: f64 = if self.lambdas.len() > 6 { 58.0 } else { 72.0 };
        let numbers = widest(self.sizes.iter().map(u32::to_string), NUMBER) + 12.0;
        let columns = self.maps.len().min(if self.lambdas.len() > 5 { 1 } else { 2 });
        let map_width = cell_width * self.lambdas.len() as f64;
        let map_height = CELL_HEIGHT * self.sizes.len() as f64;
        let frame = |index: usize| {
            let (row, column) = ((index / columns) as f64, (index % columns) as f64);
            let left = LEFT + numbers + column * (map_width + numbers + GAP);
            let top = ABOVE + row * (ABOVE + map_height + BELOW);
            Frame { left, top, right: left + map_width, bottom: top + map_height }
        };
        let width = LEFT + columns as f64 * (numbers + map_width + GAP);
        let height = frame(self.maps.len() - 1).bottom + BELOW;
        let gains = self.maps.iter().flat_map(|map| &map.fields).filter_map(|field| field.gain);
        let strongest = gains.fold(0.1, |strongest: f64, gain| strongest.max(gain.abs()));
        picture(width, height, theme, |canvas| {
            for (index, map) in self.maps.iter().enumerate() {
                self.draw_map(canvas, map, frame(index), strongest);
                x_title(canvas, frame(index), "weight λ", width);
                if index % columns == 0 {
                    y_title(canvas, frame(index), "training images");
                }
            }
        })
    }

    fn draw_map(&self, canvas: &mut Canvas, map: &Map, frame: Frame, strongest: f64) {
        let cell_width = frame.width() / self.lambdas.len() as f64;
        canvas.title(&map.title, frame);
        for (row, size) in self.sizes.iter().enumerate() {
            let level = frame.top + (row as f64 + 0.5) * CELL_HEIGHT;
            canvas.text(&size.to_string(), (frame.left - 7.0, level), Anchor::Right, NUMBER);
        }
        for (column, lambda) in self.lambdas.iter().enumerate() {
            let across = frame.left + (column as f64 + 0.5) * cell_width;
            canvas.text(&short(*lambda), (across, frame.bottom + 13.0), Anchor::Middle, NUMBER);
        }
        let (low, high) = extremes(map.fields.iter().map(|field| field.accuracy));
        for field in &map.fields {
            let left = frame.left + field.column as f64 * cell_width;
            let top = frame.top + field.row as f64 * CELL_HEIGHT;
            let (right, bottom) = (left + cell_width - 2.0, top + CELL_HEIGHT - 2.0);
            let rectangle = Frame { left, top, right, bottom };
            let (ground, ink) = match field.gain {
                Some(gain) => diverging(gain / strongest),
                None => sequential((field.accuracy - low) / (high - low).max(1e-9)),
            };
            canvas.rectangle(rectangle, ground, 1.0);
            let large = TextStyle { size: 12.5, bold: true, color: ink };
            let little = TextStyle { size: 10.5, color: ink, ..LABEL };
            let accuracy = format!("{}{} %", self.mark, decimal(field.accuracy, 1));
            let (middle, level) = rectangle.center();
            match field.gain {
                None => canvas.text(&accuracy, (middle, level), Anchor::Middle, large),
                Some(gain) => {
                    canvas.text(&signed(gain, 2), (middle, level - 7.0), Anchor::Middle, large);
                    canvas.text(&accuracy, (middle, level + 9.0), Anchor::Middle, little);
                }
            }
        }
    }
}
