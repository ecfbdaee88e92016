//! How regularisers look: each has one colour and one shape of marks, in all charts and on all
//! pages.

use swfn_shared::{
    axes,
    treatment::{Regulariser, Switch},
};

use super::theme::{COMMON, Color, MIDDLE, SHADES, Theme, Tint};

/// Number of shapes of marks.
pub(super) const SHAPES: usize = 8;

/// Shape of a mark, below [`SHAPES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(pub(super) usize);

/// Colour and shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(super) tint: Tint,
    pub(super) mark: Mark,
}

impl Look {
    pub(super) fn color(self) -> Color {
        Color::Regulariser(self.tint)
    }
}

/// The combination of regularisers without their weights, as a row of the table of hues.
fn family(regulariser: &Regulariser) -> usize {
    let (norm, decay) = (regulariser.lambda() > 0.0, regulariser.weight(axes::WEIGHT_DECAY) > 0.0);
    let common = match (regulariser.switch, norm, decay) {
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
    };
    let others =
        regulariser.weights().any(|(axis, _)| ![axes::LAMBDA, axes::WEIGHT_DECAY].contains(&axis));
    common + if others { COMMON } else { 0 }
}

/// The colour of a whole family, for a line over lambda.
pub(super) fn family_tint(regulariser: &Regulariser) -> Tint {
    Tint { family: family(regulariser), shade: MIDDLE }
}

/// The looks of these regularisers, in their order.
///
/// A regulariser may stand there several times, when other settings distinguish its trials.
pub(crate) fn looks(regularisers: &[Regulariser]) -> Vec<Look> {
    let families: Vec<usize> = regularisers.iter().map(family).collect();
    let look = |(place, family): (usize, &usize)| {
        let alike = |families: &[usize]| families.iter().filter(|other| *other == family).count();
        let shade = (2 * alike(&families[..place]) + 1) * SHADES / (2 * alike(&families));
        Look { tint: Tint { family: *family, shade }, mark: Mark(place % SHAPES) }
    };
    families.iter().enumerate().map(look).collect()
}

/// Each regulariser of a study with the variable of its colour, which is that of the report.
pub fn variables(
    regularisers: impl IntoIterator<Item = Regulariser>,
) -> Vec<(Regulariser, String)> {
    let mut all: Vec<Regulariser> = regularisers.into_iter().collect();
    all.sort();
    all.dedup();
    let looks = looks(&all);
    all.into_iter().zip(looks.iter().map(|look| look.color().variable())).collect()
}

/// All colours as variables of a style sheet, for light and dark ground.
pub fn style() -> String {
    let (light, dark) = (Theme::Light.declarations(), Theme::Dark.declarations());
    format!(":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n")
}

#[cfg(test)]
mod tests {
    use swfn_shared::trial::TrialSpec;

    use super::*;

    #[test]
    fn each_regulariser_has_a_colour_of_its_own() {
        let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = [0]\nsubset_size = 100\narchitecture = [\"net\", \
                    \"net+dropout\", \"lenet\", \"lenet+bn\"]\nlambda = [0, 0.01, 0.1]\nweight_decay = [0, 5e-4]\n";
        let grid = swfn_shared::grid::Grid::parse("t", grid, 1000).unwrap();
        let variables = variables(grid.trials().map(|spec| spec.regulariser()));
        assert_eq!(variables.len(), 3 * 2 * 3);
        let colours: std::collections::BTreeSet<_> =
            variables.iter().map(|(_, variable)| variable).collect();
        assert_eq!(colours.len(), variables.len());
        assert_eq!((variables[0].0.parts(), variables[0].1.as_str()), (0, "--r0-2"));
        assert!(style().contains("--r0-2:#6B7075;"));
    }

    #[test]
    fn more_of_the_same_kind_is_stronger() {
        let norm = |lambda| TrialSpec::PUBLISHED.regulariser().with(axes::LAMBDA, lambda);
        for count in 1..12 {
            let all: Vec<Regulariser> = (1..=count).map(|step| norm(f64::from(step))).collect();
            let shades: Vec<usize> = looks(&all).iter().map(|look| look.tint.shade).collect();
            assert!(shades.is_sorted() && shades.iter().all(|shade| *shade < SHADES), "{shades:?}");
            assert!(count > SHADES as i32 || shades.is_sorted_by(|a, b| a < b), "{shades:?}");
        }
    }
}
