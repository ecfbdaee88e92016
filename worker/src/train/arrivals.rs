//! Trials on their way to their lanes, and the VAEs that they need first.

use std::{
    collections::HashSet,
    rc::Rc,
    time::{Duration, Instant},
};

use swfn_shared::{ids::VaeId, metrics::VAE_LOSS, trial::Vae as VaeSettings};
use tracing::warn;

use super::lane::{Candidate, Ended};
use crate::{
    compute::Place,
    trial::{
        report::TrainError,
        state::{Misfit, State},
    },
    vae::{cache::VaeCache, disk::DiskCache, training},
};

/// VAEs that are kept: half a megabyte each in the published size.
const VAES: usize = 256;

/// How long trials wait for others whose VAEs could be trained with theirs.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A trial on its way to its lane.
pub(super) struct Arrival<'o> {
    pub(super) candidate: Candidate<'o>,
    pub(super) vae: Option<VaeId>,
    /// Where its VAE's training goes on.
    pub(super) vae_resumed: Option<State>,
    /// Whether its VAE was looked for in its checkpoint and on disk.
    pub(super) looked: bool,
}

/// Trials that wait for their VAEs.
#[derive(Default)]
pub(super) struct Held<'o> {
    pub(super) arrivals: Vec<Arrival<'o>>,
    /// Since when there are any.
    since: Option<Instant>,
}

impl<'o> Held<'o> {
    pub(super) fn push(&mut self, arrival: Option<Arrival<'o>>) {
        if self.arrivals.is_empty() {
            self.since = Some(Instant::now());
        }
        self.arrivals.extend(arrival);
    }

    /// Whether those in lanes shall wait while VAEs are trained: for a tenth of the lanes together, or when it has been
    /// long. A VAE alone takes almost as long as many.
    pub(super) fn are_due(&self, width: usize) -> bool {
        let missing = self
            .arrivals
            .iter()
            .filter(|arrival| arrival.vae.is_some() && arrival.candidate.vae.is_none());
        10 * missing.count() >= width
            || self.since.is_some_and(|since| since.elapsed() > LONGEST_WAIT)
    }

    /// Those that are not to go on.
    pub(super) fn take_stopped(&mut self) -> Vec<Ended<'o>> {
        for arrival in &mut self.arrivals {
            arrival.candidate.reporter.tick(0);
        }
        let stopped =
            self.arrivals.extract_if(.., |arrival| arrival.candidate.reporter.stopped().is_some());
        let end = |Arrival { candidate, .. }: Arrival<'o>| {
            let error = candidate.reporter.stopped().cloned().unwrap_or(TrainError::Cancelled);
            Ended { candidate, result: Err(error) }
        };
        stopped.map(end).collect()
    }
}

/// Where VAEs come from: memory, a folder, or training.
pub(super) struct Vaes {
    pub(super) memory: VaeCache,
    pub(super) disk: Option<DiskCache>,
    /// Those in memory that were read from a file.
    read: HashSet<VaeId>,
    /// Whether a trial was given back because of what was read.
    pub(super) doubted: bool,
}

impl Vaes {
    pub(super) fn new() -> Self {
        Self { memory: VaeCache::new(VAES), disk: None, read: HashSet::new(), doubted: false }
    }

    /// A trial that diverged after it began from a file is given back, without that file: what is in it may be no training's.
    /// Whoever has the trial next starts anew, and then it is the trial's own.
    pub(super) fn doubt<'o>(&mut self, mut ended: Ended<'o>) -> Ended<'o> {
        let Err(error @ TrainError::Diverged { .. }) = &ended.result else { return ended };
        let Candidate { spec, from_file, reporter, .. } = &mut ended.candidate;
        let read = spec.vae().filter(|vae| self.read.remove(vae));
        if let Some(vae) = read {
            self.memory.remove(vae);
            self.disk.iter().for_each(|disk| disk.remove(vae));
        }
        if *from_file {
            reporter.reject_checkpoint(&error.to_string());
        }
        if *from_file || read.is_some() {
            reporter.span().in_scope(|| {
                warn!("it began from a file, which is removed, and starts anew: {error}")
            });
            self.doubted = true;
            ended.result = Err(TrainError::Cancelled);
        }
        ended
    }

    /// Gives trials the VAEs that are somewhere.
    pub(super) fn find(&mut self, arrivals: &mut [Arrival<'_>], place: Place) {
        for arrival in arrivals.iter_mut().filter(|arrival| arrival.candidate.vae.is_none()) {
            if let (Some(id), Some(samples)) = (arrival.vae, arrival.candidate.spec.vae_samples()) {
                self.find_one(id, &samples.vae, arrival, place);
            }
        }
    }

    /// Trains the VAEs that trials miss, side by side.
    pub(super) fn train(
        &mut self,
        arrivals: &mut [Arrival<'_>],
        place: Place,
    ) -> Result<(), TrainError> {
        // Another trial's checkpoint may have brought one.
        self.find(arrivals, place);
        let missing = |arrival: &&mut Arrival<'_>| arrival.candidate.vae.is_none();
        let mut groups: Vec<(VaeId, VaeSettings, Vec<&mut Arrival<'_>>)> = Vec::new();
        for arrival in arrivals.iter_mut().filter(missing) {
            let (Some(id), Some(samples)) = (arrival.vae, arrival.candidate.spec.vae_samples())
            else {
                continue;
            };
            match groups.iter_mut().find(|(known, _, _)| *known == id) {
                Some((_, _, group)) => group.push(arrival),
                None => groups.push((id, samples.vae, vec![arrival])),
            }
        }
        let Some(settings) = groups.first().map(|(_, settings, _)| *settings) else {
            return Ok(());
        };
        let mut subsets = Vec::new();
        let mut seeds = Vec::new();
        let mut states = Vec::new();
        for (_, _, group) in &mut groups {
            subsets.push(Rc::clone(&group[0].candidate.subset));
            seeds.push(group[0].candidate.spec.seed);
            // Any of those who wait may have been the one whose checkpoint has the VAE.
            states.push(group.iter_mut().find_map(|arrival| arrival.vae_resumed.take()));
        }
        let requests = groups.iter_mut().zip(&subsets).zip(seeds).zip(states);
        let requests =
            requests.map(|((((_, _, group), subset), seed), resumed)| training::Request {
                subset,
                seed,
                resumed,
                waiting: group.iter_mut().map(|arrival| &mut arrival.candidate.reporter).collect(),
            });
        let requests = requests.collect();
        let trained = training::train(&settings, requests, place)?;
        for ((id, _, group), trained) in groups.into_iter().zip(trained) {
            let Some((vae, seconds)) = trained else { continue };
            let vae = Rc::new(vae);
            if let Some(disk) = &mut self.disk {
                disk.put(id, &vae);
            }
            self.memory.insert(id, Rc::clone(&vae));
            self.read.remove(&id);
            for arrival in group {
                (arrival.candidate.vae, arrival.candidate.vae_seconds) =
                    (Some(Rc::clone(&vae)), seconds);
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
        place: Place,
    ) {
        let Arrival { candidate, vae_resumed, looked, .. } = arrival;
        let blank = || training::untrained(settings, &candidate.subset.pixels, place);
        if !std::mem::replace(looked, true) {
            if let Some(state) = &candidate.resumed {
                let known = self.memory.get(id).is_some();
                let from_state = || {
                    let vae = blank();
                    state.restore_named("vae", vae.tensors())?;
                    let losses = state
                        .points(|point| point.check_against(&candidate.spec).is_ok())?
                        .into_iter()
                        .filter(|point| point.metric == VAE_LOSS)
                        .collect();
                    Ok::<_, Misfit>(vae.with_losses(losses))
                };
                // So the trial goes on where its VAE is not known, too.
                let restored = (!known).then(from_state).transpose();
                match restored.and_then(|vae| Ok((vae, state.float("vae.seconds")?))) {
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
            // Of a classifier's checkpoint, the VAE's points are part.
            if candidate.resumed.is_none() {
                candidate.reporter.report(settings.iterations.into(), vae.losses());
            }
            candidate.vae = Some(vae);
        }
    }
}
