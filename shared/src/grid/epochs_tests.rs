//! How epochs go, and the ids of trials from before that could be chosen.

use std::collections::HashSet;

use super::{
    DEFAULT_MAX_TRIALS, Grid,
    tests::{BASE, parse},
};
use crate::trial::TrialSpec;

#[test]
fn epochs_that_restart_at_evaluations_keep_ids() {
    let second = |grid: Grid| grid.trials().nth(1).unwrap();
    let with =
        |classifier: &str| second(parse(&format!("{BASE}[classifier]\n{classifier}")).unwrap());
    let restart = with("epochs = \"restart\"\nrestart_every = 1000\n");
    assert_eq!(restart.id().to_string(), "da0ea36641f2ec113bbd1a941718aa07");
    assert!(!restart.to_json().contains("restart"));
    let before = |text: &str| {
        second(Grid::parse_before_epochs("grid.toml", text, DEFAULT_MAX_TRIALS).unwrap())
    };
    assert_eq!(before(BASE), restart);
    let said = format!("{BASE}[classifier]\nepochs = \"continuous\"\n");
    assert_eq!(before(&said), second(parse(BASE).unwrap()));
    let other = with("epochs = \"restart\"\nrestart_every = 500\n");
    assert!(
        other.to_json().contains("\"epochs\":\"restart\",\"restart_every\":500"),
        "{}",
        other.to_json()
    );
    assert!(with("").to_json().contains("\"epochs\":\"continuous\""));
    let moved = with("epochs = \"restart\"\nrestart_every = 500\nevaluate_every = 500\n");
    let ids: HashSet<_> = [restart, other, moved, with("")].iter().map(TrialSpec::id).collect();
    assert_eq!(ids.len(), 4);
}
