//! From polylines to grey pixels: ink by the distance to the pen's path, then the noise of paper
//! and scanner.

use super::geometry::Point;
use super::pose::{Pose, SIDE};
use super::stream::Stream;

/// One image, row-major, 0 paper to 255 ink.
pub(super) type Pixels = [u8; SIDE * SIDE];

/// Draws the digit.
pub(super) fn render(pose: &Pose, stream: &mut Stream) -> Pixels {
    let mut ink = [0.0f32; SIDE * SIDE];
    // Half of the width over which ink fades into paper, in pixels.
    let blur = stream.between(0.4, 0.7);
    let taper = 0.12 * stream.normal();
    let nib = nib(stream);
    let gap = gap(pose, stream);
    for (s, stroke) in pose.strokes.iter().enumerate() {
        let last = (stroke.len() - 1) as f32;
        let mut written = 0.0;
        for (i, pair) in stroke.windows(2).enumerate() {
            let along = pair[1].minus(pair[0]);
            let length = along.length();
            written += length;
            if gap.is_some_and(|(stroke, at)| {
                stroke == s && (written - 0.5 * length - at).abs() < GAP
            }) {
                continue;
            }
            // A broad nib writes wide across its edge; a hand presses more at one end of a stroke.
            let across = if length > 0.0 {
                ((along.x * nib.x + along.y * nib.y) / length).abs()
            } else {
                0.5
            };
            let press = 1.0 + taper * (2.0 * i as f32 / last - 1.0);
            let radius = pose.radius * press * (0.88 + 0.24 * across);
            segment(&mut ink, pair[0], pair[1], radius, blur);
        }
    }
    if stream.chance(0.03) {
        let at = Point { x: stream.between(3.0, 25.0), y: stream.between(3.0, 25.0) };
        segment(&mut ink, at, at, stream.between(0.3, 0.6), blur);
    }
    develop(&ink, stream)
}

/// Half of the length without ink where a pen skips, in pixels along the stroke.
const GAP: f32 = 1.4;

/// Where the pen skips, if it does: the stroke, and how far along it in pixels, in its middle half.
fn gap(pose: &Pose, stream: &mut Stream) -> Option<(usize, f32)> {
    let (skips, stroke) = (stream.chance(0.04), stream.below(pose.strokes.len() as u32) as usize);
    let at = stream.between(0.25, 0.75);
    let length: f32 = pose.strokes[stroke].windows(2).map(|p| p[1].minus(p[0]).length()).sum();
    skips.then_some((stroke, at * length))
}

/// The direction in which the pen writes widest, of length up to 1: a random point of the unit
/// disc.
fn nib(stream: &mut Stream) -> Point {
    loop {
        let point = Point { x: stream.between(-1.0, 1.0), y: stream.between(-1.0, 1.0) };
        if point.length() <= 1.0 {
            return point;
        }
    }
}

/// Inks the pixels near the segment `a` to `b`; overlapping strokes keep the darker value.
fn segment(ink: &mut [f32; SIDE * SIDE], a: Point, b: Point, radius: f32, blur: f32) {
    let reach = radius + blur;
    // `as usize` cuts negative values to 0.
    let first = |v: f32| ((v - reach) as usize).min(SIDE);
    let end = |v: f32| ((v + reach) as usize + 1).min(SIDE);
    let along = b.minus(a);
    let squared = along.x * along.x + along.y * along.y;
    let inverse = if squared > 0.0 { 1.0 / squared } else { 0.0 };
    for row in first(a.y.min(b.y))..end(a.y.max(b.y)) {
        for column in first(a.x.min(b.x))..end(a.x.max(b.x)) {
            let pixel = Point { x: column as f32 + 0.5, y: row as f32 + 0.5 };
            let from_a = pixel.minus(a);
            let t = ((from_a.x * along.x + from_a.y * along.y) * inverse).clamp(0.0, 1.0);
            let distance = from_a.minus(along.times(t)).length();
            let cover = ((reach - distance) / (2.0 * blur)).clamp(0.0, 1.0);
            let value = cover * cover * (3.0 - 2.0 * cover);
            let slot = &mut ink[row * SIDE + column];
            *slot = slot.max(value);
        }
    }
}

/// Ink that is never quite black or even, paper that is not always quite white, rounded to bytes.
fn develop(ink: &[f32; SIDE * SIDE], stream: &mut Stream) -> Pixels {
    let u = stream.unit();
    let darkness = 255.0 * (1.0 - 0.12 * (u * u * u * u));
    let grain = (0.16 * stream.unit() - 0.10).max(0.0);
    let paper = if stream.chance(0.04) { stream.between(1.0, 10.0) } else { 0.0 };
    let mut pixels = [0u8; SIDE * SIDE];
    for (pixels, inks) in pixels.chunks_exact_mut(4).zip(ink.chunks_exact(4)) {
        let bytes = stream.bits().to_le_bytes();
        for ((pixel, ink), byte) in pixels.iter_mut().zip(inks).zip(bytes) {
            let noise = f32::from(byte) / 255.0;
            let value = ink * darkness * (1.0 - grain * noise) + (1.0 - ink) * paper * noise;
            *pixel = (value + 0.5) as u8;
        }
    }
    pixels
}
