//! The tables of a grid file that name points: `[grid]`, `[[zip]]`, `[[include]]` and `[[exclude]]`.

use std::collections::HashSet;

use super::{
    axis::{Axis, AxisName, AxisValue, Bounds, read_conditions},
    cells::trial_key,
    error::Problem,
    expand::{Block, Dimension, Exclude},
    findings::{Findings, missing},
    reader::{Item, Table},
};
use crate::{quote::quote, trial::Density};

/// The grid itself, then one block for each include; nothing where an axis is missing or wrong.
pub(super) fn read_blocks(
    mut grid: Table<'_>,
    zips: Option<Item<'_>>,
    includes: Option<Item<'_>>,
    bounds: &Bounds,
) -> Option<Vec<Block>> {
    let (offset, findings) = (grid.offset, grid.findings);
    let Axes { axes, mut named, mut whole } = read_axes(&mut grid, bounds, Repeats::Refused);
    grid.finish();
    let mut dimensions: Vec<Dimension> = axes.into_iter().map(|axis| Dimension::new(vec![axis])).collect();
    for table in tables_of(zips) {
        let Some(zip) = read_zip(table, bounds, &mut named) else {
            whole = false;
            continue;
        };
        if let Some(axis) = zip.axes().iter().find(|axis| dimensions.iter().any(|has| has.has(axis.name))) {
            let problem =
                format!("axis `{}` of this [[zip]] stands in [grid] or in another [[zip]] too", axis.name.name());
            findings.add(Problem::at(axis.offset, problem, "remove one of them"));
        }
        dimensions.push(zip);
    }
    for name in AxisName::ALL.into_iter().filter(|name| !named.contains(name)) {
        match default_value(name) {
            Some(value) => dimensions.push(Dimension::new(vec![Axis::single(name, value)])),
            None => {
                let hint = format!("add for example `{} = {}`", name.name(), name.example());
                findings.add(Problem::at(offset, missing(name.name(), "[grid]"), hint));
                whole = false;
            }
        }
    }

    let main = Block::new(offset, dimensions);
    let mut blocks = vec![main.clone()];
    // Also where the grid is not whole: includes have mistakes of their own.
    let includes = tables_of(includes).into_iter().map(|table| read_include(table, &main, bounds));
    blocks.extend(includes.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?);
    whole.then_some(blocks)
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
pub(super) fn tables_of<'t>(item: Option<Item<'t>>) -> Vec<Table<'t>> {
    item.map_or_else(Vec::new, |item| item.tables())
}

/// Whether a value may stand twice on an axis.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Refused,
    /// Beside values of other axes, with which it advances.
    Allowed,
}

/// The axes of a table.
struct Axes {
    axes: Vec<Axis>,
    /// Those that it names, rightly or not.
    named: Vec<AxisName>,
    /// Whether all of them could be read.
    whole: bool,
}

fn read_axes(table: &mut Table<'_>, bounds: &Bounds, repeats: Repeats) -> Axes {
    let (mut axes, mut named) = (Vec::new(), Vec::new());
    for name in AxisName::ALL {
        let Some(item) = table.take(name.name()) else { continue };
        named.push(name);
        let Some(axis) = Axis::read(name, &item, bounds) else { continue };
        if repeats == Repeats::Refused {
            table.findings.keep(axis.refuse_repeats(&item));
        }
        axes.push(axis);
    }
    let whole = axes.len() == named.len();
    Axes { axes, named, whole }
}

/// Adds the axes that it names to those that are known.
fn read_zip(mut table: Table<'_>, bounds: &Bounds, known: &mut Vec<AxisName>) -> Option<Dimension> {
    let (offset, findings) = (table.offset, table.findings);
    let Axes { axes, named, whole } = read_axes(&mut table, bounds, Repeats::Allowed);
    table.finish();
    known.extend(&named);
    if named.len() < 2 {
        let hint = "name two axes or more, with lists of one length";
        findings.add(Problem::at(offset, "[[zip]] has fewer than two axes", hint));
        return None;
    }
    if !whole {
        return None;
    }
    findings.keep(check_zip(&axes))?;
    Some(Dimension::new(axes))
}

/// Axes that advance together have as many values each, and no combination twice.
fn check_zip(axes: &[Axis]) -> Result<(), Problem> {
    let first = &axes[0];
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
    Ok(())
}

/// An include is a grid of its own: axes that it does not name have the values of `[grid]`.
fn read_include(mut table: Table<'_>, main: &Block, bounds: &Bounds) -> Option<Block> {
    let (offset, findings) = (table.offset, table.findings);
    let is_empty = table.is_empty();
    let Axes { axes, named, whole } = read_axes(&mut table, bounds, Repeats::Refused);
    table.finish();
    if is_empty {
        let hint = "give it at least one value, as in `lambda = 1.0`";
        findings.add(Problem::at(offset, "[[include]] names no axis", hint));
    }
    let mut dimensions = Vec::new();
    for dimension in main.dimensions() {
        match dimension.axes().iter().filter(|axis| named.contains(&axis.name)).count() {
            0 => dimensions.push(dimension.clone()),
            all if all == dimension.axes().len() => {}
            _ => {
                let names: Vec<_> = dimension.axes().iter().map(|axis| quote(axis.name.name())).collect();
                let problem = format!("[[include]] names some of the zipped axes {}", names.join(", "));
                findings.add(Problem::at(offset, problem, "name all of them or none"));
            }
        }
    }
    dimensions.extend(axes.into_iter().map(|axis| Dimension::new(vec![axis])));
    (whole && !named.is_empty()).then(|| Block::new(offset, dimensions))
}

pub(super) fn read_exclude(mut table: Table<'_>, bounds: &Bounds) -> Exclude {
    let offset = table.offset;
    if table.is_empty() {
        let hint = "give it a value, as in `architecture = \"lenet\"`";
        table.findings.add(Problem::at(offset, "[[exclude]] names no axis", hint));
    }
    let conditions = read_conditions(&mut table, "[[exclude]]", &AxisName::ALL, bounds);
    table.finish();
    Exclude { offset, conditions }
}

/// Refuses tables that change nothing: whoever wrote them meant something else.
pub(super) fn check_effects(blocks: &[Block], excludes: &[Exclude], findings: &Findings) {
    for exclude in excludes.iter().filter(|exclude| !blocks.iter().any(|block| block.has(&exclude.conditions))) {
        let hint = "its values must stand together in [grid] or in an [[include]]; correct or remove it";
        findings.add(Problem::at(exclude.offset, "[[exclude]] matches no point of the grid", hint));
    }
    if blocks.len() == 1 {
        return;
    }
    let mut seen = HashSet::new();
    for (number, block) in blocks.iter().enumerate() {
        let kept = block.points().filter(|point| !excludes.iter().any(|exclude| exclude.matches(point)));
        let new = kept.filter(|point| seen.insert(trial_key(point))).count();
        if new == 0 && number > 0 {
            let hint = "[grid], or an [[include]] before it, has its points, or an [[exclude]] takes them; remove it";
            findings.add(Problem::at(block.offset, "[[include]] adds nothing to the grid", hint));
        }
    }
}
