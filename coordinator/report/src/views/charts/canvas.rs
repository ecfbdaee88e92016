//! A picture in SVG, drawn in pixels and in the colours of a theme.

use std::sync::LazyLock;

use skrifa::{
    FontRef, MetadataProvider as _,
    instance::{LocationRef, Size},
};
use swfn_shared::quote::for_sentence;

use super::{
    palette::{Look, Mark, SHAPES},
    theme::{Color, Theme},
};

/// Pixels from the left edge and from the upper edge.
pub(super) type Position = (f64, f64);

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

    /// The middle of the rectangle.
    pub(super) fn center(&self) -> Position {
        (self.left.midpoint(self.right), self.top.midpoint(self.bottom))
    }

    /// Pixels from the left edge of the picture, for a share of the width. Stays within the frame.
    pub(super) fn across(&self, share: f64) -> f64 {
        self.left + share.clamp(0.0, 1.0) * self.width()
    }

    /// Pixels from the upper edge of the picture, for a share of the height that counts from below.
    pub(super) fn level(&self, share: f64) -> f64 {
        self.bottom - share.clamp(0.0, 1.0) * self.height()
    }

    fn corners(&self) -> [Position; 4] {
        let Self { left, top, right, bottom } = *self;
        [(left, top), (right, top), (right, bottom), (left, bottom)]
    }
}

/// Which part of a text stands at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
    /// The middle of a text that runs upwards.
    Upwards,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextStyle {
    /// In pixels.
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) color: Color,
}

pub(super) const NUMBER: TextStyle = TextStyle { color: Color::Muted, ..LABEL };
pub(super) const LABEL: TextStyle = TextStyle { size: 12.0, bold: false, color: Color::Ink };
pub(super) const BOLD_LABEL: TextStyle = TextStyle { bold: true, ..LABEL };
pub(super) const AXIS_TITLE: TextStyle = TextStyle { size: 13.0, ..LABEL };
pub(super) const PANEL_TITLE: TextStyle = TextStyle { bold: true, ..AXIS_TITLE };

/// A picture that is being drawn.
pub(super) struct Canvas {
    svg: String,
    theme: Theme,
}

/// Draws a picture of that size in pixels, and returns it as SVG.
pub(super) fn picture(
    width: f64,
    height: f64,
    theme: Theme,
    draw: impl FnOnce(&mut Canvas),
) -> String {
    let (right, bottom) = (width.ceil(), height.ceil());
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right}\" height=\"{bottom}\" \
         viewBox=\"0 0 {right} {bottom}\" font-family=\"sans-serif\" stroke-linejoin=\"round\" \
         stroke-linecap=\"round\">\n"
    );
    let mut canvas = Canvas { svg, theme };
    canvas.area(&Frame { left: 0.0, top: 0.0, right, bottom }.corners(), Color::Ground, 1.0);
    draw(&mut canvas);
    canvas.svg + "</svg>\n"
}

impl Canvas {
    pub(super) fn line(&mut self, from: Position, to: Position, color: Color, width: f64) {
        self.path(&[from, to], color, width);
    }

    pub(super) fn path(&mut self, points: &[Position], color: Color, width: f64) {
        let (points, color) = (list(points), self.theme.paint(color));
        self.svg += &format!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" \
             stroke-width=\"{width}\"/>\n"
        );
    }

    /// A horizontal line of dashes.
    pub(super) fn dashes(&mut self, (left, y): Position, right: f64, color: Color, width: f64) {
        let starts = (0..).map(|dash| left + 9.0 * f64::from(dash));
        for start in starts.take_while(|start| *start < right) {
            self.line((start, y), ((start + 5.0).min(right), y), color, width);
        }
    }

    pub(super) fn area(&mut self, outline: &[Position], color: Color, opacity: f64) {
        let (points, color) = (list(outline), self.theme.paint(color));
        self.svg +=
            &format!("<polygon points=\"{points}\" fill=\"{color}\" opacity=\"{opacity}\"/>\n");
    }

    pub(super) fn rectangle(&mut self, frame: Frame, color: Color, opacity: f64) {
        self.area(&frame.corners(), color, opacity);
    }

    /// The head of an arrow: its tip, and the direction in which it points, of length 1.
    pub(super) fn arrow(&mut self, (x, y): Position, (dx, dy): (f64, f64), color: Color) {
        let (back_x, back_y) = (x - 6.0 * dx, y - 6.0 * dy);
        let side = |sign: f64| (back_x - sign * 3.5 * dy, back_y + sign * 3.5 * dx);
        self.area(&[(x, y), side(1.0), side(-1.0)], color, 1.0);
    }

    /// A mark with a seam in the colour of the ground, so that marks on top of each other stay
    /// apart.
    pub(super) fn mark(&mut self, center: Position, look: Look, radius: f64) {
        self.shape(center, look.mark, radius + 1.2, Color::Ground);
        self.shape(center, look.mark, radius, look.color());
    }

    /// A mark that is empty inside.
    pub(super) fn hollow_mark(&mut self, center: Position, look: Look, radius: f64) {
        self.mark(center, look, radius);
        self.shape(center, look.mark, radius - 1.8, Color::Ground);
    }

    fn shape(&mut self, center: Position, mark: Mark, radius: f64, color: Color) {
        self.svg += &shape(center, mark, radius, &self.theme.paint(color));
    }

    pub(super) fn text(&mut self, text: &str, at: Position, anchor: Anchor, style: TextStyle) {
        let ((x, y), color) = (at, self.theme.paint(style.color));
        let text =
            for_sentence(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
        let (anchor, turn) = match anchor {
            Anchor::Left => ("start", String::new()),
            Anchor::Middle => ("middle", String::new()),
            Anchor::Right => ("end", String::new()),
            Anchor::Upwards => ("middle", format!(" transform=\"rotate(270, {x:.1}, {y:.1})\"")),
        };
        self.svg += &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" dy=\"0.5ex\" text-anchor=\"{anchor}\" \
             font-size=\"{}\" fill=\"{color}\"{weight}{turn}>{text}</text>\n",
            style.size
        );
    }

    /// The title above the upper left corner of a frame, as much as fits.
    pub(super) fn title(&mut self, title: &str, frame: Frame) {
        let title = fitted(title, PANEL_TITLE, frame.width());
        self.text(&title, (frame.left, frame.top - 13.0), Anchor::Left, PANEL_TITLE);
    }
}

fn list(points: &[Position]) -> String {
    let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    points.join(" ")
}

/// The width of a text in pixels. Other fonts that a reader may have are narrower.
pub(super) fn width(text: &str, style: TextStyle) -> f64 {
    static FONTS: LazyLock<[FontRef<'static>; 2]> = LazyLock::new(|| {
        [dejavu::sans::regular(), dejavu::sans::bold()]
            .map(|font| FontRef::new(font).expect("the font is part of the program"))
    });
    let font = &FONTS[usize::from(style.bold)];
    let (glyphs, size) = (font.charmap(), Size::new(style.size as f32));
    let metrics = font.glyph_metrics(size, LocationRef::default());
    let advance = |letter| metrics.advance_width(glyphs.map(letter).unwrap_or_default());
    text.chars().filter_map(advance).map(f64::from).sum()
}

/// The width of the widest text.
pub(super) fn widest<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, style: TextStyle) -> f64 {
    texts.into_iter().map(|text| width(text.as_ref(), style)).fold(0.0, f64::max)
}

/// The text, or as much of its beginning as fits.
pub(super) fn fitted(text: &str, style: TextStyle, room: f64) -> String {
    let mut fitted = text.to_owned();
    while width(&fitted, style) > room && fitted.chars().count() > 2 {
        let kept = fitted.chars().count() - 2;
        fitted = fitted.chars().take(kept).collect::<String>().trim_end().to_owned() + "…";
    }
    fitted
}

/// A mark by itself, in the colours of the page.
pub(crate) fn swatch(look: Look) -> String {
    let mark = shape((0.0, 0.0), look.mark, 5.0, &Theme::Page.paint(look.color()));
    format!(
        "<svg width=\"12\" height=\"12\" viewBox=\"-6.5 -6.5 13 13\" aria-hidden=\"true\">{mark}\
         </svg>"
    )
}

fn shape((x, y): Position, Mark(shape): Mark, radius: f64, fill: &str) -> String {
    let corners: &[Position] = match shape % SHAPES {
        0 => {
            return format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\"/>\n"
            );
        }
        1 => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2 => &[(0.0, -1.2), (1.1, 0.85), (-1.1, 0.85)],
        3 => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        4 => &[(0.0, 1.2), (1.1, -0.85), (-1.1, -0.85)],
        5 => &[(1.2, 0.0), (-0.85, 1.1), (-0.85, -1.1)],
        6 => &[(-0.45, -1.2), (0.45, -1.2), (0.45, 1.2), (-0.45, 1.2)],
        _ => &[(-1.2, 0.0), (0.85, 1.1), (0.85, -1.1)],
    };
    let corners: Vec<_> =
        corners.iter().map(|(dx, dy)| (x + dx * radius, y + dy * radius)).collect();
    format!("<polygon points=\"{}\" fill=\"{fill}\"/>\n", list(&corners))
}
