//! Points of a grid, counted with checked arithmetic and enumerated one at a time: nothing is listed before it is known to be small.

use super::axis::{Conditions, Span};
use crate::axes::{Axis, GRID_AXES, Value};

/// Axes that advance together; most dimensions have one.
#[derive(Debug, Clone)]
pub(super) struct Dimension {
    axes: Vec<Span>,
}

impl Dimension {
    /// `axes` is not empty and all are of one length.
    pub(super) fn new(axes: Vec<Span>) -> Self {
        Self { axes }
    }

    pub(super) fn axes(&self) -> &[Span] {
        &self.axes
    }

    pub(super) fn has(&self, axis: Axis) -> bool {
        self.axes.iter().any(|span| span.axis == axis)
    }

    fn len(&self) -> u64 {
        self.axes[0].len()
    }

    /// Whether its values at that index are among those that are listed for its axes.
    fn fits(&self, index: u64, conditions: &Conditions) -> bool {
        let span = |axis: &Axis| self.axes.iter().find(|span| span.axis == *axis);
        conditions
            .iter()
            .all(|(axis, values)| span(axis).is_none_or(|span| values.contains(&span.get(index))))
    }

    /// Where the dimension stands among the others: at the place of its outermost axis.
    fn place(&self) -> Option<usize> {
        self.axes.iter().map(|span| span.axis.nesting()).min()
    }
}

/// One value of each axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point([Value; GRID_AXES]);

impl Point {
    /// `axis`: one of `[grid]`.
    pub(super) fn get(&self, axis: Axis) -> Value {
        self.0[axis.nesting()]
    }

    /// All of them, outermost first.
    pub(super) fn values(&self) -> impl Iterator<Item = (Axis, Value)> + '_ {
        Axis::of_grid().iter().copied().zip(self.0)
    }
}

/// The product of some dimensions, which together hold every axis once.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// Where it stands in the file.
    pub(super) offset: usize,
    dimensions: Vec<Dimension>,
}

impl Block {
    pub(super) fn new(offset: usize, mut dimensions: Vec<Dimension>) -> Self {
        dimensions.sort_by_key(Dimension::place);
        Self { offset, dimensions }
    }

    pub(super) fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// The axis of that name if some value of it fits.
    pub(super) fn axis_with(&self, axis: Axis, fits: impl Fn(&Value) -> bool) -> Option<&Span> {
        let span = self
            .dimensions
            .iter()
            .flat_map(|dimension| &dimension.axes)
            .find(|span| span.axis == axis);
        span.filter(|span| span.any(fits))
    }

    /// Number of points; `None` beyond 2^64.
    pub(super) fn len(&self) -> Option<u64> {
        self.dimensions
            .iter()
            .try_fold(1, |product: u64, dimension| product.checked_mul(dimension.len()))
    }

    /// Whether some point has one of the listed values on every named axis. No point is made for that.
    pub(super) fn has(&self, conditions: &Conditions) -> bool {
        self.dimensions
            .iter()
            .all(|dimension| (0..dimension.len()).any(|index| dimension.fits(index, conditions)))
    }

    /// All points, the last dimension fastest. The block's length must be known to fit.
    pub(super) fn points(&self) -> impl Iterator<Item = Point> + '_ {
        (0..self.len().unwrap_or(0)).map(|index| self.point(index))
    }

    fn point(&self, mut index: u64) -> Point {
        let mut values = [Value::Whole(0); GRID_AXES];
        for dimension in self.dimensions.iter().rev() {
            let within = index % dimension.len();
            index /= dimension.len();
            for span in &dimension.axes {
                values[span.axis.nesting()] = span.get(within);
            }
        }
        Point(values)
    }
}

/// Points that a grid leaves out: those that have one of the listed values on every named axis.
#[derive(Debug, Clone)]
pub(super) struct Exclude {
    pub(super) offset: usize,
    pub(super) conditions: Conditions,
}

impl Exclude {
    pub(super) fn matches(&self, point: &Point) -> bool {
        self.conditions.iter().all(|(axis, values)| values.contains(&point.get(*axis)))
    }
}
