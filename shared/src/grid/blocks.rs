//! The tables of a grid file that name points: `[grid]`, `[[zip]]`, `[[include]]` and `[[exclude]]`.

use std::collections::HashSet;

use super::{
    axis::{Axis, AxisName, AxisValue, Bounds, read_conditions},
    error::Problem,
    expand::{Block, Dimension, Exclude},
    reader::{Item, Table},
};
use crate::{quote::quote, trial::Density};

/// The grid itself, then one block for each include.
pub(super) fn read_blocks(
    mut grid: Table<'_>,
    zips: Option<Item<'_>>,
    includes: Option<Item<'_>>,
    bounds: &Bounds,
) -> Result<Vec<Block>, Problem> {
    let (grid_offset, axes) = (grid.offset, read_axes(&mut grid, bounds, Repeats::Refused)?);
    grid.finish()?;
    let mut dimensions: Vec<Dimension> = axes.into_iter().map(|axis| Dimension::new(vec![axis])).collect();
    for zip in tables_of(zips)? {
        let zip = read_zip(zip, bounds)?;
        let has_it = |axis: &&Axis| dimensions.iter().any(|dimension| dimension.has(axis.name));
        if let Some(axis) = zip.axes().iter().find(has_it) {
            let problem =
                format!("axis `{}` of this [[zip]] stands in [grid] or in another [[zip]] too", axis.name.name());
            return Err(Problem::at(axis.offset, problem, "remove one of them"));
        }
        dimensions.push(zip);
    }
    for name in AxisName::ALL {
        if !dimensions.iter().any(|dimension| dimension.has(name)) {
            let Some(value) = default_value(name) else {
                let problem = format!("axis `{}` is missing in [grid]", name.name());
                let hint = format!("add for example `{} = {}`", name.name(), name.example());
                return Err(Problem::at(grid_offset, problem, hint));
            };
            dimensions.push(Dimension::new(vec![Axis::single(name, value)]));
        }
    }

    let main = Block::new(dimensions);
    let mut blocks = vec![main.clone()];
    for include in tables_of(includes)? {
        blocks.push(read_include(include, &main, bounds)?);
    }
    Ok(blocks)
}

/// Axes that need not be named; the others have no value that would suit most.
fn default_value(name: AxisName) -> Option<AxisValue> {
    match name {
        AxisName::WeightDecay => Some(AxisValue::Real(0.0)),
        AxisName::LearningRate => Some(AxisValue::Real(0.01)),
        AxisName::Density => Some(AxisValue::Density(Density::Vae)),
        AxisName::PenaltySamples => Some(AxisValue::Whole(20)),
        AxisName::Seed | AxisName::SubsetSize | AxisName::Architecture | AxisName::Lambda => None,
    }
}

/// An array of tables, which may be missing.
pub(super) fn tables_of<'t>(item: Option<Item<'t>>) -> Result<Vec<Table<'t>>, Problem> {
    item.map_or(Ok(Vec::new()), |item| item.tables())
}

/// Whether a value may stand twice on an axis.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Refused,
    /// Beside values of other axes, with which it advances.
    Allowed,
}

fn read_axes(table: &mut Table<'_>, bounds: &Bounds, repeats: Repeats) -> Result<Vec<Axis>, Problem> {
    let mut axes = Vec::new();
    for name in AxisName::ALL {
        if let Some(item) = table.take(name.name()) {
            let axis = Axis::read(name, &item, bounds)?;
            if repeats == Repeats::Refused {
                axis.refuse_repeats(&item)?;
            }
            axes.push(axis);
        }
    }
    Ok(axes)
}

fn read_zip(mut table: Table<'_>, bounds: &Bounds) -> Result<Dimension, Problem> {
    let offset = table.offset;
    let axes = read_axes(&mut table, bounds, Repeats::Allowed)?;
    table.finish()?;
    let [first, _, ..] = &axes[..] else {
        let hint = "name two axes or more, with lists of one length";
        return Err(Problem::at(offset, "[[zip]] has fewer than two axes", hint));
    };
    if let Some(other) = axes.iter().find(|axis| axis.len() != first.len()) {
        let (a, b) = (first, other);
        let problem =
            format!("[[zip]]: axis `{}` has {} values and `{}` has {}", a.name.name(), a.len(), b.name.name(), b.len());
        return Err(Problem::at(b.offset, problem, "axes that advance together have as many values each"));
    }
    let mut seen = HashSet::new();
    let row = |index: &u64| axes.iter().map(|axis| axis.get(*index).bits()).collect::<Vec<_>>();
    // Ranges have no repeats, and may be long.
    let lists = axes.iter().all(Axis::is_list);
    if let Some(twice) = (0..first.len()).filter(|_| lists).find(|index| !seen.insert(row(index))) {
        let values: Vec<_> =
            axes.iter().map(|axis| format!("{} {}", axis.name.name(), axis.get(twice).shown())).collect();
        let problem = format!("[[zip]]: {} stand together twice", values.join(" and "));
        return Err(Problem::at(first.offset, problem, "remove one of the two from each axis"));
    }
    Ok(Dimension::new(axes))
}

/// An include is a grid of its own: axes that it does not name have the values of `[grid]`.
fn read_include(mut table: Table<'_>, main: &Block, bounds: &Bounds) -> Result<Block, Problem> {
    let offset = table.offset;
    let axes = read_axes(&mut table, bounds, Repeats::Refused)?;
    table.finish()?;
    if axes.is_empty() {
        return Err(Problem::at(
            offset,
            "[[include]] names no axis",
            "give it at least one value, as in `lambda = 1.0`",
        ));
    }
    let named = |name| axes.iter().any(|axis| axis.name == name);
    let mut dimensions = Vec::new();
    for dimension in main.dimensions() {
        match dimension.axes().iter().filter(|axis| named(axis.name)).count() {
            0 => dimensions.push(dimension.clone()),
            all if all == dimension.axes().len() => {}
            _ => {
                let names: Vec<_> = dimension.axes().iter().map(|axis| quote(axis.name.name())).collect();
                let problem = format!("[[include]] names some of the zipped axes {}", names.join(", "));
                return Err(Problem::at(offset, problem, "name all of them or none"));
            }
        }
    }
    dimensions.extend(axes.into_iter().map(|axis| Dimension::new(vec![axis])));
    Ok(Block::new(dimensions))
}

pub(super) fn read_exclude(mut table: Table<'_>, bounds: &Bounds) -> Result<Exclude, Problem> {
    let offset = table.offset;
    let conditions = read_conditions(&mut table, "[[exclude]]", &AxisName::ALL, bounds)?;
    table.finish()?;
    if conditions.is_empty() {
        return Err(Problem::at(
            offset,
            "[[exclude]] names no axis",
            "give it a value, as in `architecture = \"lenet\"`",
        ));
    }
    Ok(Exclude { conditions })
}
