//! The charts of a report, each drawn once for light and once for dark ground, as SVG and as PNG.

mod axis;
mod facets;
mod figure;
mod forest;
mod geometry;
mod heat;
mod lines;
mod over;
pub mod palette;
mod panels;
mod pen;
mod png;
mod strip;
#[cfg(test)]
mod tests;
mod theme;

pub(crate) use figure::{Content, Figure, Study};
pub(crate) use forest::Difference;
pub(crate) use over::cells_of_curves;
pub(crate) use pen::swatch;
pub(crate) use png::png;
pub(crate) use theme::{Theme, follow_page};

use lines::{Upright, Vertical};
use swfn_shared::grid::Selection;

use crate::numbers::source::Curves;

/// What figures are drawn from.
pub(crate) struct Material<'m> {
    pub(crate) study: &'m Study<'m>,
    pub(crate) accuracy: &'m Curves,
    pub(crate) function_norm: &'m Curves,
    pub(crate) differences: &'m [Difference],
}

/// All figures, the ones without data too.
pub(crate) fn figures(material: &Material<'_>) -> Vec<Figure> {
    let Material { study, accuracy, function_norm, differences } = *material;
    let selection = study.summary.selection;
    let which = match selection {
        Selection::Final => "test accuracy after the last iteration",
        Selection::Best => "test accuracy of the best evaluation, CHOSEN ON THE TEST IMAGES",
        Selection::Validation => "test accuracy at the best evaluation on the validation images",
    };
    let intervals = match study.seeds() {
        0 | 1 => "One seed: no interval.",
        _ => {
            "Bars and bands: 95 % intervals of the mean over seeds (Student's t); an arrow ends what is far wider than the others."
        }
    };
    let same = "over the same seeds without any regulariser";
    let figure = |name, title, caption: &str, content| {
        let caption = match &content {
            Content::Drawing { note, .. } => format!("{caption}{note}"),
            Content::Missing(_) => String::new(),
        };
        Figure { name, title, caption, content }
    };
    let differences_are = format!(
        "Differences between trials of the same subset and seed, with 95 % intervals: {which}."
    );
    vec![
        figure(
            "differences",
            "Paired differences",
            &format!(
                "{differences_are} Filled and bold: decided after Holm's correction; hollow: not decided."
            ),
            forest::first(differences, selection),
        ),
        figure(
            "all-differences",
            "All paired differences",
            &differences_are,
            forest::all(differences, selection),
        ),
        figure(
            "lambda",
            "Gain over λ",
            &format!(
                "Over the weight λ of the function norm, points gained {same}: {which}. Dashed: regularisers without λ; those far beyond the lines have their number at the edge. {intervals}"
            ),
            over::lambda(study),
        ),
        figure(
            "subset-size",
            "Accuracy and gain over the size of the subset",
            &format!(
                "Over the number of training images: {which}; below it points gained {same}. {intervals}"
            ),
            over::size(study),
        ),
        figure(
            "heat-map",
            "λ and size of the subset",
            &format!(
                "Bold: gain over the same seeds without function norm, in percentage points (blue above zero, grey below); beneath it the \
                 {which}. Where there is nothing to compare with, the accuracy alone."
            ),
            heat::heat(study),
        ),
        figure(
            "seeds",
            "Distribution over seeds",
            &format!(
                "A mark a seed, thin lines from row to row join one seed: {which}. Stroke: mean; bar: its 95 % interval."
            ),
            strip::strip(study),
        ),
        figure(
            "iterations",
            "Accuracy over iterations",
            &format!(
                "Test accuracy during training, mean over seeds. {intervals} The steep beginning may lie below the axis."
            ),
            over::iterations(
                study,
                accuracy,
                Upright { title: over::ACCURACY.to_owned(), vertical: Vertical::Late },
                100.0,
            ),
        ),
        figure(
            "function-norm",
            "Function norm over iterations",
            &format!(
                "Estimate of the squared weighted norm of the function that is trained, ‖f(x)‖² over samples x of the density, mean since the \
                 report before. {intervals} It is measured where it is limited: not for λ = 0."
            ),
            over::iterations(
                study,
                function_norm,
                Upright { title: "function norm R(f)".to_owned(), vertical: Vertical::LogIfWide },
                1.0,
            ),
        ),
    ]
}
