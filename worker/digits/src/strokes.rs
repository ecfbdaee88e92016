//! The pen strokes of the digits: `strokes.txt`, parsed once. Knots only; what a hand makes of them
//! is in `pose.rs`.

use std::sync::LazyLock;

use super::geometry::Point;

/// A point that the pen passes; `corner` says that it turns sharply there.
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
    static STYLES: LazyLock<Vec<Vec<Style>>> = LazyLock::new(|| {
        parse(include_str!("strokes.txt"))
            .expect("the built-in strokes are well-formed, which a test checks")
    });
    &STYLES
}

/// Reads the format that the head of `strokes.txt` describes.
fn parse(text: &str) -> Result<Vec<Vec<Style>>, String> {
    let mut classes: Vec<Vec<Style>> = (0..10).map(|_| Vec::new()).collect();
    let mut open: Option<(usize, Style)> = None;
    for (number, line) in text.lines().enumerate() {
        let fail = |why: &str| format!("line {}: {why}: `{line}`", number + 1);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["digit", class, _, weight, freedom] => {
                let class: usize = class.parse().map_err(|_| fail("not a class"))?;
                let weight = weight.parse().map_err(|_| fail("not a weight"))?;
                let percent: u16 = freedom.parse().map_err(|_| fail("not a percentage"))?;
                let freedom = f32::from(percent) / 100.0;
                close(&mut classes, open.take())?;
                open = Some((class, Style { weight, freedom, exemplars: Vec::new() }));
            }
            words => {
                let (_, style) =
                    open.as_mut().ok_or_else(|| fail("an exemplar outside of a style"))?;
                let exemplar = exemplar(words).ok_or_else(|| fail("not a list of points"))?;
                if style.exemplars.first().is_some_and(|first| !same_structure(first, &exemplar)) {
                    return Err(fail("the structure differs from that of the first exemplar"));
                }
                style.exemplars.push(exemplar);
            }
        }
    }
    close(&mut classes, open)?;
    match classes.iter().position(Vec::is_empty) {
        Some(class) => Err(format!("no style of class `{class}`")),
        None => Ok(classes),
    }
}

fn close(classes: &mut [Vec<Style>], open: Option<(usize, Style)>) -> Result<(), String> {
    let Some((class, style)) = open else { return Ok(()) };
    if style.exemplars.is_empty() {
        return Err(format!("a style of class `{class}` without exemplars"));
    }
    classes.get_mut(class).ok_or_else(|| format!("no such class `{class}`"))?.push(style);
    Ok(())
}

fn exemplar(words: &[&str]) -> Option<Vec<Vec<Knot>>> {
    words.split(|word| *word == "/").map(stroke).collect()
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
    Some(Knot {
        at: Point { x: coordinate(x)?, y: coordinate(y)? },
        corner: plain.len() != word.len(),
    })
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
        let classes = parse(include_str!("strokes.txt")).unwrap();
        for (class, styles) in classes.iter().enumerate() {
            assert!(styles.len() >= 3, "class {class} has {} styles", styles.len());
            assert!(styles.iter().all(|style| style.weight > 0 && style.exemplars.len() >= 2));
        }
    }

    #[test]
    fn malformed_strokes_are_refused_with_their_line() {
        for (text, why) in [
            ("1,2 3,4", "line 1: an exemplar outside of a style"),
            ("digit 1 a 1 100\n1,2 3", "line 2: not a list of points"),
            ("digit 1 a 1 100\n1,2 3,4\n1,2! 3,4", "line 3: the structure differs"),
            ("digit 10 a 1 100\n1,2 3,4", "no such class `10`"),
            ("digit 1 a 1 100", "without exemplars"),
            ("digit 1 a 1 100\n1,2 3,4", "no style of class `0`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
