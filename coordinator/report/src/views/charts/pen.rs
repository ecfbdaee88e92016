//! Drawing in pixels with fractions, in the colours of a theme. The backend counts in whole units, so it is given a finer grid than the
//! picture's.

use std::sync::OnceLock;

use plotters::{
    coord::Shift,
    prelude::*,
    style::{
        register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{
    palette::{Look, Mark, SHAPES},
    theme::{Role, Theme},
};

/// Units of the backend in a pixel.
const UNITS: f64 = 8.0;

/// The backend divides sizes of text by this; see its `draw_text`.
const TEXT_FACTOR: f64 = 1.24;

/// A chart that cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw a chart: {0}")]
pub(crate) struct ChartError(pub(super) String);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for ChartError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

pub(super) type Drawn<T = ()> = Result<T, ChartError>;

/// A point in pixels from the upper left corner.
pub(super) type Place = (f64, f64);

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Frame {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

/// Where a text stands, seen from its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
    /// Centred, upwards.
    Upwards,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Font {
    pub(super) size: f64,
    pub(super) bold: bool,
}

/// Of numbers and labels.
pub(super) const SMALL: Font = Font { size: 12.0, bold: false };
/// Of titles of axes.
pub(super) const NORMAL: Font = Font { size: 13.0, bold: false };
/// Of titles of panels.
pub(super) const STRONG: Font = Font { size: 13.0, bold: true };

/// Draws on a picture.
pub(super) struct Pen<'p> {
    area: DrawingArea<SVGBackend<'p>, Shift>,
    theme: Theme,
}

/// Draws a picture of that size and returns it as SVG.
pub(super) fn picture(
    width: f64,
    height: f64,
    theme: Theme,
    draw: impl FnOnce(&Pen<'_>) -> Drawn,
) -> Drawn<String> {
    know_fonts()?;
    let mut svg = String::new();
    let size = ((width * UNITS) as u32, (height * UNITS) as u32);
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&theme.color(Role::Ground))?;
        let pen = Pen { area, theme };
        draw(&pen)?;
        pen.area.present()?;
    }
    // The picture has its size in pixels, and lines end and bend softly.
    let head = format!("<svg width=\"{}\" height=\"{}\"", size.0, size.1);
    let soft = "stroke-linejoin=\"round\" stroke-linecap=\"round\"";
    Ok(svg.replacen(&head, &format!("<svg width=\"{width}\" height=\"{height}\" {soft}"), 1))
}

impl Pen<'_> {
    pub(super) fn line(&self, from: Place, to: Place, color: Role, width: f64) -> Drawn {
        self.path(&[from, to], color, width)
    }

    pub(super) fn path(&self, points: &[Place], color: Role, width: f64) -> Drawn {
        let style = self.theme.color(color).stroke_width((width * UNITS) as u32);
        Ok(self
            .area
            .draw(&PathElement::new(points.iter().map(units).collect::<Vec<_>>(), style))?)
    }

    /// A level line of dashes.
    pub(super) fn dashes(
        &self,
        (mut left, y): Place,
        right: f64,
        color: Role,
        width: f64,
    ) -> Drawn {
        while left < right {
            self.line((left, y), ((left + 5.0).min(right), y), color, width)?;
            left += 9.0;
        }
        Ok(())
    }

    pub(super) fn area(&self, outline: &[Place], color: Role, opacity: f64) -> Drawn {
        let style = self.theme.color(color).mix(opacity).filled();
        Ok(self.area.draw(&Polygon::new(outline.iter().map(units).collect::<Vec<_>>(), style))?)
    }

    pub(super) fn field(&self, frame: Frame, color: RGBColor) -> Drawn {
        let corners = [units(&(frame.left, frame.top)), units(&(frame.right, frame.bottom))];
        Ok(self.area.draw(&Rectangle::new(corners, color.filled()))?)
    }

    /// A mark of one of a few shapes, with a seam in the colour of the ground, so that marks on top of each other stay apart.
    pub(super) fn mark(&self, place: Place, shape: Mark, color: Role, radius: f64) -> Drawn {
        self.bare_mark(place, shape, Role::Ground, radius + 1.2)?;
        self.bare_mark(place, shape, color, radius)
    }

    fn bare_mark(&self, (x, y): Place, shape: Mark, color: Role, radius: f64) -> Drawn {
        if shape.0.is_multiple_of(SHAPES) {
            let style = self.theme.color(color).filled();
            return Ok(self.area.draw(&Circle::new(
                units(&(x, y)),
                (radius * UNITS) as i32,
                style,
            ))?);
        }
        let corners = outline(shape).iter().map(|(dx, dy)| (x + dx * radius, y + dy * radius));
        self.area(&corners.collect::<Vec<_>>(), color, 1.0)
    }

    /// A mark that is empty inside.
    pub(super) fn hollow(&self, place: Place, shape: Mark, color: Role, radius: f64) -> Drawn {
        self.mark(place, shape, color, radius)?;
        self.bare_mark(place, shape, Role::Ground, radius - 1.8)
    }

    pub(super) fn text(
        &self,
        text: &str,
        place: Place,
        anchor: Anchor,
        font: Font,
        color: Role,
    ) -> Drawn {
        self.ink(text, place, anchor, font, self.theme.color(color))
    }

    /// As [`Self::text`], in any colour.
    pub(super) fn ink(
        &self,
        text: &str,
        place: Place,
        anchor: Anchor,
        font: Font,
        color: RGBColor,
    ) -> Drawn {
        let horizontal = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle | Anchor::Upwards => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let transform =
            if anchor == Anchor::Upwards { FontTransform::Rotate270 } else { FontTransform::None };
        let style = TextStyle::from(face(font))
            .color(&color)
            .transform(transform)
            .pos(Pos::new(horizontal, VPos::Center));
        Ok(self.area.draw_text(text, &style, units(&place))?)
    }
}

/// The width of a text. Other fonts that a reader may have are narrower.
pub(super) fn width(text: &str, font: Font) -> Drawn<f64> {
    know_fonts()?;
    let ((left, _), (right, _)) =
        face(font).layout_box(text).map_err(|error| ChartError(error.to_string()))?;
    Ok(f64::from(right - left) / UNITS)
}

/// The widest of some texts.
pub(super) fn widest<'t>(texts: impl IntoIterator<Item = &'t str>, font: Font) -> Drawn<f64> {
    texts.into_iter().try_fold(0.0, |widest: f64, text| Ok(widest.max(width(text, font)?)))
}

/// The text, or as much of its beginning as fits.
pub(super) fn fitted(text: &str, font: Font, room: f64) -> Drawn<String> {
    let mut fitted = text.to_owned();
    while width(&fitted, font)? > room && fitted.chars().count() > 2 {
        let kept = fitted.chars().count() - 2;
        fitted = fitted.chars().take(kept).collect::<String>().trim_end().to_owned() + "…";
    }
    Ok(fitted)
}

/// Tells plotters the fonts that it is to measure with.
fn know_fonts() -> Drawn {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    let fonts =
        [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())];
    let all = |(style, font)| register_font("sans-serif", style, font).is_ok();
    match KNOWN.get_or_init(|| fonts.into_iter().all(all)) {
        true => Ok(()),
        false => Err(ChartError("the font cannot be read".to_owned())),
    }
}

fn face(font: Font) -> FontDesc<'static> {
    let style = if font.bold { FontStyle::Bold } else { FontStyle::Normal };
    FontDesc::new(FontFamily::SansSerif, font.size * UNITS * TEXT_FACTOR, style)
}

fn units((x, y): &Place) -> (i32, i32) {
    ((x * UNITS).round() as i32, (y * UNITS).round() as i32)
}

/// A mark by itself, in the colours of the page.
pub(crate) fn swatch(look: Look) -> String {
    let fill = look.tint.name();
    let shape = match outline(look.mark) {
        [] => format!("<circle r=\"4.6\" fill=\"var({fill})\"/>"),
        corners => {
            let points: Vec<String> =
                corners.iter().map(|(x, y)| format!("{:.1},{:.1}", 5.0 * x, 5.0 * y)).collect();
            format!("<polygon points=\"{}\" fill=\"var({fill})\"/>", points.join(" "))
        }
    };
    format!(
        "<svg width=\"12\" height=\"12\" viewBox=\"-6.5 -6.5 13 13\" aria-hidden=\"true\">{shape}</svg>"
    )
}

/// Corners of a shape of radius 1; a circle has none.
fn outline(Mark(shape): Mark) -> &'static [(f64, f64)] {
    match shape % SHAPES {
        0 => &[],
        1 => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2 => &[(0.0, -1.2), (1.1, 0.85), (-1.1, 0.85)],
        3 => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        4 => &[(0.0, 1.2), (1.1, -0.85), (-1.1, -0.85)],
        5 => &[(1.2, 0.0), (-0.85, 1.1), (-0.85, -1.1)],
        6 => &[(-0.45, -1.2), (0.45, -1.2), (0.45, 1.2), (-0.45, 1.2)],
        _ => &[(-1.2, 0.0), (0.85, 1.1), (0.85, -1.1)],
    }
}
