//! The cells of a grid: which of them a table names, and which differ in given values.

use std::collections::{HashMap, HashSet};

use super::{axis::Conditions, expand::Point};
use crate::{
    axes::{self, Axis, GRID_AXES, Value},
    ids::CellId,
    trial::{Architecture, TrialSpec},
};

/// A number for the value of each axis, or [`ABSENT`].
pub(super) type Key = [u64; GRID_AXES];

/// In place of a value without meaning: the seed of a cell, and density and samples of a cell
/// without function norm. No axis has a value with this number.
const ABSENT: u64 = u64::MAX;

/// Axes that only the function norm has.
const OF_FUNCTION_NORM: [Axis; 2] = [axes::DENSITY, axes::PENALTY_SAMPLES];

/// Largest number of cells that are compared: nobody would read more.
const MAX_CELLS: usize = 100_000;

/// The values of a reference that differ from those of its cell.
pub(super) type Changes = Vec<(Axis, Value)>;

/// Two cells of the grid whose trials of one seed make a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contrast {
    /// Name in the grid file, if it has one.
    pub name: Option<String>,
    /// The cell that is judged.
    pub cell: CellId,
    /// The cell that it is compared with, of the same subset size.
    pub reference: CellId,
}

impl Contrast {
    /// Both cells, in an order that does not depend on the direction: the other way round is the
    /// same test.
    pub fn pair(&self) -> (CellId, CellId) {
        (self.cell.min(self.reference), self.cell.max(self.reference))
    }
}

/// A cell, by its number in the order of the grid.
pub(super) type CellIndex = usize;

/// All cells of a grid, each once, in its order.
#[derive(Debug)]
pub(super) struct Cells {
    base: TrialSpec,
    points: Vec<Point>,
    keys: Vec<Key>,
    /// Cells by their outlines.
    alike: HashMap<Key, Vec<CellIndex>>,
    /// Cells by each of their values, in the order of the grid.
    with_value: HashMap<(Axis, u64), Vec<CellIndex>>,
}

impl Cells {
    /// `None` if there are too many.
    pub(super) fn new(all: impl Iterator<Item = Point>, base: TrialSpec) -> Option<Self> {
        let mut seen = HashSet::new();
        let (points, keys, alike, with_value) = Default::default();
        let mut cells = Self { base, points, keys, alike, with_value };
        for point in all {
            let key = key(&point);
            if !seen.insert(key) {
                continue;
            }
            let index = cells.points.len();
            if index == MAX_CELLS {
                return None;
            }
            cells.alike.entry(outline(key)).or_default().push(index);
            for (axis, code) in Axis::in_grid().iter().zip(key).filter(|(_, code)| *code != ABSENT)
            {
                cells.with_value.entry((*axis, code)).or_default().push(index);
            }
            cells.points.push(point);
            cells.keys.push(key);
        }
        Some(cells)
    }

    /// The contrast of a cell and its reference.
    pub(super) fn contrast(
        &self,
        name: Option<&str>,
        (cell, reference): (CellIndex, CellIndex),
    ) -> Contrast {
        let id = |index: CellIndex| self.points[index].trial(&self.base).cell();
        Contrast { name: name.map(str::to_owned), cell: id(cell), reference: id(reference) }
    }

    /// The cells that a table names.
    pub(super) fn matching(&self, conditions: &Conditions) -> Vec<CellIndex> {
        let has = |index: CellIndex, (axis, values): &(Axis, HashSet<Value>)| {
            self.keys[index][axis.nesting()] != ABSENT
                && values.contains(&self.points[index].get(*axis))
        };
        let has_all = |index: &CellIndex| conditions.iter().all(|condition| has(*index, condition));
        // Each of a thousand tables may name one of a hundred thousand cells, so a search begins
        // with the condition that the fewest cells meet.
        let with = |(axis, values): &(Axis, HashSet<Value>)| -> Vec<&[CellIndex]> {
            let cells = |value| self.with_value.get(&(*axis, axis.code(value))).map(Vec::as_slice);
            values.iter().copied().filter_map(cells).collect()
        };
        let count = |lists: &Vec<&[CellIndex]>| lists.iter().map(|list| list.len()).sum::<usize>();
        let Some(fewest) = conditions.iter().map(with).min_by_key(count) else {
            return (0..self.keys.len()).collect();
        };
        let mut cells: Vec<CellIndex> = fewest.concat().into_iter().filter(has_all).collect();
        cells.sort_unstable();
        cells.dedup();
        cells
    }

    /// The cells that differ from `cell` by these changes and in nothing else.
    ///
    /// Where one side has no function norm, density and samples of the other are no difference of
    /// their own, so there may be several.
    pub(super) fn changed<'c>(
        &'c self,
        cell: CellIndex,
        changes: &'c Changes,
    ) -> impl Iterator<Item = CellIndex> + 'c {
        let mut wanted = self.keys[cell];
        for (axis, value) in changes {
            wanted[axis.nesting()] = axis.code(*value);
        }
        let fits = move |key: &Key| {
            let same = |wanted, has| wanted == has || wanted == ABSENT || has == ABSENT;
            OF_FUNCTION_NORM.iter().all(|axis| same(wanted[axis.nesting()], key[axis.nesting()]))
        };
        let candidates = self.alike.get(&outline(wanted)).map_or(&[][..], Vec::as_slice);
        candidates.iter().copied().filter(move |other| *other != cell && fits(&self.keys[*other]))
    }

    /// Whether a cell has the values of those changes itself, where they have a meaning for it.
    pub(super) fn has(&self, cell: CellIndex, changes: &Changes) -> bool {
        let key = &self.keys[cell];
        let has = |(axis, value): &(Axis, Value)| {
            [axis.code(*value), ABSENT].contains(&key[axis.nesting()])
        };
        changes.iter().all(has)
    }

    /// The values of a cell, for messages.
    pub(super) fn shown(&self, cell: CellIndex) -> String {
        let has = |axis: &Axis| self.keys[cell][axis.nesting()] != ABSENT;
        let values = self.points[cell].values().filter(|(axis, _)| has(axis));
        list_values(values, ", ")
    }

    /// The pairs where a grid names none: each cell with the same one at lambda = 0, and each
    /// regulariser, or several of them together, with `none`.
    pub(super) fn usual_pairs(&self) -> Vec<(CellIndex, CellIndex)> {
        let mut pairs = Vec::new();
        for (cell, point) in self.points.iter().enumerate() {
            let off = |axis: Axis| (axis, Value::Real(0.0));
            let architecture = Architecture::by_name(point.get(axes::ARCHITECTURE).name());
            let plain =
                architecture.map(|known| (axes::ARCHITECTURE, Value::Name(known.network().name())));
            let none = Axis::regularisers().iter().copied().map(off).chain(plain).collect();
            for changes in [vec![off(axes::LAMBDA)], none] {
                // At most one cell differs by lambda = 0. For the function norm alone it is `none`.
                let pair = self.changed(cell, &changes).next().map(|reference| (cell, reference));
                if pair != pairs.last().copied() {
                    pairs.extend(pair);
                }
            }
        }
        pairs
    }
}

/// Lists axes and values, for messages.
pub(super) fn list_values(
    values: impl IntoIterator<Item = (Axis, Value)>,
    separator: &str,
) -> String {
    let shown = values.into_iter().map(|(axis, value)| format!("{} {}", axis.name, value.quoted()));
    shown.collect::<Vec<_>>().join(separator)
}

fn key(point: &Point) -> Key {
    let mut key = trial_key(point);
    key[axes::SEED.nesting()] = ABSENT;
    key
}

/// The key with the seed: equal for points that are one trial.
pub(super) fn trial_key(point: &Point) -> Key {
    let mut key = [ABSENT; GRID_AXES];
    point.values().zip(&mut key).for_each(|((axis, value), code)| *code = axis.code(value));
    if point.get(axes::LAMBDA) == Value::Real(0.0) { outline(key) } else { key }
}

/// A key without the values that only the function norm has.
fn outline(mut key: Key) -> Key {
    OF_FUNCTION_NORM.iter().for_each(|axis| key[axis.nesting()] = ABSENT);
    key
}
