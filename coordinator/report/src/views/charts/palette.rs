//! How regularisers look: one colour and one shape of marks for each, the same in all charts and on all pages of a study.

use serde::Serialize;
use swfn_shared::{
    axes,
    treatment::{Regulariser, Switch},
};

use super::theme::{COMMON, MIDDLE, Role, SHADES, Theme, Tint, hex};

/// How many shapes of marks there are.
pub(super) const SHAPES: usize = 8;

/// Shape of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(pub(super) usize);

/// Colour and shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(super) tint: Tint,
    pub(super) mark: Mark,
}

impl Look {
    pub(super) fn color(self) -> Role {
        Role::Of(self.tint)
    }
}

/// The kind of a regulariser, values left out: its place in the table of hues.
fn family(regulariser: &Regulariser) -> usize {
    let others =
        regulariser.weights().any(|(axis, _)| ![axes::LAMBDA, axes::WEIGHT_DECAY].contains(&axis));
    common_family(regulariser) + if others { COMMON } else { 0 }
}

fn common_family(regulariser: &Regulariser) -> usize {
    let (norm, decay) = (regulariser.lambda() > 0.0, regulariser.weight(axes::WEIGHT_DECAY) > 0.0);
    match (regulariser.switch(), norm, decay) {
        (None, false, false) => 0,
        (None, false, true) => 1,
        (Some(Switch::Dropout), false, false) => 2,
        (Some(Switch::BatchNorm), false, false) => 3,
        (None, true, false) => 4,
        (None, true, true) => 5,
        (Some(Switch::Dropout), true, false) => 6,
        (Some(Switch::BatchNorm), true, false) => 7,
        (Some(Switch::Dropout), false, true) => 8,
        (Some(Switch::BatchNorm), false, true) => 9,
        (Some(Switch::Dropout), true, true) => 10,
        (Some(Switch::BatchNorm), true, true) => 11,
    }
}

/// The colour of a kind as a whole, as of a line over lambda.
pub(super) fn kind(regulariser: &Regulariser) -> Tint {
    Tint { family: family(regulariser), shade: MIDDLE }
}

/// Looks for these regularisers, in their order. One may stand there several times, when other settings tell trials apart.
pub(crate) fn looks(regularisers: &[Regulariser]) -> Vec<Look> {
    let families: Vec<usize> = regularisers.iter().map(family).collect();
    let look = |(place, family): (usize, &usize)| {
        let alike = |families: &[usize]| families.iter().filter(|other| *other == family).count();
        let shade = (2 * alike(&families[..place]) + 1) * SHADES / (2 * alike(&families));
        Look { tint: Tint { family: *family, shade }, mark: Mark(place % SHAPES) }
    };
    families.iter().enumerate().map(look).collect()
}

/// The look of a regulariser, for pages that draw themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Legend {
    /// As in all files.
    pub regulariser: Regulariser,
    /// Name of its colour in [`style`].
    pub variable: String,
    /// Its colour on light ground.
    pub light: String,
    /// Its colour on dark ground.
    pub dark: String,
    /// Shape of its marks.
    pub mark: &'static str,
}

/// What the shapes are called, in the order of [`Mark`].
const MARKS: [&str; SHAPES] = [
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "triangle-down",
    "triangle-right",
    "bar",
    "triangle-left",
];

/// The looks of the regularisers of a study, as its report has them.
pub fn legend(regularisers: impl IntoIterator<Item = Regulariser>) -> Vec<Legend> {
    let mut all: Vec<Regulariser> = regularisers.into_iter().collect();
    all.sort();
    all.dedup();
    let looks = looks(&all);
    let entry = |(regulariser, look): (Regulariser, Look)| Legend {
        regulariser,
        variable: look.tint.name(),
        light: hex(Theme::Light.color(look.color())),
        dark: hex(Theme::Dark.color(look.color())),
        mark: MARKS[look.mark.0],
    };
    all.into_iter().zip(looks).map(entry).collect()
}

/// The colours by their names, for light and dark ground, as a style sheet.
pub fn style() -> String {
    let (light, dark) = (Theme::Light.declarations(), Theme::Dark.declarations());
    format!(":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_regulariser_has_a_colour_and_a_shape_of_its_own() {
        let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = [0]\nsubset_size = 100\narchitecture = [\"net\", \
                    \"net+dropout\", \"lenet\", \"lenet+bn\"]\nlambda = [0, 0.01, 0.1]\nweight_decay = [0, 5e-4]\n";
        let grid = swfn_shared::grid::Grid::parse("t", grid, 1000).unwrap();
        let legend = legend(grid.trials().map(|spec| spec.regulariser()));
        assert_eq!(legend.len(), 3 * 2 * 3);
        let colours: std::collections::BTreeSet<_> =
            legend.iter().map(|entry| &entry.light).collect();
        assert_eq!(colours.len(), legend.len());
        let none = serde_json::to_value(&legend[0]).unwrap();
        assert_eq!(
            (&none["regulariser"], &none["variable"], &none["mark"]),
            (&"none".into(), &"--r0-2".into(), &"circle".into())
        );
        assert!(style().contains(&format!("--r0-2:{};", legend[0].light)));
    }

    #[test]
    fn more_of_the_same_kind_is_stronger() {
        let of = |lambda| Regulariser::new(None).with(axes::LAMBDA, lambda);
        for count in 1..12 {
            let all: Vec<Regulariser> = (1..=count).map(|step| of(f64::from(step))).collect();
            let shades: Vec<usize> = looks(&all).iter().map(|look| look.tint.shade).collect();
            assert!(shades.is_sorted() && shades.iter().all(|shade| *shade < SHADES), "{shades:?}");
            assert!(count > SHADES as i32 || shades.is_sorted_by(|a, b| a < b), "{shades:?}");
        }
    }
}
