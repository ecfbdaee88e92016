//! The trainer: all that one process keeps between trials, which trials share a computation, and the border between
//! trials and torch.

use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use swfn_shared::{
    artifacts::{Artifact, Artifacts},
    capacity::Capacity,
    dataset::{Dataset, Sizes},
    ids::{ShapeId, VaeId},
    trial::{TrialSpec, VaeSamples},
};
use tracing::{Span, warn};

use super::{
    arrivals::{Arrival, Held, Vaes},
    classifier::Classifiers,
    device_data::DeviceData,
    jobs::{Job, Jobs, OneJob},
    lane::{Candidate, Ended},
    width::{Reason, Widths},
};
use crate::{
    compute::Place,
    data::Splits,
    device,
    trial::{
        border::guarded,
        checkpoint::Checkpoints,
        report::{Observer, Outcome, REPORT_EVERY, Reporter, TrainError},
        state::{Phase, State},
    },
    vae::disk::DiskCache,
};

/// More trials are asked for when some have so many iterations left: they are there when the lanes get free.
const SOON: u32 = 2 * REPORT_EVERY;

/// How long answers to a question for trials are waited for, where lanes would be idle without.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// Reads a data set that a trial needs; the error says why it cannot be had.
pub type Loader = Box<dyn FnMut(Dataset) -> Result<Splits, String>>;

/// Trains trials on one device, trials of one shape side by side. What it keeps between them changes how long a trial
/// takes, never its result.
pub struct Trainer {
    place: Place,
    data: HashMap<Dataset, Rc<DeviceData>>,
    loader: Option<Loader>,
    vaes: Vaes,
    checkpoints: Option<Checkpoints>,
    widths: Widths,
}

impl Trainer {
    /// A trainer without data, with one lane on a CPU and as many as are found best on a GPU.
    pub fn new(place: impl Into<Place>) -> Self {
        let place = place.into();
        Self {
            place,
            data: HashMap::new(),
            loader: None,
            vaes: Vaes::new(),
            checkpoints: None,
            widths: Widths::new(place.device),
        }
    }

    /// The same trainer, which looks for VAEs in that cache, one for the same device, before it trains them, and keeps them
    /// there.
    pub fn with_vae_cache(mut self, disk: Option<DiskCache>) -> Self {
        self.vaes.disk = disk;
        self
    }

    /// The same trainer, whose trials are saved there while they train, and go on from there. It removes no checkpoint of
    /// a trial that ends: only who has the result in a safe place may.
    pub fn with_checkpoints(self, checkpoints: Option<Checkpoints>) -> Self {
        Self { checkpoints, ..self }
    }

    /// The same trainer with that many lanes.
    pub fn with_lanes(mut self, lanes: Option<usize>) -> Self {
        self.widths.set(lanes);
        self
    }

    /// The same trainer, which keeps the numbers of lanes that it found best in that folder.
    pub fn with_width_folder(mut self, folder: Option<std::path::PathBuf>) -> Self {
        self.widths.keep_in(folder);
        self
    }

    /// The same trainer, which loads the data sets that trials need.
    pub fn with_loader(self, loader: Loader) -> Self {
        Self { loader: Some(loader), ..self }
    }

    /// Keeps a data set for the trials that name it, its test images on the device.
    pub fn load(&mut self, dataset: Dataset, data: Splits) -> Result<(), TrainError> {
        let data = guarded(|| Ok(DeviceData::new(data, self.place.device)))?;
        self.data.insert(dataset, Rc::new(data));
        Ok(())
    }

    /// The VAEs at hand, the one used last first.
    pub fn vaes(&self) -> Vec<VaeId> {
        self.vaes.memory.ids()
    }

    /// Runs one trial to its end.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`] when the observer breaks, [`TrainError::Diverged`] when a loss is not finite,
    /// [`TrainError::Data`] when the data set is not loaded or the trial does not fit it, [`TrainError::Torch`] for all
    /// else. After any of them the trainer is ready for the next trial, unless the device itself is lost.
    pub fn run(
        &mut self,
        spec: &TrialSpec,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, TrainError> {
        self.run_for(spec, Artifacts::default(), observer).map(|(outcome, _)| outcome)
    }

    /// [`Self::run`], and the files that are wanted of the trial.
    ///
    /// # Errors
    /// The same.
    pub fn run_for(
        &mut self,
        spec: &TrialSpec,
        wanted: Artifacts,
        observer: &mut dyn Observer,
    ) -> Result<(Outcome, Vec<Artifact>), TrainError> {
        loop {
            let observer = Box::new(&mut *observer);
            let job = Job { ticket: 0, spec: *spec, wanted, observer, span: Span::current() };
            let mut one = OneJob { job: Some(job), result: None };
            self.run_all(&mut one);
            if !std::mem::take(&mut self.vaes.doubted) {
                return one.result.expect("a trial that was taken has ended");
            }
        }
    }

    fn room(&self, lanes: usize, shape: Option<ShapeId>) -> Capacity {
        Capacity { lanes: u32::try_from(lanes).unwrap_or(u32::MAX), shape, vaes: self.vaes() }
    }

    /// Runs trials until there are no more. Each ends on its own: what happens to one changes no other.
    pub fn run_all<'o>(&mut self, jobs: &mut dyn Jobs<'o>) {
        // Trials that gave up their lanes, and go on with fewer beside them.
        let mut again: VecDeque<Job<'o>> = VecDeque::new();
        loop {
            let first = match again.pop_front() {
                Some(job) => job,
                None => {
                    jobs.room(self.room(self.widths.unknown_shape(), None));
                    let Some(job) = jobs.next(None) else { return };
                    job
                }
            };
            self.run_shape(first, jobs, &mut again);
        }
    }

    /// Runs a trial, and beside it as many others of its shape as there are lanes, until they run dry.
    fn run_shape<'o>(
        &mut self,
        first: Job<'o>,
        jobs: &mut dyn Jobs<'o>,
        again: &mut VecDeque<Job<'o>>,
    ) {
        let shape = first.spec.shape();
        let data = match check(&first.spec).and_then(|()| self.data_of(first.spec.dataset)) {
            Ok(data) => data,
            Err(error) => return first.span.in_scope(|| jobs.ended(first.ticket, Err(error))),
        };
        device::set_precision(first.spec.classifier.precision);
        let width = guarded(|| self.widths.of(shape, &first.spec, &data, self.place));
        let width = width.unwrap_or_else(|error| {
            warn!("one lane, for the best number could not be measured: {error}");
            1
        });
        let mut classifiers = Classifiers::new(Rc::clone(&data), self.place);
        let mut held = Held::default();
        self.gather(first, width, jobs, again, |trainer, job, jobs| {
            held.push(trainer.arrive(job, &data, false, jobs))
        });
        loop {
            while classifiers.len() + held.arrivals.len() < width {
                let Some(job) = take_again(shape, again).or_else(|| jobs.next(Some(shape))) else {
                    break;
                };
                held.push(self.arrive(job, &data, true, jobs));
            }
            let taken = classifiers.len() + held.arrivals.len() + again.len();
            let lanes = (width + classifiers.end_within(SOON)).saturating_sub(taken);
            jobs.room(self.room(lanes, (width > 1).then_some(shape)));
            let admitted = guarded(|| self.admit(&mut held, width, &mut classifiers));
            held.take_stopped()
                .into_iter()
                .for_each(|stopped| tell(self.vaes.doubt(stopped), jobs));
            let advanced = admitted.and_then(|()| guarded(|| classifiers.advance()));
            classifiers
                .take_ended()
                .into_iter()
                .for_each(|ended| tell(self.vaes.doubt(ended), jobs));
            if let Err(error) = advanced {
                let (ended, candidates) = classifiers.into_parts();
                ended.into_iter().for_each(|ended| tell(ended, jobs));
                let held = held.arrivals.into_iter().map(|arrival| arrival.candidate);
                return self.split(shape, &error, held.chain(candidates).collect(), jobs, again);
            }
            if classifiers.len() + held.arrivals.len() == 0 {
                return;
            }
        }
    }

    /// Takes the trials that a computation begins with. Where there are lanes for more than one, those that are asked for
    /// now are waited for a moment: it saves training their VAEs later, while others wait.
    fn gather<'o>(
        &self,
        first: Job<'o>,
        width: usize,
        jobs: &mut dyn Jobs<'o>,
        again: &mut VecDeque<Job<'o>>,
        mut take: impl FnMut(&Self, Job<'o>, &mut dyn Jobs<'o>),
    ) {
        let shape = first.spec.shape();
        take(self, first, jobs);
        let (mut count, mut patience) = (1, ANSWER_TIME);
        while count < width {
            let next = take_again(shape, again).or_else(|| {
                jobs.room(self.room(width - count, Some(shape)));
                jobs.next(Some(shape))
            });
            match next {
                Some(job) => {
                    take(self, job, jobs);
                    // What was granted together comes together.
                    (count, patience) = (count + 1, ANSWER_TIME / 10);
                }
                None if jobs.wait(patience) => {}
                None => return,
            }
        }
    }

    fn data_of(&mut self, dataset: Dataset) -> Result<Rc<DeviceData>, TrainError> {
        if let Some(data) = self.data.get(&dataset) {
            return Ok(Rc::clone(data));
        }
        let missing = || TrainError::Data(format!("data set `{dataset}` is not loaded"));
        let data =
            self.loader.as_mut().ok_or_else(missing)?(dataset).map_err(TrainError::Unloadable)?;
        self.load(dataset, data)?;
        self.data.get(&dataset).map(Rc::clone).ok_or_else(missing)
    }

    /// Prepares a trial: its subset, and what is left of it from before. A trial that cannot be trained ends here; one that
    /// has no room `beside` others is given back.
    fn arrive<'o>(
        &self,
        job: Job<'o>,
        data: &DeviceData,
        beside: bool,
        jobs: &mut dyn Jobs<'o>,
    ) -> Option<Arrival<'o>> {
        let Job { ticket, spec, wanted, observer, span } = job;
        let drawn = check(&spec).and_then(|()| {
            guarded(|| {
                let subset = data.subset(spec.subset_size as usize, spec.sampling, spec.seed)?;
                let count = spec.validation as usize;
                let validation = (count > 0).then(|| data.validation(count, &spec)).transpose()?;
                Ok((Rc::new(subset), validation.map(Rc::new)))
            })
        });
        let (subset, validation) = match drawn {
            Ok(drawn) => drawn,
            Err(error) => {
                let error =
                    if beside && error.is_out_of_memory() { TrainError::Cancelled } else { error };
                span.in_scope(|| jobs.ended(ticket, Err(error)));
                return None;
            }
        };
        let mut reporter = Reporter::new(observer, span, spec.id(), self.checkpoints.as_ref());
        let state = self.checkpoints.as_ref().and_then(|checkpoints| checkpoints.get(spec.id()));
        let (from_file, phase) = (state.is_some(), state.as_ref().map(State::phase).transpose());
        if let Err(misfit) = &phase {
            reporter.reject_checkpoint(&misfit.to_string());
        }
        let (vae_resumed, resumed) = match phase {
            Ok(Some(Phase::Vae)) => (state, None),
            Ok(Some(Phase::Classifier)) => (None, state),
            Ok(None) | Err(_) => (None, None),
        };
        let (vae, vae_seconds) = (None, 0.0);
        let candidate = Candidate {
            ticket,
            spec,
            wanted,
            reporter,
            subset,
            validation,
            vae,
            vae_seconds,
            from_file,
            resumed,
        };
        Some(Arrival { candidate, vae: spec.vae(), vae_resumed, looked: false })
    }

    /// Gives trials their lanes that need no VAE or have it. VAEs that are nowhere are trained now, if it is time to, side
    /// by side; else the others wait.
    fn admit<'o>(
        &mut self,
        held: &mut Held<'o>,
        width: usize,
        classifiers: &mut Classifiers<'o>,
    ) -> Result<(), TrainError> {
        self.vaes.find(&mut held.arrivals, self.place);
        if classifiers.len() == 0 || held.are_due(width) {
            self.vaes.train(&mut held.arrivals, self.place)?;
        }
        let ready = |arrival: &mut Arrival<'o>| {
            arrival.candidate.reporter.stopped().is_none()
                && arrival.vae.is_some() == arrival.candidate.vae.is_some()
        };
        let ready: Vec<_> =
            held.arrivals.extract_if(.., ready).map(|arrival| arrival.candidate).collect();
        if ready.is_empty() { Ok(()) } else { classifiers.add(ready) }
    }

    /// After an error in a computation that trials shared: they go on with fewer beside them, from where they were saved
    /// last. If only one is left, the error is its own. A device that is lost takes the whole process with it: then they go
    /// on elsewhere, or here in the next one.
    fn split<'o>(
        &mut self,
        shape: ShapeId,
        error: &TrainError,
        candidates: Vec<Candidate<'o>>,
        jobs: &mut dyn Jobs<'o>,
        again: &mut VecDeque<Job<'o>>,
    ) {
        let (together, lost) =
            (candidates.len() > 1, self.place.device.is_cuda() && !error.is_out_of_memory());
        if together {
            let lanes = candidates.len().div_ceil(2);
            warn!(lanes, "trials go on with fewer lanes: {error}");
            let reason = if error.is_out_of_memory() { Reason::Memory } else { Reason::Fault };
            self.widths.shrink(shape, lanes, reason);
        }
        if together && !lost {
            again.extend(candidates.into_iter().map(|candidate| {
                let Candidate { ticket, spec, wanted, reporter, .. } = candidate;
                let (observer, span) = reporter.into_parts();
                Job { ticket, spec, wanted, observer, span }
            }));
            return;
        }
        for candidate in candidates {
            if let Some(checkpoints) = self.checkpoints.as_ref().filter(|_| !together) {
                // Whatever went wrong after a checkpoint, the next attempt does without it.
                checkpoints.reject_if_there(candidate.spec.id(), &error.to_string());
            }
            let result = Err(if together { TrainError::Cancelled } else { error.clone() });
            tell(Ended { candidate, result }, jobs);
        }
        if lost {
            for Job { ticket, span, .. } in again.drain(..) {
                span.in_scope(|| jobs.ended(ticket, Err(TrainError::Cancelled)));
            }
            jobs.lost(error);
        }
    }
}

/// A trial of that shape that has lost its lane.
fn take_again<'o>(shape: ShapeId, again: &mut VecDeque<Job<'o>>) -> Option<Job<'o>> {
    let index = again.iter().position(|job| job.spec.shape() == shape)?;
    again.remove(index)
}

fn tell<'o>(ended: Ended<'o>, jobs: &mut dyn Jobs<'o>) {
    let Ended { candidate, result } = ended;
    candidate.reporter.span().in_scope(|| jobs.ended(candidate.ticket, result));
}

/// Refuses what torch would refuse less clearly.
fn check(spec: &TrialSpec) -> Result<(), TrainError> {
    let positive = |name, value: u32| match value {
        0 => Err(TrainError::Data(format!("{name} `0` is not above zero"))),
        _ => Ok(()),
    };
    let fits = |name, batch: u32| match batch {
        _ if batch > spec.subset_size => Err(TrainError::Data(format!(
            "{name} `{batch}` is more than the subset of {} images",
            spec.subset_size
        ))),
        _ => positive(name, batch),
    };
    positive("evaluate_every", spec.classifier.evaluate_every)?;
    positive("restart_every", spec.classifier.epochs.restart_every().unwrap_or(1))?;
    fits("batch_size", spec.classifier.batch_size)?;
    let normed = spec.architecture.has_batch_norm();
    let alone = |count: u32| normed && count == 1;
    let Sizes { image, classes, .. } = spec.dataset.sizes();
    if let Err(unfit) = spec.architecture.placed(image, classes) {
        let hint = "hint: take larger images, or another architecture";
        return Err(TrainError::Data(format!(
            "`{}` does not take these images: {unfit}; {hint}",
            spec.architecture
        )));
    }
    if let Some(penalty) = spec.penalty {
        positive("samples", penalty.samples)?;
    }
    if let Some(VaeSamples { vae, .. }) = spec.vae_samples() {
        positive("vae.iterations", vae.iterations)?;
        positive("vae.hidden", vae.hidden)?;
        positive("vae.latent", vae.latent)?;
        fits("vae.batch_size", vae.batch_size)?;
    }
    if alone(spec.classifier.batch_size) || alone(spec.penalty_samples()) {
        let problem =
            "batch norm has no variance of `1` image; hint: batch_size and samples above 1";
        return Err(TrainError::Data(problem.to_owned()));
    }
    Ok(())
}
