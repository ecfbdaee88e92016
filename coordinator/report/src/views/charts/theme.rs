//! Colours by their purpose, on light and on dark ground.
//!
//! Hues are those of Okabe and Ito, which colour-blind readers can distinguish. Marks repeat in
//! their shapes what colours express.

use std::{fmt, sync::LazyLock};

/// A colour by its purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    Ground,
    Ink,
    Muted,
    Grid,
    Regulariser(Tint),
    /// The same in all themes.
    Fixed(Rgb),
}

/// Red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rgb([u8; 3]);

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02X}{green:02X}{blue:02X}")
    }
}

/// Families of regularisers: combinations of dropout, batch norm, function norm and weight decay,
/// and the same combinations together with anything else.
pub(super) const FAMILIES: usize = 2 * COMMON;
/// The families without anything else.
pub(super) const COMMON: usize = 12;
/// Shades of one family, from faint to strong.
pub(super) const SHADES: usize = 5;
/// The shade of a family's only member.
pub(super) const MIDDLE: usize = SHADES / 2;

/// The colour of a regulariser: its family is the hue, its strength the shade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tint {
    pub(super) family: usize,
    pub(super) shade: usize,
}

impl Tint {
    fn all() -> impl Iterator<Item = Self> {
        (0..FAMILIES * SHADES).map(|place| Self { family: place / SHADES, shade: place % SHADES })
    }
}

/// A set of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
    /// Variables of the page around the picture, which has a light and a dark theme itself.
    Page,
}

/// The middle shade of each family in both themes, in the order of `palette::family`.
const HUES: [[u32; 2]; FAMILIES] = [
    [0x6B7075, 0xB4BBC2],
    [0xC85200, 0xFF8B45],
    [0xB3478A, 0xE79CC6],
    [0x00805C, 0x2CC796],
    [0x0072B2, 0x4FA8E8],
    [0x9A6A00, 0xEFBE3F],
    [0x6A45B5, 0xB79CFF],
    [0x007A85, 0x5CD0DC],
    [0x8C4A2F, 0xD9A48C],
    [0x5F7300, 0xBBD05A],
    [0x8E2F4F, 0xF08CA8],
    [0x3F5878, 0x9DB8DC],
    [0x7D7200, 0xD6CB3C],
    [0x1D7C64, 0x1DCDA1],
    [0xBE2D9A, 0xF098DA],
    [0x357C1D, 0x49CD1D],
    [0x7656D7, 0xBCAAF3],
    [0xB64D2B, 0xEEA087],
    [0x227591, 0x51C1E6],
    [0xC23B3B, 0xF5A3A3],
    [0x6E5A8E, 0xB9A6DA],
    [0xA935D0, 0xDC9DF1],
    [0x5E741B, 0x9AC41C],
    [0x4165D2, 0x9DB2F1],
];

/// Contrast between the ground and the faintest shade.
const FAINT: f64 = 2.7;
/// Contrast between the ground and the strongest shade, in the light theme and in the dark one.
const STRONGEST: [f64; 2] = [11.0, 16.0];

/// The colours of all tints, in the light theme and in the dark one.
static TINTS: LazyLock<[Vec<Rgb>; 2]> = LazyLock::new(|| [Theme::Light, Theme::Dark].map(tints));

fn tints(theme: Theme) -> Vec<Rgb> {
    let ground = theme.color(Color::Ground);
    let color = |Tint { family, shade }| {
        let base = rgb(HUES[family][theme as usize]);
        let (end, wanted) = if shade < MIDDLE {
            (ground, FAINT)
        } else {
            (rgb([0x000000, 0xFFFFFF][theme as usize]), STRONGEST[theme as usize])
        };
        let end = with_contrast(base, end, wanted, ground);
        blend(base, end, shade.abs_diff(MIDDLE) as f64 / MIDDLE as f64)
    };
    Tint::all().map(color).collect()
}

/// The colour between two others that has this contrast to the ground.
fn with_contrast(base: Rgb, end: Rgb, wanted: f64, ground: Rgb) -> Rgb {
    let (mut near, mut far) = (0.0, 1.0);
    let grows = contrast(end, ground) > contrast(base, ground);
    for _ in 0..20 {
        let middle = f64::midpoint(near, far);
        let beyond = (contrast(blend(base, end, middle), ground) > wanted) == grows;
        if beyond { far = middle } else { near = middle }
    }
    blend(base, end, near)
}

fn blend(Rgb(from): Rgb, Rgb(to): Rgb, share: f64) -> Rgb {
    let mix = |from: f64, to: f64| (from + share * (to - from)).round() as u8;
    Rgb([0, 1, 2].map(|part| mix(from[part].into(), to[part].into())))
}

impl Color {
    /// Its variable in style sheets, and what it is in the light theme and in the dark one.
    fn named(self) -> (String, [Rgb; 2]) {
        let (variable, colors) = match self {
            Self::Ground => ("--ground", [0xFFFFFF, 0x14181C]),
            Self::Ink => ("--ink", [0x16191D, 0xEDF0F2]),
            Self::Muted => ("--muted", [0x5A626B, 0xA4ADB6]),
            Self::Grid => ("--grid", [0xE2E6EA, 0x2D343B]),
            Self::Regulariser(Tint { family, shade }) => {
                let tint = [0, 1].map(|theme: usize| TINTS[theme][family * SHADES + shade]);
                return (format!("--r{family}-{shade}"), tint);
            }
            Self::Fixed(color) => return (String::new(), [color; 2]),
        };
        (variable.to_owned(), colors.map(rgb))
    }

    pub(crate) fn variable(self) -> String {
        self.named().0
    }

    /// All colours with a variable.
    fn all() -> impl Iterator<Item = Self> {
        let plain = [Self::Ground, Self::Ink, Self::Muted, Self::Grid];
        plain.into_iter().chain(Tint::all().map(Self::Regulariser))
    }
}

impl Theme {
    /// A page's own colours are those of the light theme, unless it is asked for variables.
    pub(crate) fn color(self, color: Color) -> Rgb {
        color.named().1[usize::from(self == Self::Dark)]
    }

    /// A colour as pictures name it.
    pub(super) fn paint(self, color: Color) -> String {
        match (self, color) {
            (Self::Page, Color::Fixed(color)) => color.to_string(),
            (Self::Page, color) => format!("var({})", color.variable()),
            _ => self.color(color).to_string(),
        }
    }

    /// All colours as declarations of a style sheet.
    pub(crate) fn declarations(self) -> String {
        Color::all().map(|color| format!("{}:{};", color.variable(), self.color(color))).collect()
    }

    /// The end of file names in this theme.
    pub(crate) fn suffix(self) -> &'static str {
        if self == Self::Dark { "-dark" } else { "" }
    }
}

/// The colour of a difference, and an ink that can be read on it; `share` from -1 to 1.
///
/// Gains have the colour of the function norm, losses the grey of none.
pub(super) fn diverging(share: f64) -> (Color, Color) {
    const STEPS: [[u8; 3]; 5] =
        [[107, 112, 117], [186, 189, 192], [247, 248, 249], [140, 191, 224], [0, 114, 178]];
    mixed(&STEPS, (share.clamp(-1.0, 1.0) + 1.0) / 2.0)
}

/// The colour of a number, the larger, the darker, and an ink that can be read on it; `share` from
/// 0 to 1.
pub(super) fn sequential(share: f64) -> (Color, Color) {
    const STEPS: [[u8; 3]; 4] = [[240, 245, 250], [158, 196, 225], [67, 128, 184], [18, 62, 116]];
    mixed(&STEPS, share.clamp(0.0, 1.0))
}

fn mixed(steps: &[[u8; 3]], share: f64) -> (Color, Color) {
    let place = share * (steps.len() - 1) as f64;
    let lower = (place as usize).min(steps.len() - 2);
    let color = blend(Rgb(steps[lower]), Rgb(steps[lower + 1]), place - lower as f64);
    // At this luminance black and white have the same contrast.
    let ink = if luminance(color) < 0.178 { 0xFEFEFE } else { 0x000000 };
    (Color::Fixed(color), Color::Fixed(rgb(ink)))
}

/// Contrast as WCAG 2.2 defines it.
fn contrast(one: Rgb, other: Rgb) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Relative luminance as WCAG 2.2 defines it, 0 to 1.
fn luminance(Rgb(parts): Rgb) -> f64 {
    let linear = |part: u8| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = parts.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn rgb(color: u32) -> Rgb {
    let [_, red, green, blue] = color.to_be_bytes();
    Rgb([red, green, blue])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2 demands 4.5 of text and 3 of marks. The faintest shades have 2.6 only, since shapes
    /// and labels express the same.
    #[test]
    fn all_colours_stand_out_from_their_ground() {
        for theme in [Theme::Light, Theme::Dark] {
            let on_ground = |color| contrast(theme.color(color), theme.color(Color::Ground));
            assert!(on_ground(Color::Ink) > 12.0 && on_ground(Color::Muted) > 4.5, "{theme:?}");
            for tint in Tint::all() {
                assert!(on_ground(Color::Regulariser(tint)) > 2.6, "{theme:?} {tint:?}");
            }
        }
        for step in -10i32..=10 {
            for (ground, ink) in
                [diverging(f64::from(step) / 10.0), sequential(f64::from(step.abs()) / 10.0)]
            {
                let [ground, ink] = [ground, ink].map(|color| Theme::Light.color(color));
                assert!(contrast(ground, ink) > 4.5, "{step}");
            }
        }
    }

    /// Distance in CIELAB (D65): 2.3 can just be seen.
    fn distance(one: Rgb, other: Rgb) -> f64 {
        let lab = |Rgb(parts): Rgb| {
            let only = |part: usize| {
                let mut alone = [0; 3];
                alone[part] = parts[part];
                luminance(Rgb(alone)) / [0.2126, 0.7152, 0.0722][part]
            };
            let [red, green, blue] = [0, 1, 2].map(only);
            let x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505;
            let y = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
            let z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089;
            let root = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
            let [x, y, z] = [x, y, z].map(root);
            [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
        };
        let (one, other) = (lab(one), lab(other));
        one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn single_regularisers_have_distant_colours() {
        // None, weight decay, dropout, batch norm, function norm, anything else.
        let families = [0, 1, 2, 3, 4, COMMON];
        for theme in [Theme::Light, Theme::Dark] {
            let color = |family| theme.color(Color::Regulariser(Tint { family, shade: MIDDLE }));
            for (place, one) in families.iter().enumerate() {
                for other in &families[..place] {
                    let distance = distance(color(*one), color(*other));
                    assert!(distance > 30.0, "{theme:?} {one} {other}: {distance:.0}");
                }
            }
        }
    }

    #[test]
    fn shades_grow_stronger_and_colours_differ() {
        for theme in [Theme::Light, Theme::Dark] {
            let ground = theme.color(Color::Ground);
            for family in 0..FAMILIES {
                let of = |shade| {
                    contrast(theme.color(Color::Regulariser(Tint { family, shade })), ground)
                };
                assert!(
                    (1..SHADES).all(|shade| of(shade) > 1.15 * of(shade - 1)),
                    "{theme:?} {family}"
                );
            }
            let all: std::collections::BTreeSet<String> =
                Color::all().map(|color| theme.paint(color)).collect();
            assert_eq!(all.len(), Color::all().count());
        }
    }
}
