//! From a class to one handwritten digit: strokes as polylines in pixels. The variation of hands is
//! here, the ink is in `render.rs`.

use super::geometry::{Point, bounds, catmull_rom};
use super::stream::Stream;
use super::strokes::{Knot, Style, styles};

/// Width and height of an image in pixels.
pub(super) const SIDE: usize = 28;
/// Points for each span between two knots.
const STEPS: u16 = 5;
/// The longer side of the box that a digit fills, in pixels, as in MNIST.
const BOX: f32 = 20.0;
// How much hands differ. Chosen so that classifiers trained on n images reach about the accuracy
// that they reach on MNIST for n from 100 to 10,000, while people can still read nearly every
// digit.

/// Factor of the deformations below for the calmest hand.
const CALM: f32 = 0.85;
/// Increase of that factor for the most careless hand. Most hands are near calm.
const HASTE: f32 = 0.75;
/// How far a mixture goes towards one exemplar: 1 stays between them, more goes beyond.
const OVERSHOOT: f32 = 1.6;
/// Standard deviation of the drift of the knots, in hundredths of a digit's height.
const JITTER: f32 = 2.6;
/// Standard deviation of the nodes of the elastic deformation, in hundredths of a digit's height.
const BEND: f32 = 6.2;
/// Standard deviation of the shift of proportions: 0.3 moves the middle of a digit by 0.3 / 4 of
/// its height.
const HEAD: f32 = 0.30;
/// Standard deviation of the change of width.
const WIDTH: f32 = 0.2;
/// Mean and standard deviation of the slant: the tangent of its angle.
const LEAN: f32 = 0.18;
const SHEAR: f32 = 0.28;
/// Standard deviation of the tangent of half the angle of rotation.
const TURN: f32 = 0.06;

/// A digit as a hand writes it.
pub(super) struct Pose {
    /// Polylines in pixels, (0, 0) at the corner of the upper left pixel.
    pub(super) strokes: Vec<Vec<Point>>,
    /// Half of the mean stroke width in pixels.
    pub(super) radius: f32,
}

/// Draws a digit of `class`.
pub(super) fn pose(class: usize, stream: &mut Stream) -> Pose {
    let haste = stream.unit();
    let sloppy = CALM + HASTE * haste * haste;
    let style = style(class, stream);
    let mut strokes: Vec<Vec<Point>> =
        mixture(style, sloppy, stream).iter().map(|stroke| spline(stroke)).collect();
    for stroke in &mut strokes {
        trim(stroke, stream);
    }
    bend(&mut strokes, sloppy * style.freedom, stream);
    slant(&mut strokes, sloppy, stream);
    let radius = place(&mut strokes, stream);
    Pose { strokes, radius }
}

/// Draws one of the styles of `class` by their weights.
fn style(class: usize, stream: &mut Stream) -> &'static Style {
    let styles = &styles()[class];
    let mut ticket = stream.below(styles.iter().map(|style| style.weight).sum());
    for style in styles {
        if ticket < style.weight {
            return style;
        }
        ticket -= style.weight;
    }
    &styles[0]
}

/// A random mixture of the exemplars of a style, each knot displaced a little. Mixing whole
/// exemplars changes shapes as hands do (a larger loop, a lower bar), which noise on single points
/// cannot.
fn mixture(style: &Style, sloppy: f32, stream: &mut Stream) -> Vec<Vec<Knot>> {
    let exemplars = &style.exemplars;
    // Squares favour one exemplar over the middle of all.
    let mut share = || {
        let u = stream.unit();
        0.02 + u * u
    };
    let raw: Vec<f32> = exemplars.iter().map(|_| share()).collect();
    let total: f32 = raw.iter().sum();
    let count = exemplars.len() as f32;
    let weights: Vec<f32> =
        raw.iter().map(|w| 1.0 / count + OVERSHOOT * (w / total - 1.0 / count)).collect();

    let mut mixed = exemplars[0].clone();
    for (s, stroke) in mixed.iter_mut().enumerate() {
        // The trembling drifts: neighbours move together, which bends a curve instead of breaking
        // it.
        let mut drift = Point { x: stream.normal(), y: stream.normal() };
        for (k, knot) in stroke.iter_mut().enumerate() {
            let mut at = Point::default();
            for (weight, exemplar) in weights.iter().zip(exemplars) {
                at = at.plus(exemplar[s][k].at.times(*weight));
            }
            let fresh = Point { x: stream.normal(), y: stream.normal() };
            drift = drift.times(0.6).plus(fresh.times(0.8));
            knot.at = at.plus(drift.times(JITTER * sloppy * style.freedom));
        }
    }
    mixed
}

fn spline(stroke: &[Knot]) -> Vec<Point> {
    let mut line = Vec::with_capacity(stroke.len() * usize::from(STEPS));
    let mut run = Vec::with_capacity(stroke.len());
    for knot in stroke {
        run.push(knot.at);
        if knot.corner {
            catmull_rom(&run, STEPS, &mut line);
            run = vec![knot.at];
        }
    }
    catmull_rom(&run, STEPS, &mut line);
    line
}

/// Lets the pen start a little late or stop a little early, now and then.
fn trim(stroke: &mut Vec<Point>, stream: &mut Stream) {
    let most = (stroke.len() / 14) as u32;
    let (late, early) = (stream.below(most + 1), stream.below(most + 1));
    if stream.chance(0.5) {
        stroke.truncate(stroke.len() - early as usize);
        stroke.drain(..late as usize);
    }
}

/// A smooth elastic deformation: a quadratic B-spline surface over random displacements on a grid
/// of 5 x 5.
fn bend(strokes: &mut [Vec<Point>], sloppy: f32, stream: &mut Stream) {
    const CELLS: usize = 4;
    let mut grid = [[Point::default(); CELLS + 2]; CELLS + 2];
    for row in &mut grid {
        for node in row {
            *node = Point { x: stream.normal(), y: stream.normal() }.times(BEND * sloppy);
        }
    }
    for point in strokes.iter_mut().flatten() {
        let ((column, across), (row, down)) = (basis(point.x, CELLS), basis(point.y, CELLS));
        let mut offset = Point::default();
        for (nodes, v) in grid[row..row + 3].iter().zip(down) {
            for (node, u) in nodes[column..column + 3].iter().zip(across) {
                offset = offset.plus(node.times(u * v));
            }
        }
        *point = point.plus(offset);
    }
}

/// The cell of a coordinate in 0..100, where the strokes are written, and the three weights of the
/// quadratic B-spline.
fn basis(coordinate: f32, cells: usize) -> (usize, [f32; 3]) {
    let scaled = (coordinate / 100.0).clamp(0.0, 1.0) * cells as f32;
    let cell = (scaled as usize).min(cells - 1);
    let t = scaled - cell as f32;
    (cell, [0.5 * (1.0 - t) * (1.0 - t), 0.5 + t - t * t, 0.5 * t * t])
}

/// Shifts the proportions (a small head on a large belly, or the reverse), then changes width,
/// slant and rotation.
fn slant(strokes: &mut [Vec<Point>], sloppy: f32, stream: &mut Stream) {
    let head = HEAD * sloppy * stream.normal();
    let side = 0.6 * HEAD * sloppy * stream.normal();
    let width = (0.95 + WIDTH * stream.normal()).max(0.4);
    let shear = LEAN + SHEAR * stream.normal();
    // The tangent of half the angle: sine and cosine follow by division alone.
    let half = TURN * sloppy * stream.normal();
    let (cosine, sine) =
        ((1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half));
    for point in strokes.iter_mut().flatten() {
        // A parabola that leaves 0 and 100 in place and moves the middle.
        let x = point.x + side * point.x * (1.0 - point.x / 100.0) - 50.0;
        let y = point.y + head * point.y * (1.0 - point.y / 100.0) - 50.0;
        // Hands lean to the right: the upper part, with small y, moves to greater x.
        let x = width * x - shear * y;
        *point = Point { x: cosine * x - sine * y, y: sine * x + cosine * y };
    }
}

/// Scales the digit into the box, and puts its centre of mass near the centre of the image. Returns
/// half the width of the pen in pixels.
fn place(strokes: &mut [Vec<Point>], stream: &mut Stream) -> f32 {
    let mut radius = (1.32 + 0.33 * stream.normal()).max(0.65);
    let (least, greatest) = bounds(strokes.iter().flatten());
    let extent = greatest.minus(least);
    let size = BOX * (1.0 + 0.03 * stream.normal()) - 2.0 * radius;
    let scale = size / extent.x.max(extent.y);
    // Ink per length is the same everywhere, so the middle of each segment counts by its length.
    let (mut mass, mut moment) = (0.0, Point::default());
    for stroke in strokes.iter() {
        for pair in stroke.windows(2) {
            let length = pair[1].minus(pair[0]).length();
            mass += length;
            moment = moment.plus(pair[0].plus(pair[1]).times(0.5 * length));
        }
    }
    let (length, width, height) = (mass * scale, extent.x * scale, extent.y * scale);
    // A broad pen would fill the loops of a narrow 8. A plain line cannot fill.
    let winding = length > 1.5 * extent.times(scale).length();
    while winding
        && radius > 0.6
        && radius * length > 0.29 * (width + 2.0 * radius) * (height + 2.0 * radius)
    {
        radius *= 0.95;
    }
    let centre = moment.times(1.0 / mass);
    let middle = SIDE as f32 / 2.0;
    let shift = Point { x: middle + 0.45 * stream.normal(), y: middle + 0.45 * stream.normal() };
    for point in strokes.iter_mut().flatten() {
        *point = point.minus(centre).times(scale).plus(shift);
    }
    radius
}
