//! The colours of regularisers, the same as in the report.

use std::collections::BTreeMap;

use swfn_report::palette;
use swfn_shared::{treatment::Names, trial::TrialSpec};

/// The name of the colour of each regulariser, by the short name that the regulariser has in this
/// sweep.
pub(super) fn names(specs: &[TrialSpec]) -> BTreeMap<String, String> {
    let variables = palette::variables(specs.iter().map(TrialSpec::regulariser));
    let names = Names::among(variables.iter().map(|(regulariser, _)| *regulariser));
    let name = |(regulariser, variable)| (names.regulariser(regulariser), variable);
    variables.into_iter().map(name).collect()
}
