//! Where lines run, and how far intervals reach.

use super::canvas::{Frame, Position};

/// Pixels for which a line is on top.
const TURN: f64 = 9.0;

/// The most points of a line that all have their mark.
pub(super) const FEW: usize = 12;

/// Each value once, in ascending order.
pub(super) fn ascending(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// The smallest and the largest value; infinities are ignored.
pub(super) fn extremes(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// The ends of the intervals around some means, without the parts that dwarf the others.
///
/// An interval is cut beyond eight times the median width, or beyond the range of the means.
pub(super) fn ends(
    estimates: impl Iterator<Item = (f64, Option<f64>)>,
) -> impl Iterator<Item = f64> + Clone {
    let estimates: Vec<_> = estimates.collect();
    let mut halves: Vec<f64> = estimates.iter().filter_map(|(_, half)| *half).collect();
    halves.sort_by(f64::total_cmp);
    let (low, high) = extremes(estimates.iter().map(|(mean, _)| *mean));
    let median = halves.get(halves.len() / 2);
    let most = median.map_or(f64::INFINITY, |median| (8.0 * median).max(high - low));
    estimates.into_iter().flat_map(move |(mean, half)| {
        let half = half.unwrap_or(0.0).min(most);
        [mean - half, mean + half]
    })
}

/// The part of a path from where it enters the frame. `share` is the height of each of its points.
pub(super) fn entering(
    path: &[Position],
    frame: Frame,
    share: impl Fn(usize) -> f64,
) -> Vec<Position> {
    let Some(first) = (0..path.len()).find(|index| share(*index) >= 0.0) else { return Vec::new() };
    let mut inside = path[first..].to_vec();
    if first > 0 {
        let (before, after) = (share(first - 1), share(first));
        let part = -before / (after - before);
        let ((left, _), (right, _)) = (path[first - 1], path[first]);
        inside.insert(0, (left + part * (right - left), frame.bottom));
    }
    inside
}

/// The pieces in which a path is on top, when `count` lines take turns.
pub(super) fn turns(path: &[Position], number: usize, count: usize) -> Vec<Vec<Position>> {
    let (Some((left, _)), Some((right, _))) = (path.first(), path.last()) else {
        return Vec::new();
    };
    if count < 2 {
        return Vec::new();
    }
    let round = TURN * count as f64;
    let first = (left / round).floor() as i64;
    let starts = (first..)
        .map(|index| index as f64 * round + TURN * number as f64)
        .take_while(|start| start < right);
    starts
        .map(|start| between(path, start.max(*left), (start + TURN).min(*right)))
        .filter(|piece| piece.len() > 1)
        .collect()
}

/// The part of a path between two pixels from the left.
fn between(path: &[Position], left: f64, right: f64) -> Vec<Position> {
    let mut part = Vec::new();
    for pair in path.windows(2) {
        let [(from, low), (to, high)] = [pair[0], pair[1]];
        if to <= left || from >= right || to <= from {
            continue;
        }
        let level = |across: f64| low + (high - low) * (across - from) / (to - from);
        let (start, end) = (from.max(left), to.min(right));
        if part.is_empty() {
            part.push((start, level(start)));
        }
        part.push((end, level(end)));
    }
    part
}

/// Whether a point of a long line has a mark. Lines have theirs at different points.
pub(super) fn is_marked(index: usize, count: usize, number: usize) -> bool {
    let every = count.div_ceil(FEW / 2).max(1);
    (index + number * every / 3) % every == every - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_coincide_take_turns() {
        let path = [(0.0, 10.0), (50.0, 20.0), (100.0, 0.0)];
        let pieces: Vec<_> = (0..3).flat_map(|number| turns(&path, number, 3)).collect();
        let length: f64 = pieces.iter().map(|piece| piece[piece.len() - 1].0 - piece[0].0).sum();
        assert!((length - 100.0).abs() < 1e-9, "each place has one of them on top: {length}");
        assert!(turns(&path, 0, 1).is_empty());
        assert_eq!(between(&path, 45.0, 55.0), [(45.0, 19.0), (50.0, 20.0), (55.0, 18.0)]);
    }
}
