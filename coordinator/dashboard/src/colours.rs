//! The colours of regularisers, as in the report.

use std::collections::BTreeMap;

use swfn_report::palette;
use swfn_shared::{treatment::Names, trial::TrialSpec};

/// The names of regularisers' colours, by the short names of regularisers in this sweep.
pub(super) fn names(specs: &[TrialSpec]) -> BTreeMap<String, String> {
    let looks = palette::legend(specs.iter().map(TrialSpec::regulariser));
    let names = Names::among(looks.iter().map(|look| look.regulariser));
    looks.into_iter().map(|look| (names.regulariser(look.regulariser), look.variable)).collect()
}
