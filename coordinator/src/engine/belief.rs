//! Whether what a worker reports can be true, which takes the store and the files of trials: what cannot be becomes a refused report.

use swfn_scheduler::{
    Admission,
    turn::{FromWorker, Rules as _, SessionId},
};
use swfn_shared::{
    artifacts::{self, Artifacts},
    ids::{LeaseId, WorkerId},
    trial::TrialSpec,
};

use super::{actor::Engine, rules::Counted};

impl Engine {
    /// The message, if its report of a live lease can be true.
    pub(super) fn believed(
        &mut self,
        worker: &WorkerId,
        session: SessionId,
        message: FromWorker,
    ) -> FromWorker {
        let (FromWorker::Points { lease, .. } | FromWorker::Succeeded { lease, .. }) = message
        else {
            return message;
        };
        let is_live = || Counted.admit(&self.turn.scheduler, worker, lease) == Ok(Admission::Live);
        if self.turn.session(worker) != Some(session) || !is_live() {
            return message;
        }
        let Some(spec) = self.turn.scheduler.spec(lease.trial).copied() else { return message };
        match self.check(lease, &spec, &message) {
            Ok(()) => message,
            Err(problem) => FromWorker::Refused { lease, problem },
        }
    }

    fn check(
        &mut self,
        lease: LeaseId,
        spec: &TrialSpec,
        message: &FromWorker,
    ) -> Result<(), String> {
        match message {
            FromWorker::Points { points, .. } => self.plausibility.points(lease, spec, points),
            FromWorker::Succeeded { outcome, dataset_digest, .. } => {
                self.has_files(spec)?;
                self.plausibility.outcome(lease, spec, outcome, *dataset_digest)
            }
            _ => Ok(()),
        }
    }

    /// Whether the files of a trial are there that the grid file asks for. Those of this turn are written first.
    fn has_files(&mut self, spec: &TrialSpec) -> Result<(), String> {
        let asked = self.turn.artifacts;
        let wanted = Artifacts { vae_sheet: asked.vae_sheet && spec.vae().is_some(), ..asked };
        if wanted == Artifacts::default() {
            return Ok(());
        }
        let parts = std::mem::take(&mut self.parts);
        if self.folder.write(&parts).is_err() {
            // Nobody knows yet: the commit tries again, and waits.
            self.parts = parts;
            return Ok(());
        }
        match artifacts::NAMES
            .into_iter()
            .find(|name| wanted.want(name) && !self.folder.has(spec.id(), name))
        {
            Some(name) => {
                Err(format!("the trial has no file `{name}`, which the grid file asks for"))
            }
            None => Ok(()),
        }
    }
}
