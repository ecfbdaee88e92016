//! The trainer: what a process keeps between trials, and which trials share a computation.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use swfn_shared::{
    artifacts::{Artifact, Artifacts},
    capacity::Capacity,
    dataset::{Dataset, Sizes},
    ids::{ShapeId, VaeId},
    trial::TrialSpec,
};
use tracing::{Span, warn};

use super::{
    arrivals::{Arrival, Arrivals, Vaes},
    classifier::Classifiers,
    device_data::DeviceData,
    jobs::{Job, Jobs, OneJob},
    lane::{Candidate, FinishedTrial},
    width::Widths,
};
use crate::{
    compute::Backend,
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

/// Iterations before the end of trials at which more are requested. So they are there when lanes
/// get free.
const SOON: u32 = 2 * REPORT_EVERY;

/// Longest time to wait for requested trials where lanes would be idle without them.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// Reads a data set that a trial needs. The error is the reason why it cannot.
pub type Loader = Box<dyn FnMut(Dataset) -> Result<Splits, String>>;

/// What a trainer may use, which changes the time of trials and never their results.
#[derive(Default)]
pub struct Options {
    /// VAEs of the same device on disk.
    pub vaes: Option<DiskCache>,
    /// The checkpoints that trials write and resume from. The trainer keeps the checkpoint of a
    /// trial that ends, because its result is not in a safe place yet.
    pub checkpoints: Option<Checkpoints>,
    /// The number of lanes; by default one on a CPU, and the best number on a GPU.
    pub lanes: Option<usize>,
    /// The folder in which the best numbers of lanes are kept.
    pub width_folder: Option<PathBuf>,
    /// Loads data sets that were not added.
    pub loader: Option<Loader>,
}

/// Trains trials on one device, those of one shape side by side.
pub struct Trainer {
    backend: Backend,
    data: HashMap<Dataset, Rc<DeviceData>>,
    loader: Option<Loader>,
    vaes: Vaes,
    checkpoints: Option<Checkpoints>,
    widths: Widths,
}

impl Trainer {
    /// A trainer without data.
    pub fn new(backend: impl Into<Backend>, options: Options) -> Self {
        let (backend, data) = (backend.into(), HashMap::new());
        let Options { vaes, checkpoints, lanes, width_folder, loader } = options;
        let widths = Widths::new(backend.device, lanes, width_folder);
        Self { backend, data, loader, vaes: Vaes::new(vaes), checkpoints, widths }
    }

    /// Adds a data set for the trials that name it, with its test images on the device.
    pub fn load(&mut self, dataset: Dataset, data: Splits) -> Result<(), TrainError> {
        let data = guarded(|| Ok(DeviceData::new(data, self.backend.device)))?;
        self.data.insert(dataset, Rc::new(data));
        Ok(())
    }

    /// The VAEs in memory, the most recently used one first.
    pub fn vaes(&self) -> Vec<VaeId> {
        self.vaes.memory.ids()
    }

    /// Trains one trial to its end. Returns its outcome and the wanted files.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`] if the observer breaks, [`TrainError::Diverged`] if a loss is not
    /// finite, [`TrainError::Data`] if the trial does not fit its data, [`TrainError::Torch`] in
    /// all other cases. The trainer is then ready for the next trial, unless the device itself is
    /// lost.
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
            if !std::mem::take(&mut self.vaes.returned) {
                return one.result.expect("a trial that was taken has a result");
            }
        }
    }

    fn room(&self, lanes: usize, shape: Option<ShapeId>) -> Capacity {
        Capacity { lanes: u32::try_from(lanes).unwrap_or(u32::MAX), shape, vaes: self.vaes() }
    }

    /// Trains trials until there are no more. They do not affect each other.
    pub fn run_all<'o>(&mut self, jobs: &mut dyn Jobs<'o>) {
        // Trials that gave up their lanes after an error, to go on with fewer beside them.
        let mut requeued: VecDeque<Job<'o>> = VecDeque::new();
        loop {
            let first = match requeued.pop_front() {
                Some(job) => job,
                None => {
                    jobs.room(self.room(self.widths.unknown_shape(), None));
                    let Some(job) = jobs.next(None) else { return };
                    job
                }
            };
            self.run_shape(first, jobs, &mut requeued);
        }
    }

    /// Trains a trial, and beside it as many others of its shape as there are lanes, until none are
    /// left.
    fn run_shape<'o>(
        &mut self,
        first: Job<'o>,
        jobs: &mut dyn Jobs<'o>,
        requeued: &mut VecDeque<Job<'o>>,
    ) {
        let shape = first.spec.shape();
        let data = match check(&first.spec).and_then(|()| self.data_of(first.spec.dataset)) {
            Ok(data) => data,
            Err(error) => return first.span.in_scope(|| jobs.ended(first.ticket, Err(error))),
        };
        device::set_precision(first.spec.classifier.precision);
        let width = guarded(|| self.widths.find(shape, &first.spec, &data, self.backend));
        let width = width.unwrap_or_else(|error| {
            warn!("the best number of lanes could not be measured, so there is one: {error}");
            1
        });
        let mut classifiers = Classifiers::new(Rc::clone(&data), self.backend);
        let mut arrivals = Arrivals::default();
        self.gather(first, width, jobs, requeued, |trainer, job, jobs| {
            arrivals.push(trainer.arrive(job, &data, false, jobs))
        });
        loop {
            while classifiers.len() + arrivals.waiting.len() < width {
                let next = take_requeued(shape, requeued).or_else(|| jobs.next(Some(shape)));
                let Some(job) = next else { break };
                arrivals.push(self.arrive(job, &data, true, jobs));
            }
            let taken = classifiers.len() + arrivals.waiting.len() + requeued.len();
            let lanes = (width + classifiers.end_within(SOON)).saturating_sub(taken);
            jobs.room(self.room(lanes, (width > 1).then_some(shape)));
            let admitted = guarded(|| self.admit(&mut arrivals, width, &mut classifiers));
            for stopped in arrivals.take_stopped() {
                hand_over(self.vaes.return_if_from_file(stopped), jobs);
            }
            let advanced = admitted.and_then(|()| guarded(|| classifiers.advance()));
            for finished in classifiers.take_finished() {
                hand_over(self.vaes.return_if_from_file(finished), jobs);
            }
            if let Err(error) = advanced {
                let (finished, others) = classifiers.into_parts();
                finished.into_iter().for_each(|finished| hand_over(finished, jobs));
                let waiting = arrivals.waiting.into_iter().map(|arrival| arrival.candidate);
                let candidates = waiting.chain(others).collect();
                return self.split(shape, &error, candidates, jobs, requeued);
            }
            if classifiers.len() + arrivals.waiting.len() == 0 {
                return;
            }
        }
    }

    /// Takes the trials that a computation begins with. With several lanes it waits a moment for
    /// requested trials. Otherwise others would wait later, while their VAEs are trained.
    fn gather<'o>(
        &self,
        first: Job<'o>,
        width: usize,
        jobs: &mut dyn Jobs<'o>,
        requeued: &mut VecDeque<Job<'o>>,
        mut take: impl FnMut(&Self, Job<'o>, &mut dyn Jobs<'o>),
    ) {
        let shape = first.spec.shape();
        take(self, first, jobs);
        let (mut count, mut patience) = (1, ANSWER_TIME);
        while count < width {
            let next = take_requeued(shape, requeued).or_else(|| {
                jobs.room(self.room(width - count, Some(shape)));
                jobs.next(Some(shape))
            });
            match next {
                Some(job) => {
                    take(self, job, jobs);
                    // Trials that were granted together arrive together.
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

    /// Prepares a trial: its subset and its checkpoint. A trial that cannot be trained ends here.
    /// One without room `beside` others is returned.
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
        let candidate = Candidate {
            ticket,
            spec,
            wanted,
            reporter,
            subset,
            validation,
            vae: None,
            vae_seconds: 0.0,
            from_file,
            resumed,
        };
        Some(Arrival { candidate, vae: spec.vae(), vae_resumed, looked: false })
    }

    /// Gives lanes to trials that need no VAE or have it. If missing VAEs are due, they are trained
    /// now, side by side. Otherwise their trials wait.
    fn admit<'o>(
        &mut self,
        arrivals: &mut Arrivals<'o>,
        width: usize,
        classifiers: &mut Classifiers<'o>,
    ) -> Result<(), TrainError> {
        self.vaes.find(&mut arrivals.waiting, self.backend);
        if classifiers.len() == 0 || arrivals.are_due(width) {
            self.vaes.train(&mut arrivals.waiting, self.backend)?;
        }
        let ready = |arrival: &mut Arrival<'o>| {
            arrival.candidate.reporter.stopped().is_none()
                && arrival.vae.is_some() == arrival.candidate.vae.is_some()
        };
        let ready: Vec<_> =
            arrivals.waiting.extract_if(.., ready).map(|arrival| arrival.candidate).collect();
        if ready.is_empty() { Ok(()) } else { classifiers.add(ready) }
    }

    /// Handles an error in a computation that trials shared. They go on with fewer beside them,
    /// from their last checkpoints. If only one is left, the error is its own. If the device is
    /// lost, the process ends, and they go on elsewhere or in the next process.
    fn split<'o>(
        &mut self,
        shape: ShapeId,
        error: &TrainError,
        candidates: Vec<Candidate<'o>>,
        jobs: &mut dyn Jobs<'o>,
        requeued: &mut VecDeque<Job<'o>>,
    ) {
        let together = candidates.len() > 1;
        let lost = self.backend.device.is_cuda() && !error.is_out_of_memory();
        if together {
            let lanes = candidates.len().div_ceil(2);
            warn!(lanes, "reduced the number of lanes: {error}");
            self.widths.shrink(shape, lanes, error);
        }
        if together && !lost {
            requeued.extend(candidates.into_iter().map(|candidate| {
                let Candidate { ticket, spec, wanted, reporter, .. } = candidate;
                let (observer, span) = reporter.into_parts();
                Job { ticket, spec, wanted, observer, span }
            }));
            return;
        }
        for candidate in candidates {
            if let Some(checkpoints) = self.checkpoints.as_ref().filter(|_| !together) {
                // The checkpoint may be the cause, so the next attempt starts without it.
                checkpoints.reject(candidate.spec.id(), &error.to_string());
            }
            let result = Err(if together { TrainError::Cancelled } else { error.clone() });
            hand_over(FinishedTrial { candidate, result }, jobs);
        }
        if lost {
            for Job { ticket, span, .. } in requeued.drain(..) {
                span.in_scope(|| jobs.ended(ticket, Err(TrainError::Cancelled)));
            }
            jobs.lost(error);
        }
    }
}

/// Takes a requeued trial of that shape.
fn take_requeued<'o>(shape: ShapeId, requeued: &mut VecDeque<Job<'o>>) -> Option<Job<'o>> {
    let index = requeued.iter().position(|job| job.spec.shape() == shape)?;
    requeued.remove(index)
}

fn hand_over<'o>(finished: FinishedTrial<'o>, jobs: &mut dyn Jobs<'o>) {
    let FinishedTrial { candidate, result } = finished;
    candidate.reporter.span.in_scope(|| jobs.ended(candidate.ticket, result));
}

/// Checks a trial whose faults torch would report less clearly.
fn check(spec: &TrialSpec) -> Result<(), TrainError> {
    let refuse = |problem: String| Err(TrainError::Data(problem));
    let Sizes { image, classes, .. } = spec.dataset.sizes();
    let (classifier, vae) = (&spec.classifier, spec.vae_samples().map(|samples| samples.vae));
    let positive = [
        ("evaluate_every", Some(classifier.evaluate_every)),
        ("restart_every", classifier.epochs.restart_every()),
        ("batch_size", Some(classifier.batch_size)),
        ("samples", spec.penalty.map(|penalty| penalty.samples)),
        ("vae.iterations", vae.map(|vae| vae.iterations)),
        ("vae.hidden", vae.map(|vae| vae.hidden)),
        ("vae.latent", vae.map(|vae| vae.latent)),
        ("vae.batch_size", vae.map(|vae| vae.batch_size)),
    ];
    if let Some((name, _)) = positive.into_iter().find(|(_, value)| *value == Some(0)) {
        return refuse(format!("{name} `0` is not above zero"));
    }
    let batches = [
        ("batch_size", classifier.batch_size),
        ("vae.batch_size", vae.map_or(1, |vae| vae.batch_size)),
    ];
    for (name, batch) in batches {
        if batch > spec.subset_size {
            let images = spec.subset_size;
            return refuse(format!("{name} `{batch}` is more than the subset of {images} images"));
        }
    }
    if let Err(unfit) = spec.architecture.placed(image, classes) {
        return refuse(format!(
            "`{}` does not take these images: {unfit}; \
             hint: use larger images, or another architecture",
            spec.architecture
        ));
    }
    if spec.architecture.has_batch_norm()
        && [classifier.batch_size, spec.penalty_samples()].contains(&1)
    {
        let hint = "hint: set batch_size and samples above 1";
        return refuse(format!("batch norm has no variance of `1` image; {hint}"));
    }
    Ok(())
}
