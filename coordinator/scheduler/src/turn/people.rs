//! Commands of people.

use swfn_shared::{
    capacity::Capacity,
    ids::WorkerId,
    person::{CommandOutcome, Drain, PersonCommand, Refusal, Retry, has_diverged},
    problem,
    quote::printable,
};

use super::{
    Holder, Turn, TurnContext,
    message::{LEAVE, drain},
};
use crate::{Command, LeaseReport, TrialState};

impl Turn {
    /// Carries out a command, or refuses it.
    pub fn command(
        &mut self,
        at: &mut TurnContext<'_>,
        command: &PersonCommand,
        holder: Holder,
    ) -> Result<CommandOutcome, Refusal> {
        match command {
            PersonCommand::Drain(which) => self.drain(at, which, holder),
            PersonCommand::Retry(which) => self.retry(at, which),
        }
    }

    fn drain(
        &mut self,
        at: &mut TurnContext<'_>,
        which: &Drain,
        holder: Holder,
    ) -> Result<CommandOutcome, Refusal> {
        let (named, others): (Vec<_>, Vec<_>) =
            self.connected().into_iter().partition(|id| which.takes(id));
        let (own, foreign): (Vec<_>, Vec<_>) =
            named.into_iter().partition(|id| self.holders.may_drain(id, holder));
        if own.is_empty() {
            return Err(none_to_drain(which, &foreign, &others));
        }
        for worker in &own {
            self.waiting.remove(worker);
            self.leaving.insert(worker.clone());
            let nothing = Command::Asked { worker: worker.clone(), capacity: Capacity::default() };
            self.apply(at, &nothing).ok();
            let leases = if which.now { self.scheduler.leases_of(worker) } else { Vec::new() };
            for lease in leases {
                let (of, report) = (worker.clone(), LeaseReport::Released);
                self.apply(at, &Command::Reported { worker: of, lease, report }).ok();
                let reason = "somebody took back the trials of this worker";
                self.revoke(worker, lease, reason.to_owned());
            }
            self.replies.push((worker.clone(), drain(LEAVE)));
        }
        Ok(CommandOutcome::Drained { workers: own.iter().map(ToString::to_string).collect() })
    }

    fn retry(
        &mut self,
        at: &mut TurnContext<'_>,
        which: &Retry,
    ) -> Result<CommandOutcome, Refusal> {
        let (mut failed, mut wanted, mut diverged) = (Vec::new(), Vec::new(), 0);
        for (id, _, state) in self.scheduler.trials() {
            let TrialState::Quarantined { error } = state else { continue };
            failed.push(id);
            if which.takes(id, error) {
                wanted.push(id);
            } else if has_diverged(error) {
                diverged += 1;
            }
        }
        which.check(&failed)?;
        for trial in &wanted {
            self.apply(at, &Command::Retried { trial: *trial }).ok();
        }
        let left_out = if which.failed { diverged } else { 0 };
        Ok(CommandOutcome::Retried { trials: wanted.len(), left_out })
    }
}

/// Workers that a refusal lists: an answer is of limited size.
const LISTED: usize = 10;

fn none_to_drain(which: &Drain, foreign: &[WorkerId], others: &[WorkerId]) -> Refusal {
    if let Some(worker) = foreign.first() {
        return Refusal::Foreign(problem!(
            "worker `{worker}` belongs to the holder of another certificate";
            "name the worker's own with --tls-cert and --tls-key"
        ));
    }
    let names: Vec<_> = others.iter().take(LISTED).map(ToString::to_string).collect();
    let names = match others.len() {
        0 => "none".to_owned(),
        few if few <= LISTED => names.join(", "),
        many => format!("{} and {} more", names.join(", "), many - LISTED),
    };
    let asked: Vec<_> = which.workers.iter().take(LISTED).map(|name| printable(name, 60)).collect();
    Refusal::Missing(problem!(
        "no connected worker has an id that begins with `{}`", asked.join("`, `");
        "those that are connected: {names}"
    ))
}
