//! The tables of a grid file that name points: `[grid]`, `[[zip]]`, `[[include]]` and `[[exclude]]`.

use std::collections::HashSet;

use super::{
    axis::{Bounds, Span, read_conditions},
    cells::trial_key,
    error::Problem,
    expand::{Block, Dimension, Exclude},
    findings::{Findings, missing},
    reader::{Item, Table},
};
use crate::{axes::Axis, quote::quote};

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
    let mut dimensions: Vec<Dimension> =
        axes.into_iter().map(|axis| Dimension::new(vec![axis])).collect();
    for table in tables_of(zips) {
        let Some(zip) = read_zip(table, bounds, &mut named) else {
            whole = false;
            continue;
        };
        if let Some(span) =
            zip.axes().iter().find(|span| dimensions.iter().any(|has| has.has(span.axis)))
        {
            let problem = format!(
                "axis `{}` of this [[zip]] stands in [grid] or in another [[zip]] too",
                span.axis.name
            );
            findings.add(Problem::at(span.offset, problem, "remove one of them"));
        }
        dimensions.push(zip);
    }
    for axis in Axis::of_grid().iter().filter(|axis| !named.contains(axis)) {
        match axis.default {
            Some(value) => dimensions.push(Dimension::new(vec![Span::single(*axis, value)])),
            None => {
                let hint = format!("add for example `{} = {}`", axis.name, axis.example);
                findings.add(Problem::at(offset, missing(axis.name, "[grid]"), hint));
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
    axes: Vec<Span>,
    /// Those that it names, rightly or not.
    named: Vec<Axis>,
    /// Whether all of them could be read.
    whole: bool,
}

fn read_axes(table: &mut Table<'_>, bounds: &Bounds, repeats: Repeats) -> Axes {
    let (mut axes, mut named) = (Vec::new(), Vec::new());
    for axis in Axis::of_grid() {
        let Some(item) = table.take(axis.name) else { continue };
        named.push(*axis);
        let Some(span) = Span::read(*axis, &item, bounds) else { continue };
        if repeats == Repeats::Refused {
            table.findings.keep(span.refuse_repeats(&item));
        }
        axes.push(span);
    }
    let whole = axes.len() == named.len();
    Axes { axes, named, whole }
}

/// Adds the axes that it names to those that are known.
fn read_zip(mut table: Table<'_>, bounds: &Bounds, known: &mut Vec<Axis>) -> Option<Dimension> {
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
fn check_zip(axes: &[Span]) -> Result<(), Problem> {
    let first = &axes[0];
    if let Some(other) = axes.iter().find(|axis| axis.len() != first.len()) {
        let (a, b) = (first, other);
        let problem = format!(
            "[[zip]]: axis `{}` has {} values and `{}` has {}",
            a.axis.name,
            a.len(),
            b.axis.name,
            b.len()
        );
        return Err(Problem::at(
            b.offset,
            problem,
            "axes that advance together have as many values each",
        ));
    }
    let mut seen = HashSet::new();
    let row = |index: &u64| axes.iter().map(|axis| axis.get(*index)).collect::<Vec<_>>();
    // Ranges have no repeats, and may be long.
    let lists = axes.iter().all(Span::is_list);
    if let Some(twice) = (0..first.len()).filter(|_| lists).find(|index| !seen.insert(row(index))) {
        let values: Vec<_> = axes
            .iter()
            .map(|axis| format!("{} {}", axis.axis.name, axis.get(twice).quoted()))
            .collect();
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
        match dimension.axes().iter().filter(|span| named.contains(&span.axis)).count() {
            0 => dimensions.push(dimension.clone()),
            all if all == dimension.axes().len() => {}
            _ => {
                let names: Vec<_> =
                    dimension.axes().iter().map(|span| quote(span.axis.name)).collect();
                let problem =
                    format!("[[include]] names some of the zipped axes {}", names.join(", "));
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
    let conditions = read_conditions(&mut table, "[[exclude]]", Axis::of_grid(), bounds);
    table.finish();
    Exclude { offset, conditions }
}

/// Refuses tables that change nothing: whoever wrote them meant something else.
pub(super) fn check_effects(blocks: &[Block], excludes: &[Exclude], findings: &Findings) {
    for exclude in
        excludes.iter().filter(|exclude| !blocks.iter().any(|block| block.has(&exclude.conditions)))
    {
        let hint =
            "its values must stand together in [grid] or in an [[include]]; correct or remove it";
        findings.add(Problem::at(exclude.offset, "[[exclude]] matches no point of the grid", hint));
    }
    if blocks.len() == 1 {
        return;
    }
    let mut seen = HashSet::new();
    for (number, block) in blocks.iter().enumerate() {
        let kept =
            block.points().filter(|point| !excludes.iter().any(|exclude| exclude.matches(point)));
        let new = kept.filter(|point| seen.insert(trial_key(point))).count();
        if new == 0 && number > 0 {
            let hint = "[grid], or an [[include]] before it, has its points, or an [[exclude]] takes them; remove it";
            findings.add(Problem::at(block.offset, "[[include]] adds nothing to the grid", hint));
        }
    }
}
