//! The pen strokes of the digits: the knots in `strokes.txt`, parsed once. The variation of hands
//! is in `pose.rs`.

use std::sync::LazyLock;

use super::geometry::Point;

/// A point that the pen passes. At a `corner` it turns sharply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Knot {
    pub(super) at: Point,
    pub(super) corner: bool,
}

/// One way of writing a digit, as a few exemplars of equal structure.
#[derive(Debug)]
pub(super) struct Style {
    /// Share among the styles of the class, in no particular unit.
    pub(super) weight: u32,
    /// Factor on all deformations of the strokes.
    pub(super) freedom: f32,
    /// For each exemplar its strokes, for each stroke its knots.
    pub(super) exemplars: Vec<Vec<Vec<Knot>>>,
}

/// The styles of each class, 0 to 9.
pub(super) fn styles() -> &'static [Vec<Style>] {
    static STYLES: LazyLock<Vec<Vec<Style>>> = LazyLock::new(|| parse(include_str!("strokes.txt")));
    &STYLES
}

/// Reads the format that the head of `strokes.txt` describes.
///
/// # Panics
/// If the text is malformed. A test checks the built-in one.
fn parse(text: &str) -> Vec<Vec<Style>> {
    let mut classes: Vec<Vec<Style>> = (0..10).map(|_| Vec::new()).collect();
    let mut class = 0;
    for (number, line) in text.lines().enumerate() {
        let malformed = |why: &str| -> ! { panic!("line {}: {why}: `{line}`", number + 1) };
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["digit", digit, _, weight, percent] => {
                let [digit, weight, percent] = [digit, weight, percent]
                    .map(|word| word.parse::<u16>().unwrap_or_else(|_| malformed("not a number")));
                class = usize::from(digit);
                let (weight, freedom) = (weight.into(), f32::from(percent) / 100.0);
                classes[class].push(Style { weight, freedom, exemplars: Vec::new() });
            }
            words => {
                let exemplar = words.split(|word| *word == "/").map(stroke).collect();
                let exemplar: Vec<_> =
                    Option::unwrap_or_else(exemplar, || malformed("not a list of points"));
                let Some(style) = classes[class].last_mut() else { malformed("no style") };
                if style.exemplars.first().is_some_and(|first| !same_structure(first, &exemplar)) {
                    malformed("the structure differs from that of the first exemplar");
                }
                style.exemplars.push(exemplar);
            }
        }
    }
    classes
}

fn stroke(words: &[&str]) -> Option<Vec<Knot>> {
    let knots: Option<Vec<Knot>> = words.iter().map(|word| knot(word)).collect();
    knots.filter(|knots| knots.len() >= 2)
}

fn knot(word: &str) -> Option<Knot> {
    let plain = word.trim_end_matches('!');
    let (x, y) = plain.split_once(',')?;
    // Whole numbers below 1,000 are exact as f32.
    let coordinate = |text: &str| text.parse::<u16>().ok().filter(|&v| v < 1000).map(f32::from);
    let at = Point { x: coordinate(x)?, y: coordinate(y)? };
    Some(Knot { at, corner: plain.len() != word.len() })
}

fn same_structure(a: &[Vec<Knot>], b: &[Vec<Knot>]) -> bool {
    let corners = |strokes: &[Vec<Knot>]| -> Vec<Vec<bool>> {
        strokes.iter().map(|stroke| stroke.iter().map(|knot| knot.corner).collect()).collect()
    };
    corners(a) == corners(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_strokes_are_well_formed() {
        for (class, styles) in parse(include_str!("strokes.txt")).iter().enumerate() {
            assert!(styles.len() >= 3, "class {class} has {} styles", styles.len());
            assert!(styles.iter().all(|style| style.weight > 0 && style.exemplars.len() >= 2));
        }
    }

    #[test]
    fn malformed_strokes_are_refused_with_their_line() {
        for (text, why) in [
            ("1,2 3,4", "line 1: no style"),
            ("digit 1 a 1 100\n1,2 3", "line 2: not a list of points"),
            ("digit 1 a x 100", "line 1: not a number"),
            ("digit 1 a 1 100\n1,2 3,4\n1,2! 3,4", "line 3: the structure differs"),
        ] {
            let panic = std::panic::catch_unwind(|| parse(text)).unwrap_err();
            let error = panic.downcast::<String>().unwrap();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
