//! The colours of regularisers, the same as in the report.

use std::collections::{BTreeMap, BTreeSet};

use swfn_shared::{treatment::Names, trial::TrialSpec};

/// The name of the colour of each regulariser, by the short name that the regulariser has in this sweep.
pub(super) fn names(specs: &[TrialSpec]) -> BTreeMap<String, String> {
    let regularisers: BTreeSet<_> = specs.iter().map(TrialSpec::regulariser).collect();
    let names = Names::among(regularisers.iter().copied());
    regularisers.iter().enumerate().map(|(place, regulariser)| (names.regulariser(*regulariser), format!("--r{}", place % 8))).collect()
}

/// All colours as a style sheet.
pub(super) fn style() -> String {
    let colours = ["6B7075", "0072B2", "C85200", "00805C", "B3478A", "9A6A00", "6A45B5", "007A85"];
    let of: String = colours.iter().enumerate().map(|(place, colour)| format!("--r{place}:#{colour};")).collect();
    format!(":root{{{of}}}")
}
