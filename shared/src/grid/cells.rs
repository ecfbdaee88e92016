//! The cells of a grid by the values of their axes: which of them a table names, and which one differs from another in so much.

use std::collections::{HashMap, HashSet};

use super::{axis::Conditions, expand::Point};
use crate::{
    axes::{self, Axis, GRID_AXES, Value},
    trial::Architecture,
};

/// Values of all axes by their bits, without what has no meaning: a cell has no seed, and one without function norm neither density nor
/// samples.
pub(super) type Key = [u64; GRID_AXES];

/// In place of a value that has no meaning: of no axis the bits of a value.
const ABSENT: u64 = u64::MAX;

/// Axes that only the function norm has.
const OF_FUNCTION_NORM: [Axis; 2] = [axes::DENSITY, axes::PENALTY_SAMPLES];

/// Cells beyond which nothing is compared: nobody would read it.
const MAX_CELLS: usize = 100_000;

/// In what a cell and its reference differ: the values of the reference.
pub(super) type Changes = Vec<(Axis, Value)>;

/// One of the cells, by its place in the order of the grid.
pub(super) type Place = usize;

/// All cells of a grid, each once, in its order.
#[derive(Debug)]
pub(super) struct Cells {
    points: Vec<Point>,
    keys: Vec<Key>,
    /// By their outlines.
    alike: HashMap<Key, Vec<Place>>,
    /// By each of their values, in the order of the grid.
    with_value: HashMap<(Axis, u64), Vec<Place>>,
}

impl Cells {
    /// `None` if there are too many.
    pub(super) fn new(all: impl Iterator<Item = Point>) -> Option<Self> {
        let mut seen = HashSet::new();
        let (mut points, mut keys) = (Vec::new(), Vec::new());
        let mut alike: HashMap<Key, Vec<Place>> = HashMap::new();
        let mut with_value: HashMap<(Axis, u64), Vec<Place>> = HashMap::new();
        for point in all {
            let key = key(&point);
            if seen.insert(key) {
                alike.entry(outline(key)).or_default().push(points.len());
                for (axis, code) in
                    Axis::of_grid().iter().zip(key).filter(|(_, code)| *code != ABSENT)
                {
                    with_value.entry((*axis, code)).or_default().push(points.len());
                }
                points.push(point);
                keys.push(key);
                if points.len() > MAX_CELLS {
                    return None;
                }
            }
        }
        Some(Self { points, keys, alike, with_value })
    }

    pub(super) fn point(&self, place: Place) -> &Point {
        &self.points[place]
    }

    /// The cells that a table names.
    pub(super) fn matching(&self, conditions: &Conditions) -> Vec<Place> {
        let has = |place: Place, (axis, values): &(Axis, HashSet<Value>)| {
            self.keys[place][axis.nesting()] != ABSENT
                && values.contains(&self.points[place].get(*axis))
        };
        let has_all = |place: &Place| conditions.iter().all(|condition| has(*place, condition));
        // Of a thousand tables, each may name one of a hundred thousand cells.
        let with = |(axis, values): &(Axis, HashSet<Value>)| -> Vec<&[Place]> {
            let places =
                |value: &Value| self.with_value.get(&(*axis, axis.code(*value))).map(Vec::as_slice);
            values.iter().filter_map(places).collect()
        };
        let count = |lists: &Vec<&[Place]>| lists.iter().map(|list| list.len()).sum::<usize>();
        let Some(fewest) = conditions.iter().map(with).min_by_key(count) else {
            return (0..self.keys.len()).collect();
        };
        let mut places: Vec<Place> = fewest.concat().into_iter().filter(has_all).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The cells that differ from that one by these changes and in nothing else. Where one side has no function norm, the other's density
    /// and samples are no difference of their own, so there may be several.
    pub(super) fn changed<'c>(
        &'c self,
        place: Place,
        changes: &'c Changes,
    ) -> impl Iterator<Item = Place> + 'c {
        let mut wanted = self.keys[place];
        for (axis, value) in changes {
            wanted[axis.nesting()] = axis.code(*value);
        }
        let fits = move |key: &Key| {
            let same = |wanted, has| wanted == has || wanted == ABSENT || has == ABSENT;
            OF_FUNCTION_NORM.iter().all(|axis| same(wanted[axis.nesting()], key[axis.nesting()]))
        };
        let candidates = self.alike.get(&outline(wanted)).map_or(&[][..], Vec::as_slice);
        candidates.iter().copied().filter(move |other| *other != place && fits(&self.keys[*other]))
    }

    /// Whether a cell has the values of those changes itself, as far as they mean anything for it.
    pub(super) fn has(&self, place: Place, changes: &Changes) -> bool {
        let key = &self.keys[place];
        changes
            .iter()
            .all(|(axis, value)| [axis.code(*value), ABSENT].contains(&key[axis.nesting()]))
    }

    /// The values of a cell, in words.
    pub(super) fn shown(&self, place: Place) -> String {
        let known =
            Axis::of_grid().iter().filter(|axis| self.keys[place][axis.nesting()] != ABSENT);
        let values =
            known.map(|axis| format!("{} {}", axis.name, self.points[place].get(*axis).quoted()));
        values.collect::<Vec<_>>().join(", ")
    }

    /// What is compared where a grid names nothing: each cell with the same one at lambda = 0, and each regulariser, or several of them
    /// together, with none.
    pub(super) fn usual_pairs(&self) -> Vec<(Place, Place)> {
        let mut pairs = Vec::new();
        for (place, point) in self.points.iter().enumerate() {
            let off = |axis: Axis| (axis, Value::Real(0.0));
            let architecture = Architecture::by_name(point.get(axes::ARCHITECTURE).name());
            let plain =
                architecture.map(|known| (axes::ARCHITECTURE, Value::Name(known.network().name())));
            let none = Axis::regularisers().iter().copied().map(off).chain(plain).collect();
            for changes in [vec![off(axes::LAMBDA)], none] {
                // A change to lambda = 0 leaves one cell at most. With the function norm alone, that is none.
                let pair = self.changed(place, &changes).next().map(|reference| (place, reference));
                if pair != pairs.last().copied() {
                    pairs.extend(pair);
                }
            }
        }
        pairs
    }
}

fn key(point: &Point) -> Key {
    let mut key = trial_key(point);
    key[axes::SEED.nesting()] = ABSENT;
    key
}

/// The same with the seed: equal for points that are one trial.
pub(super) fn trial_key(point: &Point) -> Key {
    let mut key = [ABSENT; GRID_AXES];
    point.values().zip(&mut key).for_each(|((axis, value), code)| *code = axis.code(value));
    if point.get(axes::LAMBDA) == Value::Real(0.0) { outline(key) } else { key }
}

/// What is left of a key without what only the function norm has.
fn outline(mut key: Key) -> Key {
    OF_FUNCTION_NORM.iter().for_each(|axis| key[axis.nesting()] = ABSENT);
    key
}
