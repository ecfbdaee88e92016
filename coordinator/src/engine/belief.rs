//! Checks reports against the store and the files of trials. One that cannot be true is refused.

use swfn_scheduler::{
    Admission,
    turn::{FromWorker, Rules as _, SessionId},
};
use swfn_shared::{
    artifacts::{self, Artifacts},
    ids::WorkerId,
    trial::TrialSpec,
};

use super::{actor::Engine, rules::CountingRules};

impl Engine {
    /// Returns the message, or a refusal if it is an implausible report of a live lease.
    pub(super) fn refuse_implausible(
        &mut self,
        worker: &WorkerId,
        session: SessionId,
        message: FromWorker,
    ) -> FromWorker {
        let (FromWorker::Points { lease, .. } | FromWorker::Succeeded { lease, .. }) = message
        else {
            return message;
        };
        let scheduler = &self.turn.scheduler;
        let is_live = || CountingRules.admit(scheduler, worker, lease) == Ok(Admission::Live);
        if self.turn.session(worker) != Some(session) || !is_live() {
            return message;
        }
        let Some(spec) = scheduler.spec(lease.trial).copied() else { return message };
        let checked = match &message {
            FromWorker::Points { points, .. } => self.plausibility.points(lease, &spec, points),
            FromWorker::Succeeded { outcome, dataset_digest, .. } => {
                let files = self.check_files(&spec);
                let plausibility = &self.plausibility;
                files.and_then(|()| plausibility.outcome(lease, &spec, outcome, *dataset_digest))
            }
            _ => Ok(()),
        };
        checked.map_or_else(|problem| FromWorker::Refused { lease, problem }, |()| message)
    }

    /// Checks that the files which the grid file asks for are there; first writes those that wait.
    fn check_files(&mut self, spec: &TrialSpec) -> Result<(), String> {
        let asked = self.turn.artifacts;
        let wanted = Artifacts { vae_sheet: asked.vae_sheet && spec.vae().is_some(), ..asked };
        if wanted == Artifacts::default() {
            return Ok(());
        }
        if self.folder.write(&self.parts).is_err() {
            // Unknown so far: the commit tries again, and waits.
            return Ok(());
        }
        self.parts.clear();
        let is_missing =
            |name: &&str| artifacts::is_wanted(wanted, name) && !self.folder.has(spec.id(), name);
        artifacts::NAMES.into_iter().find(is_missing).map_or(Ok(()), |name| {
            Err(format!("the trial has no file `{name}`, which the grid file asks for"))
        })
    }
}
