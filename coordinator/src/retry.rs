//! `swfn-coordinator retry`: which failed trials are put back before the sweep goes on.

use std::{collections::HashSet, path::PathBuf};

use clap::Args;
use swfn_shared::{
    output,
    person::{PersonCommand, Retry},
    state::TrialState,
    trial::TrialSpec,
};
use swfn_store::Store;

use crate::{arguments::SweepArguments, engine::Engine};

/// The options of `retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArguments {
    /// The run directory of the sweep
    #[arg(value_name = "RUN_DIR", conflicts_with = "run_dir")]
    run: Option<PathBuf>,
    /// All failed trials, but for those that diverged: they would diverge again
    #[arg(long, required_unless_present_any = ["trials", "diverged"], conflicts_with = "trials")]
    failed: bool,
    /// Trials that diverged, too, as after a change of this program
    #[arg(long, conflicts_with = "trials")]
    diverged: bool,
    /// The trial of this id, or whose id begins so; may be given several times
    #[arg(long = "trial", value_name = "ID")]
    trials: Vec<String>,
    #[command(flatten)]
    sweep: SweepArguments,
}

impl RetryArguments {
    pub(crate) fn split(self) -> (SweepArguments, Retry) {
        let Self { run, failed, diverged, trials, mut sweep } = self;
        sweep.run_dir = run.or(sweep.run_dir);
        (sweep, Retry { failed, diverged, trials })
    }
}

/// A name of no failed trial is a mistake, for which nothing is changed.
pub(crate) fn check(retry: &Retry, store: &Store, specs: &[TrialSpec]) -> anyhow::Result<()> {
    if retry.trials.is_empty() {
        return Ok(());
    }
    let in_grid: HashSet<_> = specs.iter().map(TrialSpec::id).collect();
    let rows = store.trials()?.into_iter();
    let failed =
        rows.filter(|row| row.state == TrialState::Quarantined && in_grid.contains(&row.id));
    Ok(retry.check(&failed.map(|row| row.id).collect::<Vec<_>>())?)
}

/// Puts them back, and says how many where nobody named them.
pub(crate) fn apply(retry: Retry, engine: &mut Engine) -> anyhow::Result<()> {
    if retry == Retry::default() {
        return Ok(());
    }
    let named = !retry.trials.is_empty();
    let done = engine.command(&PersonCommand::Retry(retry))??;
    if !named {
        output::print_message(&done.to_string());
    }
    Ok(())
}
