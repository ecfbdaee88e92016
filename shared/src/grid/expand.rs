//! Points of a grid, counted with checked arithmetic and enumerated one at a time: nothing is
//! listed before it is known to be small.

use std::collections::HashSet;

use super::axis::{Conditions, Span};
use crate::{
    axes::{Axis, GRID_AXES, Value},
    trial::TrialSpec,
};

/// Axes that advance together: one, or those of a `[[zip]]`. All have the same length.
pub(super) type Dimension = Vec<Span>;

/// One value of each axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point([Value; GRID_AXES]);

impl Point {
    /// The value of an axis of `[grid]`.
    pub(super) fn get(&self, axis: Axis) -> Value {
        self.0[axis.nesting()]
    }

    /// All axes and values, outermost first.
    pub(super) fn values(&self) -> impl Iterator<Item = (Axis, Value)> + '_ {
        Axis::in_grid().iter().copied().zip(self.0)
    }

    /// The trial with these values and the settings of `base`.
    pub(super) fn trial(&self, base: &TrialSpec) -> TrialSpec {
        self.values().fold(*base, |spec, (axis, value)| spec.with(axis, value))
    }
}

/// The product of some dimensions, which together hold every axis once.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// Byte offset in the file.
    pub(super) offset: usize,
    pub(super) dimensions: Vec<Dimension>,
}

impl Block {
    /// Sorts the dimensions by their outermost axes.
    pub(super) fn new(offset: usize, mut dimensions: Vec<Dimension>) -> Self {
        dimensions.sort_by_key(|spans| spans.iter().map(|span| span.axis.nesting()).min());
        Self { offset, dimensions }
    }

    /// The values of an axis, if one of them fits.
    pub(super) fn axis_with(&self, axis: Axis, fits: impl Fn(&Value) -> bool) -> Option<&Span> {
        let span = self.dimensions.iter().flatten().find(|span| span.axis == axis);
        span.filter(|span| span.any(fits))
    }

    /// Number of points; `None` beyond 2^64.
    pub(super) fn len(&self) -> Option<u64> {
        let mut lengths = self.dimensions.iter().map(|spans| spans[0].len());
        lengths.try_fold(1, |product: u64, length| product.checked_mul(length))
    }

    /// Whether some point has one of the listed values on every named axis. Makes no point.
    pub(super) fn has(&self, conditions: &Conditions) -> bool {
        let fits = |span: &Span, index| {
            let values = conditions.iter().find(|(axis, _)| span.axis == *axis);
            values.is_none_or(|(_, values)| values.contains(&span.get(index)))
        };
        self.dimensions.iter().all(|spans| {
            (0..spans[0].len()).any(|index| spans.iter().all(|span| fits(span, index)))
        })
    }

    /// All points, the last dimension fastest. The block's length must be known to fit.
    pub(super) fn points(&self) -> impl Iterator<Item = Point> + '_ {
        (0..self.len().unwrap_or(0)).map(|index| self.point(index))
    }

    fn point(&self, mut index: u64) -> Point {
        let mut values = [Value::Whole(0); GRID_AXES];
        for spans in self.dimensions.iter().rev() {
            let within = index % spans[0].len();
            index /= spans[0].len();
            for span in spans {
                values[span.axis.nesting()] = span.get(within);
            }
        }
        Point(values)
    }
}

/// Points that a grid leaves out: those with one of the listed values on every named axis.
#[derive(Debug, Clone)]
pub(super) struct Exclude {
    pub(super) offset: usize,
    pub(super) conditions: Conditions,
}

/// Whether no exclude matches the point.
pub(super) fn is_kept(point: &Point, excludes: &[Exclude]) -> bool {
    let has = |(axis, values): &(Axis, HashSet<Value>)| values.contains(&point.get(*axis));
    !excludes.iter().any(|exclude| exclude.conditions.iter().all(has))
}
