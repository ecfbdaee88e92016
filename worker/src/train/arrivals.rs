//! Trials on their way to their lanes, and the VAEs that they need first.

use std::{
    collections::HashSet,
    rc::Rc,
    time::{Duration, Instant},
};

use swfn_shared::{ids::VaeId, metrics::VAE_LOSS, trial::Vae as VaeSettings};
use tracing::warn;

use super::lane::{Candidate, FinishedTrial};
use crate::{
    compute::Backend,
    trial::{
        report::TrainError,
        state::{Misfit, State},
    },
    vae::{cache::VaeCache, disk::DiskCache, trained::TrainedVae, training},
};

/// Number of VAEs in memory: half a megabyte each in the published size.
const VAES: usize = 256;

/// Longest time that trials wait for others whose VAEs could be trained with theirs.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A trial on its way to its lane.
pub(super) struct Arrival<'o> {
    pub(super) candidate: Candidate<'o>,
    pub(super) vae: Option<VaeId>,
    /// The state that its VAE's training resumes from.
    pub(super) vae_resumed: Option<State>,
    /// Whether its VAE was looked for in its checkpoint and on disk.
    pub(super) looked: bool,
}

impl Arrival<'_> {
    fn lacks_vae(&self) -> bool {
        self.vae.is_some() && self.candidate.vae.is_none()
    }
}

/// Trials that wait for their VAEs.
#[derive(Default)]
pub(super) struct Arrivals<'o> {
    pub(super) waiting: Vec<Arrival<'o>>,
    /// The time when the first of them came.
    since: Option<Instant>,
}

impl<'o> Arrivals<'o> {
    pub(super) fn push(&mut self, arrival: Option<Arrival<'o>>) {
        if self.waiting.is_empty() {
            self.since = Some(Instant::now());
        }
        self.waiting.extend(arrival);
    }

    /// Whether trials in lanes should wait while VAEs are trained. That is so if the VAEs serve a
    /// tenth of the lanes, or have been missing for long. One VAE takes almost as long as many.
    pub(super) fn are_due(&self, width: usize) -> bool {
        10 * self.waiting.iter().filter(|arrival| arrival.lacks_vae()).count() >= width
            || self.since.is_some_and(|since| since.elapsed() > LONGEST_WAIT)
    }

    /// Takes trials that must stop.
    pub(super) fn take_stopped(&mut self) -> Vec<FinishedTrial<'o>> {
        for arrival in &mut self.waiting {
            arrival.candidate.reporter.tick(0);
        }
        let stopped =
            self.waiting.extract_if(.., |arrival| arrival.candidate.reporter.stopped().is_some());
        let finish = |Arrival { candidate, .. }: Arrival<'o>| {
            let error = candidate.reporter.stopped().cloned().unwrap_or(TrainError::Cancelled);
            FinishedTrial { candidate, result: Err(error) }
        };
        stopped.map(finish).collect()
    }
}

/// Sources of VAEs: memory, a folder, and training.
pub(super) struct Vaes {
    pub(super) memory: VaeCache,
    disk: Option<DiskCache>,
    /// VAEs in memory that were read from a file.
    read: HashSet<VaeId>,
    /// Whether a trial was returned because of a file.
    pub(super) returned: bool,
}

impl Vaes {
    pub(super) fn new(disk: Option<DiskCache>) -> Self {
        Self { memory: VaeCache::new(VAES), disk, read: HashSet::new(), returned: false }
    }

    /// Returns a trial without a result if it diverged after it began from a file, and removes the
    /// file. Its numbers may come from no training. The next attempt starts anew, and its end
    /// counts.
    pub(super) fn return_if_from_file<'o>(
        &mut self,
        mut finished: FinishedTrial<'o>,
    ) -> FinishedTrial<'o> {
        let Err(error @ TrainError::Diverged { .. }) = &finished.result else { return finished };
        let Candidate { spec, from_file, reporter, .. } = &mut finished.candidate;
        let read = spec.vae().filter(|vae| self.read.remove(vae));
        if let Some(vae) = read {
            self.memory.remove(vae);
            self.disk.iter().for_each(|disk| disk.remove(vae));
        }
        if *from_file {
            reporter.reject_checkpoint(&error.to_string());
        }
        if *from_file || read.is_some() {
            reporter.span.in_scope(|| {
                warn!("removed a file that the trial began from, and returned the trial: {error}")
            });
            self.returned = true;
            finished.result = Err(TrainError::Cancelled);
        }
        finished
    }

    /// Gives trials the VAEs that are in a checkpoint, in memory or on disk.
    pub(super) fn find(&mut self, arrivals: &mut [Arrival<'_>], backend: Backend) {
        for arrival in arrivals.iter_mut().filter(|arrival| arrival.candidate.vae.is_none()) {
            if let (Some(id), Some(samples)) = (arrival.vae, arrival.candidate.spec.vae_samples()) {
                self.find_one(id, &samples.vae, arrival, backend);
            }
        }
    }

    /// Trains the VAEs that trials lack, side by side.
    pub(super) fn train(
        &mut self,
        arrivals: &mut [Arrival<'_>],
        backend: Backend,
    ) -> Result<(), TrainError> {
        // Another trial's checkpoint may have brought one.
        self.find(arrivals, backend);
        let mut groups: Vec<(VaeId, VaeSettings, Vec<&mut Arrival<'_>>)> = Vec::new();
        for arrival in arrivals.iter_mut().filter(|arrival| arrival.lacks_vae()) {
            let (Some(id), Some(samples)) = (arrival.vae, arrival.candidate.spec.vae_samples())
            else {
                continue;
            };
            match groups.iter_mut().find(|(known, _, _)| *known == id) {
                Some((_, _, group)) => group.push(arrival),
                None => groups.push((id, samples.vae, vec![arrival])),
            }
        }
        let Some(&(_, settings, _)) = groups.first() else { return Ok(()) };
        let mut requests = Vec::new();
        for (_, _, group) in &mut groups {
            requests.push(training::Request {
                subset: Rc::clone(&group[0].candidate.subset),
                seed: group[0].candidate.spec.seed,
                // Any of the trials may have the checkpoint with the VAE.
                resumed: group.iter_mut().find_map(|arrival| arrival.vae_resumed.take()),
                waiting: group.iter_mut().map(|arrival| &mut arrival.candidate.reporter).collect(),
            });
        }
        let trained = training::train(&settings, requests, backend)?;
        for ((id, _, group), trained) in groups.into_iter().zip(trained) {
            let Some((vae, seconds)) = trained else { continue };
            let vae = Rc::new(vae);
            if let Some(disk) = &self.disk {
                disk.put(id, &vae);
            }
            self.memory.insert(id, Rc::clone(&vae));
            self.read.remove(&id);
            for Arrival { candidate, .. } in group {
                (candidate.vae, candidate.vae_seconds) = (Some(Rc::clone(&vae)), seconds);
            }
        }
        Ok(())
    }

    /// Looks for a trial's VAE in its checkpoint, in memory and, once, on disk.
    fn find_one(
        &mut self,
        id: VaeId,
        settings: &VaeSettings,
        arrival: &mut Arrival<'_>,
        backend: Backend,
    ) {
        let Arrival { candidate, vae_resumed, looked, .. } = arrival;
        let blank = || training::untrained(settings, &candidate.subset.pixels, backend);
        if !std::mem::replace(looked, true) {
            if let Some(state) = &candidate.resumed {
                let known = self.memory.get(id).is_some();
                let from_state = || {
                    let vae = blank();
                    state.restore_named("vae", vae.tensors())?;
                    let mut losses =
                        state.points(|point| point.check_against(&candidate.spec).is_ok())?;
                    losses.retain(|point| point.metric == VAE_LOSS);
                    Ok::<_, Misfit>(TrainedVae { losses, ..vae })
                };
                // So a trial can resume where its VAE is unknown.
                let restored = (!known).then(from_state).transpose();
                match restored.and_then(|vae| Ok((vae, state.seconds("vae.seconds")?))) {
                    Ok((vae, seconds)) => {
                        candidate.vae_seconds = seconds;
                        if let Some(vae) = vae {
                            self.memory.insert(id, Rc::new(vae));
                            self.read.insert(id);
                        }
                    }
                    Err(misfit) => {
                        candidate.reporter.reject_checkpoint(&misfit.to_string());
                        candidate.resumed = None;
                    }
                }
            }
            if self.memory.get(id).is_none()
                && vae_resumed.is_none()
                && let Some(disk) = &self.disk
                && let Some(vae) = disk.get(id, settings.iterations, blank)
            {
                self.read.insert(id);
                self.memory.insert(id, Rc::new(vae));
            }
        }
        if let Some(vae) = self.memory.get(id) {
            // A classifier's checkpoint has the VAE's points.
            if candidate.resumed.is_none() {
                candidate.reporter.report(settings.iterations.into(), &vae.losses);
            }
            candidate.vae = Some(vae);
        }
    }
}
