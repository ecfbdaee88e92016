//! Points and curves in the plane. Only `+ - * /` and `sqrt`, which IEEE 754 rounds exactly: the
//! same bits everywhere.

/// A point or a vector; the unit depends on where it is used.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Point {
    pub(super) fn plus(self, other: Point) -> Point {
        Point { x: self.x + other.x, y: self.y + other.y }
    }

    pub(super) fn minus(self, other: Point) -> Point {
        Point { x: self.x - other.x, y: self.y - other.y }
    }

    pub(super) fn times(self, factor: f32) -> Point {
        Point { x: self.x * factor, y: self.y * factor }
    }

    pub(super) fn length(self) -> f32 {
        (self.x * self.x + self.y * self.y).sqrt()
    }
}

/// The smallest rectangle with sides along the axes that holds all points, as (least, greatest)
/// corner.
pub(super) fn bounds<'a>(points: impl Iterator<Item = &'a Point>) -> (Point, Point) {
    let mut least = Point { x: f32::INFINITY, y: f32::INFINITY };
    let mut greatest = Point { x: f32::NEG_INFINITY, y: f32::NEG_INFINITY };
    for point in points {
        least = Point { x: least.x.min(point.x), y: least.y.min(point.y) };
        greatest = Point { x: greatest.x.max(point.x), y: greatest.y.max(point.y) };
    }
    (least, greatest)
}

/// Appends the uniform Catmull-Rom spline through `knots` to `out`, `steps` points for each span,
/// the first knot left out if `out` ends there already. The ends are continued in a straight line.
pub(super) fn catmull_rom(knots: &[Point], steps: u16, out: &mut Vec<Point>) {
    if out.last() != knots.first() {
        out.extend(knots.first());
    }
    for span in 1..knots.len() {
        let (a, b) = (knots[span - 1], knots[span]);
        let before = if span >= 2 { knots[span - 2] } else { a.plus(a.minus(b)) };
        let after = knots.get(span + 1).copied().unwrap_or(b.plus(b.minus(a)));
        for step in 1..steps {
            let t = f32::from(step) / f32::from(steps);
            // The cubic Hermite form with tangents of half the chord between the neighbours.
            let (t2, t3) = (t * t, t * t * t);
            let tangent_a = b.minus(before).times(0.5);
            let tangent_b = after.minus(a).times(0.5);
            out.push(
                a.times(2.0 * t3 - 3.0 * t2 + 1.0)
                    .plus(tangent_a.times(t3 - 2.0 * t2 + t))
                    .plus(b.times(3.0 * t2 - 2.0 * t3))
                    .plus(tangent_b.times(t3 - t2)),
            );
        }
        out.push(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spline_passes_knots_and_keeps_lines_straight() {
        let knots: Vec<Point> = (0..4).map(|i| Point { x: i as f32, y: 2.0 * i as f32 }).collect();
        let mut out = Vec::new();
        catmull_rom(&knots, 4, &mut out);
        assert_eq!(out.len(), 13);
        for (i, point) in out.iter().enumerate() {
            assert!(
                (point.x - i as f32 / 4.0).abs() < 1e-6 && (point.y - 2.0 * point.x).abs() < 1e-6
            );
        }
    }
}
