//! `swfn-coordinator retry`: which failed trials are put back before the sweep goes on.

use std::{collections::HashSet, path::PathBuf};

use anyhow::ensure;
use clap::Args;
use swfn_shared::{ids::TrialId, output, problem, state::TrialState, trial::TrialSpec};
use swfn_store::Store;

use crate::{arguments::SweepArguments, custody::trials, engine::Engine};

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

/// Which of the failed trials are to be tried again.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    /// All that did not diverge.
    failed: bool,
    /// Those that diverged.
    diverged: bool,
    /// How the ids of some begin.
    trials: Vec<String>,
}

/// The failed trials of a grid.
#[derive(Debug, Default)]
pub(crate) struct Failed {
    ids: HashSet<TrialId>,
    diverged: HashSet<TrialId>,
}

impl Failed {
    fn of(store: &Store, specs: &[TrialSpec]) -> anyhow::Result<Self> {
        let in_grid: HashSet<_> = specs.iter().map(TrialSpec::id).collect();
        let rows =
            store.trials()?.into_iter().filter(|row| row.state == TrialState::Quarantined && in_grid.contains(&row.id));
        let mut failed = Self::default();
        for row in rows {
            if row.diverged() {
                failed.diverged.insert(row.id);
            }
            failed.ids.insert(row.id);
        }
        Ok(failed)
    }
}

impl Retry {
    /// Looks up the failed trials. A name of none of them is a mistake, for which nothing is changed.
    pub(crate) fn find(&self, store: &Store, specs: &[TrialSpec]) -> anyhow::Result<Failed> {
        if !self.failed && !self.diverged && self.trials.is_empty() {
            return Ok(Failed::default());
        }
        let failed = Failed::of(store, specs)?;
        for wanted in &self.trials {
            ensure!(
                failed.ids.iter().any(|id| id.to_string().starts_with(wanted)),
                problem!(
                    "no failed trial has an id that begins with `{wanted}`";
                    "trials.csv has their ids; `retry --failed` takes all"
                )
            );
        }
        Ok(failed)
    }

    /// Puts them back; that there are none at all is no mistake.
    pub(crate) fn apply(&self, engine: &mut Engine, failed: &Failed) -> anyhow::Result<()> {
        if !self.trials.is_empty() {
            engine.retry(|id| self.trials.iter().any(|wanted| id.to_string().starts_with(wanted)))?;
        }
        if self.failed || self.diverged {
            let count = engine.retry(|id| self.diverged || !failed.diverged.contains(&id))?;
            output::say(&self.told(count, failed.diverged.len()));
        }
        Ok(())
    }

    fn told(&self, count: usize, diverged: usize) -> String {
        let left_out = match diverged {
            _ if self.diverged => String::new(),
            0 => String::new(),
            1 => "; 1 diverged and would diverge again: left out (--diverged takes it, too)".to_owned(),
            _ => format!("; {diverged} diverged and would diverge again: left out (--diverged takes them, too)"),
        };
        format!("trying again {} that failed{left_out}", trials(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told() {
        let failed = Retry { failed: true, ..Retry::default() };
        assert_eq!(failed.told(1, 0), "trying again 1 trial that failed");
        assert!(failed.told(0, 1).ends_with(
            "0 trials that failed; 1 diverged and would diverge again: left out (--diverged takes it, too)"
        ));
        assert!(failed.told(3, 4).contains("; 4 diverged and would"));
        assert_eq!(Retry { diverged: true, ..failed }.told(7, 4), "trying again 7 trials that failed");
    }
}
