//! Results of training trials a second time, in sentences.

use swfn_shared::text::count;

use super::rounding::percent;
use crate::numbers::verification::{Disagreement, TOLERANCE, Verification};

/// The sentences for readers; none if no trial was drawn.
pub fn verification(found: &Verification) -> Vec<String> {
    let agreed = found.identical + found.within_tolerance;
    let mut sentences = Vec::new();
    if found.is_there() {
        let near = match found.within_tolerance {
            0 => String::new(),
            near => format!(
                ", {near} of them within {} points on another kind of device",
                percent(TOLERANCE)
            ),
        };
        sentences.push(format!(
            "{} were trained a second time, and {agreed} had the same result{near}.",
            count(found.drawn, "trial")
        ));
    }
    if found.by_the_same_device > 0 {
        sentences.push(format!(
            "The device of the first training also did the second one of {}, since there was no \
             other.",
            count(found.by_the_same_device, "trial")
        ));
    }
    let open = found.drawn - agreed - found.disagreements.len();
    if open > 0 {
        sentences.push(format!("The second training of {} has no result.", count(open, "trial")));
    }
    sentences.extend(found.disagreements.iter().map(disagreement));
    sentences
}

fn disagreement(found: &Disagreement) -> String {
    let Disagreement { trial, label, workers: [one, other], accuracies, same_kind } = found;
    let [first, second] = accuracies.map(percent);
    let kind = if *same_kind { "the same kind of device" } else { "another kind of device" };
    format!(
        "Results disagree: {label} (trial {trial}) has {first} % on worker {one} and {second} % on \
         worker {other}, {kind}. One of the two results is wrong."
    )
}
