//! `swfn-coordinator retry`: requeues failed trials before the sweep resumes.

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

/// The options of `retry`. `-h` shows only its own.
#[derive(Debug, Args)]
#[command(mut_args(|arg| {
    let is_own = arg.is_positional() || arg.get_help_heading() == Some("Trials");
    arg.hide_short_help(!is_own)
}))]
pub(crate) struct RetryArguments {
    /// Run directory of the sweep
    #[arg(value_name = "RUN_DIR", conflicts_with = "run_dir")]
    run: Option<PathBuf>,
    /// Retry all failed trials, except those that diverged: they would diverge again
    #[arg(
        long, required_unless_present_any = ["trials", "diverged"], conflicts_with = "trials",
        help_heading = "Trials"
    )]
    failed: bool,
    /// Retry trials that diverged, too, for example after a change of this program
    #[arg(long, conflicts_with = "trials", help_heading = "Trials")]
    diverged: bool,
    /// Retry the trial with this id, or with an id that begins so; may be repeated
    #[arg(long = "trial", value_name = "ID", help_heading = "Trials")]
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

/// Returns an error if a name does not match a failed trial of the grid.
pub(crate) fn check(retry: &Retry, store: &Store, specs: &[TrialSpec]) -> anyhow::Result<()> {
    if retry.trials.is_empty() {
        return Ok(());
    }
    let in_grid: HashSet<_> = specs.iter().map(TrialSpec::id).collect();
    let failed = store.trials()?.into_iter().filter(|row| row.state == TrialState::Quarantined);
    let failed = failed.map(|row| row.id).filter(|id| in_grid.contains(id));
    Ok(retry.check(&failed.collect::<Vec<_>>())?)
}

/// Requeues the trials, and prints their number if the user named none.
pub(crate) fn apply(retry: &Retry, engine: &mut Engine) -> anyhow::Result<()> {
    if *retry == Retry::default() {
        return Ok(());
    }
    let done = engine.command(&PersonCommand::Retry(retry.clone()))??;
    if retry.trials.is_empty() {
        output::print_message(&done.to_string());
    }
    Ok(())
}
