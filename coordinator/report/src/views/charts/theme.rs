//! Colours, by what they are for, on light and on dark ground. Hues are those of Okabe and Ito, which colour-blind readers can
//! tell apart; shapes of marks say the same again.

use std::sync::LazyLock;

use plotters::style::RGBColor;

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Ground,
    Ink,
    Muted,
    Grid,
    /// Of a regulariser.
    Of(Tint),
}

/// Kinds of regularisers and of their combinations: those of dropout, batch norm, function norm and weight decay, and the same
/// together with anything else.
pub(super) const FAMILIES: usize = 2 * COMMON;
/// The first of them.
pub(super) const COMMON: usize = 12;
/// Shades of one kind, from faint to strong.
pub(super) const SHADES: usize = 5;
/// The shade of a kind that has one alone.
pub(super) const MIDDLE: usize = SHADES / 2;

/// The colour of a regulariser: its kind is the hue, its strength the shade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tint {
    pub(super) family: usize,
    pub(super) shade: usize,
}

impl Tint {
    /// The name of the colour in style sheets.
    pub(crate) fn name(self) -> String {
        format!("--r{}-{}", self.family, self.shade)
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..FAMILIES * SHADES).map(|place| Self { family: place / SHADES, shade: place % SHADES })
    }
}

/// A set of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
}

/// Roles that are no regulariser, with their names in style sheets and their colours in both themes.
const PLAIN: [(Role, &str, u32, u32); 4] = [
    (Role::Ground, "--ground", 0xFFFFFF, 0x14181C),
    (Role::Ink, "--ink", 0x16191D, 0xEDF0F2),
    (Role::Muted, "--muted", 0x5A626B, 0xA4ADB6),
    (Role::Grid, "--grid", 0xE2E6EA, 0x2D343B),
];

/// The middle shade of each kind in both themes, in the order of `palette::family`.
const HUES: [(u32, u32); FAMILIES] = [
    (0x6B7075, 0xB4BBC2),
    (0xC85200, 0xFF8B45),
    (0xB3478A, 0xE79CC6),
    (0x00805C, 0x2CC796),
    (0x0072B2, 0x4FA8E8),
    (0x9A6A00, 0xEFBE3F),
    (0x6A45B5, 0xB79CFF),
    (0x007A85, 0x5CD0DC),
    (0x8C4A2F, 0xD9A48C),
    (0x5F7300, 0xBBD05A),
    (0x8E2F4F, 0xF08CA8),
    (0x3F5878, 0x9DB8DC),
    (0xB64D2B, 0xEEA087),
    (0x1D7C64, 0x1DCDA1),
    (0xBE2D9A, 0xF098DA),
    (0x357C1D, 0x49CD1D),
    (0x7656D7, 0xBCAAF3),
    (0x846B1F, 0xDFAF20),
    (0x227591, 0x51C1E6),
    (0xC23B3B, 0xF5A3A3),
    (0x6E5A8E, 0xB9A6DA),
    (0xA935D0, 0xDC9DF1),
    (0x5E741B, 0x9AC41C),
    (0x4165D2, 0x9DB2F1),
];

/// Contrast to the ground of the faintest shade.
const FAINT: f64 = 2.7;

/// The colours of all tints: in the light theme and in the dark one.
static TINTS: LazyLock<[Vec<RGBColor>; 2]> =
    LazyLock::new(|| [Theme::Light, Theme::Dark].map(tints));

fn tints(theme: Theme) -> Vec<RGBColor> {
    let ground = theme.color(Role::Ground);
    let of = |Tint { family, shade }| {
        let base = rgb(if theme == Theme::Light { HUES[family].0 } else { HUES[family].1 });
        let end = if shade < MIDDLE {
            toward(base, ground, FAINT, ground)
        } else {
            toward(base, theme.far(), theme.strongest(), ground)
        };
        blend(base, end, shade.abs_diff(MIDDLE) as f64 / MIDDLE as f64)
    };
    Tint::all().map(of).collect()
}

/// The colour between two ends with that contrast to the ground.
fn toward(base: RGBColor, end: RGBColor, wanted: f64, ground: RGBColor) -> RGBColor {
    let (mut near, mut far) = (0.0, 1.0);
    let grows = contrast(end, ground) > contrast(base, ground);
    for _ in 0..20 {
        let middle = (near + far) / 2.0;
        let beyond = (contrast(blend(base, end, middle), ground) > wanted) == grows;
        if beyond { far = middle } else { near = middle }
    }
    blend(base, end, near)
}

fn blend(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let mix = |from: u8, to: u8| {
        (f64::from(from) + share * (f64::from(to) - f64::from(from))).round() as u8
    };
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

impl Theme {
    pub(crate) fn color(self, role: Role) -> RGBColor {
        if let Role::Of(tint) = role {
            return TINTS[self as usize][tint.family * SHADES + tint.shade];
        }
        let (_, _, light, dark) =
            PLAIN.into_iter().find(|(other, ..)| *other == role).unwrap_or(PLAIN[0]);
        rgb(if self == Self::Light { light } else { dark })
    }

    /// The colour that stands out most.
    fn far(self) -> RGBColor {
        rgb(if self == Self::Light { 0x000000 } else { 0xFFFFFF })
    }

    /// Contrast to the ground of the strongest shade.
    fn strongest(self) -> f64 {
        if self == Self::Light { 11.0 } else { 16.0 }
    }

    /// All colours as declarations of a style sheet.
    pub(crate) fn declarations(self) -> String {
        named().map(|(role, name)| format!("{name}:{};", hex(self.color(role)))).collect()
    }

    /// What follows the name of a file in this theme.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Light => "",
            Self::Dark => "-dark",
        }
    }
}

/// All roles with their names.
fn named() -> impl Iterator<Item = (Role, String)> {
    let plain = PLAIN.into_iter().map(|(role, name, ..)| (role, name.to_owned()));
    plain.chain(Tint::all().map(|tint| (Role::Of(tint), tint.name())))
}

pub(super) fn hex(RGBColor(r, g, b): RGBColor) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// A drawing in light colours with the names of colours in their place: it then follows the page that it stands in.
pub(crate) fn follow_page(svg: &str) -> String {
    named().fold(svg.to_owned(), |svg, (role, name)| {
        svg.replace(&format!("\"{}\"", hex(Theme::Light.color(role))), &format!("\"var({name})\""))
    })
}

/// The colour of a difference: that of the function norm where it gains, the grey of none where it loses; `share` from -1 to 1.
/// The same in both themes, as is the ink on it.
pub(crate) fn diverging(share: f64) -> (RGBColor, RGBColor) {
    const STEPS: [[f64; 3]; 5] = [
        [107.0, 112.0, 117.0],
        [186.0, 189.0, 192.0],
        [247.0, 248.0, 249.0],
        [140.0, 191.0, 224.0],
        [0.0, 114.0, 178.0],
    ];
    mixed(&STEPS, (share.clamp(-1.0, 1.0) + 1.0) / 2.0)
}

/// The colour of a number: the more, the darker; `share` from 0 to 1.
pub(crate) fn sequential(share: f64) -> (RGBColor, RGBColor) {
    const STEPS: [[f64; 3]; 4] =
        [[240.0, 245.0, 250.0], [158.0, 196.0, 225.0], [67.0, 128.0, 184.0], [18.0, 62.0, 116.0]];
    mixed(&STEPS, share.clamp(0.0, 1.0))
}

/// A colour between the steps, and an ink that can be read on it.
fn mixed(steps: &[[f64; 3]], share: f64) -> (RGBColor, RGBColor) {
    let place = share * (steps.len() - 1) as f64;
    let lower = (place as usize).min(steps.len() - 2);
    let part = place - lower as f64;
    let [r, g, b] =
        [0, 1, 2].map(|c| steps[lower][c] + part * (steps[lower + 1][c] - steps[lower][c]));
    let color = RGBColor(r as u8, g as u8, b as u8);
    // Where black and white stand out alike.
    let ink = if luminance(color) < 0.178 { rgb(0xFEFEFE) } else { rgb(0x000000) };
    (color, ink)
}

/// Contrast of WCAG 2.2.
fn contrast(one: RGBColor, other: RGBColor) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Relative luminance of WCAG 2.2, 0 to 1.
fn luminance(RGBColor(r, g, b): RGBColor) -> f64 {
    let linear = |c: u8| {
        let c = f64::from(c) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

fn rgb(color: u32) -> RGBColor {
    let [_, r, g, b] = color.to_be_bytes();
    RGBColor(r, g, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2 asks 4.5 of text. Of marks it asks 3; the faintest shades are given 2.6, since shapes and labels say the same.
    #[test]
    fn all_colours_can_be_seen_on_their_ground() {
        for theme in [Theme::Light, Theme::Dark] {
            let on_ground = |role| contrast(theme.color(role), theme.color(Role::Ground));
            assert!(on_ground(Role::Ink) > 12.0 && on_ground(Role::Muted) > 4.5, "{theme:?}");
            for tint in Tint::all() {
                assert!(on_ground(Role::Of(tint)) > 2.6, "{theme:?} {tint:?}");
            }
        }
        for step in -10i32..=10 {
            let (ground, ink) = diverging(f64::from(step) / 10.0);
            assert!(contrast(ground, ink) > 4.5, "{step}");
            let (ground, ink) = sequential(f64::from(step.abs()) / 10.0);
            assert!(contrast(ground, ink) > 4.5, "{step}");
        }
    }

    #[test]
    fn shades_grow_stronger_and_no_two_colours_are_the_same() {
        for theme in [Theme::Light, Theme::Dark] {
            let ground = theme.color(Role::Ground);
            for family in 0..FAMILIES {
                let of = |shade| contrast(theme.color(Role::Of(Tint { family, shade })), ground);
                assert!(
                    (1..SHADES).all(|shade| of(shade) > 1.15 * of(shade - 1)),
                    "{theme:?} {family}"
                );
            }
            let all: std::collections::BTreeSet<String> =
                named().map(|(role, _)| hex(theme.color(role))).collect();
            assert_eq!(all.len(), named().count(), "the page replaces colours by their names");
        }
    }
}
