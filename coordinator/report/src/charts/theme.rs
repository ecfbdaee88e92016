//! Colours, by what they are for, on light and on dark ground. Hues are those of Okabe and Ito, which colour-blind readers can tell apart,
//! darkened or lightened until they stand out from the ground; shapes of marks say the same again.

use plotters::style::RGBColor;

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Ground,
    Ink,
    Muted,
    Grid,
    /// Of one of the things that a chart compares.
    Series(usize),
}

/// Things that one chart compares at most.
pub(crate) const SERIES: usize = 8;

/// A set of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
}

const COUNT: usize = 4 + SERIES;

/// The names of the colours in the style sheet of the report, in the order of the tables below.
const NAMES: [&str; COUNT] =
    ["--ground", "--ink", "--muted", "--grid", "--s0", "--s1", "--s2", "--s3", "--s4", "--s5", "--s6", "--s7"];

const LIGHT: [u32; COUNT] = [
    0xFFFFFF, 0x16191D, 0x5A626B, 0xE2E6EA, 0x0072B2, 0xD55E00, 0x009E73, 0xB8598F, 0xC98A00, 0x3AA0DC, 0x6B7075,
    0x5B3A9B,
];

const DARK: [u32; COUNT] = [
    0x14181C, 0xEDF0F2, 0xA4ADB6, 0x2D343B, 0x4FA8E8, 0xFF8B45, 0x2CC796, 0xE79CC6, 0xEFBE3F, 0x9ADBFF, 0xB4BBC2,
    0xB79CFF,
];

impl Theme {
    pub(crate) fn color(self, role: Role) -> RGBColor {
        let place = match role {
            Role::Ground => 0,
            Role::Ink => 1,
            Role::Muted => 2,
            Role::Grid => 3,
            Role::Series(index) => 4 + index % SERIES,
        };
        rgb(self.table()[place])
    }

    fn table(self) -> &'static [u32; COUNT] {
        match self {
            Self::Light => &LIGHT,
            Self::Dark => &DARK,
        }
    }

    /// All colours as declarations of a style sheet.
    pub(crate) fn declarations(self) -> String {
        NAMES.iter().zip(self.table()).map(|(name, color)| format!("{name}:#{color:06X};")).collect()
    }

    /// What follows the name of a file in this theme.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Light => "",
            Self::Dark => "-dark",
        }
    }
}

/// A drawing in light colours with the names of colours in their place: it then follows the page that it stands in.
pub(crate) fn follow_page(svg: &str) -> String {
    NAMES.iter().zip(&LIGHT).fold(svg.to_owned(), |svg, (name, color)| {
        svg.replace(&format!("\"#{color:06X}\""), &format!("\"var({name})\""))
    })
}

/// The colour of a difference: blue below zero, orange above; `share` from -1 to 1. The same in both themes, as is the ink on it.
pub(crate) fn diverging(share: f64) -> (RGBColor, RGBColor) {
    const STEPS: [[f64; 3]; 5] =
        [[43.0, 92.0, 158.0], [150.0, 187.0, 221.0], [244.0, 243.0, 240.0], [246.0, 189.0, 130.0], [196.0, 88.0, 6.0]];
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
    let [r, g, b] = [0, 1, 2].map(|c| steps[lower][c] + part * (steps[lower + 1][c] - steps[lower][c]));
    let color = RGBColor(r as u8, g as u8, b as u8);
    // Where black and white stand out alike.
    let ink = if luminance(color) < 0.178 { rgb(0xFEFEFE) } else { rgb(0x000000) };
    (color, ink)
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

    /// Contrast of WCAG 2.2.
    fn contrast(one: RGBColor, other: RGBColor) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// WCAG 2.2 asks 4.5 of text. Of marks it asks 3; orange and sky blue on white are given 2.6, since shapes and labels say the same.
    #[test]
    fn all_colours_can_be_seen_on_their_ground() {
        for theme in [Theme::Light, Theme::Dark] {
            let on_ground = |role| contrast(theme.color(role), theme.color(Role::Ground));
            assert!(on_ground(Role::Ink) > 12.0 && on_ground(Role::Muted) > 4.5, "{theme:?}");
            for index in 0..SERIES {
                assert!(on_ground(Role::Series(index)) > 2.6, "{theme:?} {index}");
            }
        }
        for step in -10i32..=10 {
            let (ground, ink) = diverging(f64::from(step) / 10.0);
            assert!(contrast(ground, ink) > 4.5, "{step}");
            let (ground, ink) = sequential(f64::from(step.abs()) / 10.0);
            assert!(contrast(ground, ink) > 4.5, "{step}");
        }
    }
}
