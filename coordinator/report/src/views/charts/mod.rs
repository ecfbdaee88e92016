//! The charts of a report, drawn as SVG in several themes, and as PNG.

mod axis;
mod canvas;
mod facets;
mod figure;
mod forest;
mod geometry;
mod heat;
mod lines;
mod over;
pub mod palette;
mod panels;
mod png;
mod strip;
#[cfg(test)]
mod tests;
mod theme;

pub(crate) use canvas::swatch;
pub(crate) use figure::{Content, Figure, Study};
pub(crate) use over::cells_of_curves;
pub(crate) use png::png;
pub(crate) use theme::Theme;

use lines::{Scale, Vertical};

use crate::{numbers::source::Curves, phrases::legends::which_accuracy};

/// All figures, those without data too.
pub(crate) fn figures(study: &Study<'_>, accuracy: &Curves, function_norm: &Curves) -> Vec<Figure> {
    let which = which_accuracy(study.summary.selection);
    let intervals = match study.seeds() {
        0 | 1 => "There is one seed, so there are no intervals.",
        _ => {
            "Bars and bands: 95 % intervals of the mean over seeds (Student's t). An arrow ends an \
             interval that is far wider than the others."
        }
    };
    let differences = format!(
        "Differences between trials of the same subset and seed: {which}. Bars: 95 % intervals."
    );
    let gain = "points gained over the same seeds without any regulariser";
    let curve = |title: &str, scale| Vertical { title: title.to_owned(), scale };
    let figure = |name, title, caption: String, content| {
        let caption = match &content {
            Content::Drawing { note, .. } => caption + note,
            Content::Missing(_) => String::new(),
        };
        Figure { name, title, caption, content }
    };
    vec![
        figure(
            "differences",
            "Paired differences",
            format!("{differences} Filled and bold: decided. Hollow: not decided."),
            forest::first(study),
        ),
        figure("all-differences", "All paired differences", differences, forest::all(study)),
        figure(
            "lambda",
            "Gain over λ",
            format!(
                "Over the weight λ of the function norm: {gain} ({which}). Dashed: regularisers \
                 without λ; their number stands at the edge if they are far beyond the lines. \
                 {intervals}"
            ),
            over::lambda(study),
        ),
        figure(
            "subset-size",
            "Accuracy and gain over the size of the subset",
            format!("Over the number of training images: {which}. Below it: {gain}. {intervals}"),
            over::size(study),
        ),
        figure(
            "heat-map",
            "λ and size of the subset",
            format!(
                "Bold: gain over the same seeds without function norm, in percentage points (blue \
                 above zero, grey below). Beneath it: {which}. The accuracy stands alone where \
                 there are no such seeds."
            ),
            heat::heat(study),
        ),
        figure(
            "seeds",
            "Distribution over seeds",
            format!(
                "Each mark is a seed: {which}. Thin lines join the marks of one seed. Stroke: \
                 mean. Bar: its 95 % interval."
            ),
            strip::strip(study),
        ),
        figure(
            "iterations",
            "Accuracy over iterations",
            format!(
                "Test accuracy during training, mean over seeds. {intervals} The steep beginning \
                 may lie below the axis."
            ),
            over::iterations(study, accuracy, curve("test accuracy, %", Scale::Late), 100.0),
        ),
        figure(
            "function-norm",
            "Function norm over iterations",
            format!(
                "Estimate of the squared function norm, ‖f(x)‖² over samples x of the density. \
                 Each point is the mean since the previous report. {intervals} With λ = 0 it is \
                 not measured."
            ),
            over::iterations(
                study,
                function_norm,
                curve("function norm R(f)", Scale::LogIfWide),
                1.0,
            ),
        ),
    ]
}
