//! The tables of a grid file that name points: `[grid]`, `[[zip]]`, `[[include]]`, `[[exclude]]`.

use std::collections::HashSet;

use super::{
    axis::{Bounds, Span, read_conditions},
    cells::{list_values, trial_key},
    error::Problem,
    expand::{Block, Dimension, Exclude, is_kept},
    findings::{Findings, missing},
    reader::{Item, Table},
};
use crate::{axes::Axis, quote::quote};

/// Reads the grid itself, then a block for each include; `None` if an axis is missing or wrong.
pub(super) fn read_blocks(
    mut grid: Table<'_>,
    zips: Option<Item<'_>>,
    includes: Option<Item<'_>>,
    bounds: &Bounds,
) -> Option<Vec<Block>> {
    let (offset, findings) = (grid.offset, grid.findings);
    let Axes { spans, mut named, mut whole } = read_axes(&mut grid, bounds, true);
    grid.finish();
    let mut dimensions: Vec<Dimension> = spans.into_iter().map(|span| vec![span]).collect();
    for table in tables_of(zips) {
        let Some(zip) = read_zip(table, bounds, &mut named) else {
            whole = false;
            continue;
        };
        let has = |axis: Axis| dimensions.iter().flatten().any(|span| span.axis == axis);
        if let Some(span) = zip.iter().find(|span| has(span.axis)) {
            let name = span.axis.name;
            let problem =
                format!("axis `{name}` of this [[zip]] stands in [grid] or in another [[zip]] too");
            findings.add(Problem::at(span.offset, problem, "remove one of them"));
        }
        dimensions.push(zip);
    }
    for axis in Axis::in_grid().iter().filter(|axis| !named.contains(axis)) {
        match axis.default() {
            Some(value) => dimensions.push(vec![Span::single(*axis, value)]),
            None => {
                let hint = format!("add for example `{} = {}`", axis.name, axis.example());
                findings.add(Problem::at(offset, missing(axis.name, "[grid]"), hint));
                whole = false;
            }
        }
    }

    let main = Block::new(offset, dimensions);
    // Even if the grid is not whole: includes have mistakes of their own.
    let includes: Vec<_> =
        tables_of(includes).into_iter().map(|table| read_include(table, &main, bounds)).collect();
    let blocks = [Some(main)].into_iter().chain(includes).collect::<Option<_>>()?;
    whole.then_some(blocks)
}

/// The tables of an array, which may be missing.
pub(super) fn tables_of<'t>(item: Option<Item<'t>>) -> Vec<Table<'t>> {
    item.map_or_else(Vec::new, |item| item.tables())
}

/// The axes of a table.
struct Axes {
    spans: Vec<Span>,
    /// The axes that it names, rightly or not.
    named: Vec<Axis>,
    /// Whether all of them could be read.
    whole: bool,
}

/// Reads the axes of a table. A value may stand twice if it advances with values of other axes.
fn read_axes(table: &mut Table<'_>, bounds: &Bounds, refuse_repeats: bool) -> Axes {
    let (mut spans, mut named) = (Vec::new(), Vec::new());
    for axis in Axis::in_grid() {
        let Some(item) = table.take(axis.name) else { continue };
        named.push(*axis);
        let Some(span) = Span::read(*axis, &item, bounds) else { continue };
        if refuse_repeats {
            table.findings.keep(span.refuse_repeats(&item));
        }
        spans.push(span);
    }
    let whole = spans.len() == named.len();
    Axes { spans, named, whole }
}

/// Reads a zip, and adds its axes to those that are known.
fn read_zip(mut table: Table<'_>, bounds: &Bounds, known: &mut Vec<Axis>) -> Option<Dimension> {
    let Axes { spans, named, whole } = read_axes(&mut table, bounds, false);
    known.extend(&named);
    if named.len() < 2 {
        let hint = "name two axes or more, with lists of one length";
        table.report("[[zip]] has fewer than two axes", hint);
    }
    let findings = table.findings;
    table.finish();
    if named.len() < 2 || !whole {
        return None;
    }
    findings.keep(check_zip(&spans))?;
    Some(spans)
}

/// Checks that the axes have equally many values, and no combination twice.
fn check_zip(spans: &[Span]) -> Result<(), Problem> {
    let first = &spans[0];
    if let Some(other) = spans.iter().find(|span| span.len() != first.len()) {
        let (one, two) = (first.axis.name, other.axis.name);
        let (len, other_len) = (first.len(), other.len());
        let problem = format!("[[zip]]: axis `{one}` has {len} values and `{two}` has {other_len}");
        let hint = "axes that advance together have as many values each";
        return Err(Problem::at(other.offset, problem, hint));
    }
    let mut seen = HashSet::new();
    let row = |index: &u64| spans.iter().map(|span| span.get(*index)).collect::<Vec<_>>();
    // Ranges have no repeats, and may be long.
    let lists = spans.iter().all(Span::is_list);
    if let Some(twice) = (0..first.len()).filter(|_| lists).find(|index| !seen.insert(row(index))) {
        let values = spans.iter().map(|span| (span.axis, span.get(twice)));
        let problem = format!("[[zip]]: {} stand together twice", list_values(values, " and "));
        return Err(Problem::at(first.offset, problem, "remove one of the two from each axis"));
    }
    Ok(())
}

/// Reads an include: a grid of its own, whose other axes have the values of `[grid]`.
fn read_include(mut table: Table<'_>, main: &Block, bounds: &Bounds) -> Option<Block> {
    let offset = table.offset;
    if table.is_empty() {
        let hint = "give it at least one value, as in `lambda = 1.0`";
        table.report("[[include]] names no axis", hint);
    }
    let Axes { spans, named, whole } = read_axes(&mut table, bounds, true);
    let mut dimensions = Vec::new();
    for dimension in &main.dimensions {
        match dimension.iter().filter(|span| named.contains(&span.axis)).count() {
            0 => dimensions.push(dimension.clone()),
            all if all == dimension.len() => {}
            _ => {
                let names: Vec<_> = dimension.iter().map(|span| quote(span.axis.name)).collect();
                let problem =
                    format!("[[include]] names some of the zipped axes {}", names.join(", "));
                table.report(problem, "name all of them or none");
            }
        }
    }
    table.finish();
    dimensions.extend(spans.into_iter().map(|span| vec![span]));
    (whole && !named.is_empty()).then(|| Block::new(offset, dimensions))
}

pub(super) fn read_exclude(mut table: Table<'_>, bounds: &Bounds) -> Exclude {
    let offset = table.offset;
    if table.is_empty() {
        let hint = "give it a value, as in `architecture = \"lenet\"`";
        table.report("[[exclude]] names no axis", hint);
    }
    let conditions = read_conditions(&mut table, "[[exclude]]", Axis::in_grid(), bounds);
    table.finish();
    Exclude { offset, conditions }
}

/// Refuses tables that change nothing, because they usually have a typing mistake.
pub(super) fn check_effects(blocks: &[Block], excludes: &[Exclude], findings: &Findings) {
    for Exclude { offset, conditions } in excludes {
        if !blocks.iter().any(|block| block.has(conditions)) {
            let hint = "its values must stand together in [grid] or in an [[include]]; \
                        correct or remove it";
            findings.add(Problem::at(*offset, "[[exclude]] matches no point of the grid", hint));
        }
    }
    if blocks.len() == 1 {
        return;
    }
    let mut seen = HashSet::new();
    for (number, block) in blocks.iter().enumerate() {
        let kept = block.points().filter(|point| is_kept(point, excludes));
        let new = kept.filter(|point| seen.insert(trial_key(point))).count();
        if new == 0 && number > 0 {
            let hint = "[grid], or an [[include]] before it, has its points, or an [[exclude]] \
                        takes them; remove it";
            findings.add(Problem::at(block.offset, "[[include]] adds nothing to the grid", hint));
        }
    }
}
