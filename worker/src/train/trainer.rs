//! The trainer: all that one process keeps between trials, and the border between trials and torch.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use swfn_shared::{
    artifacts::{Artifact, Artifacts},
    dataset::Dataset,
    ids::VaeId,
    metrics::VAE_LOSS,
    trial::{Architecture, TrialSpec, VaeSamples},
};
use tch::Device;

use super::{
    artifacts,
    checkpoint::Checkpoints,
    classifier,
    device_data::DeviceData,
    report::{Observer, Outcome, Reporter, TrainError},
    state::{Phase, State},
};
use crate::{
    data, device,
    vae::{cache::VaeCache, disk::DiskCache, training},
};

/// VAEs that are kept: half a megabyte each in the published size.
const VAES: usize = 64;

/// Trains trials on one device, one after the other. What it keeps between them changes how long a trial takes, never
/// its result.
#[derive(Debug)]
pub struct Trainer {
    device: Device,
    data: HashMap<Dataset, DeviceData>,
    vaes: VaeCache,
    disk: Option<DiskCache>,
    checkpoints: Option<Checkpoints>,
}

impl Trainer {
    /// A trainer without data.
    pub fn new(device: Device) -> Self {
        Self::with_vae_cache(device, None)
    }

    /// A trainer without data, which looks for VAEs in that cache, one for the same device, before it trains them, and
    /// keeps them there.
    pub fn with_vae_cache(device: Device, disk: Option<DiskCache>) -> Self {
        Self { device, data: HashMap::new(), vaes: VaeCache::new(VAES), disk, checkpoints: None }
    }

    /// The same trainer, whose trials are saved there while they train, and go on from there. It removes no checkpoint of
    /// a trial that ends: only who has the result in a safe place may.
    pub fn with_checkpoints(self, checkpoints: Option<Checkpoints>) -> Self {
        Self { checkpoints, ..self }
    }

    /// Whether trials on that data set can run.
    pub fn has(&self, dataset: Dataset) -> bool {
        self.data.contains_key(&dataset)
    }

    /// Keeps a data set for the trials that name it, its test images on the device.
    pub fn load(&mut self, dataset: Dataset, data: data::Dataset) -> Result<(), TrainError> {
        let data = guarded(|| Ok(DeviceData::new(data, self.device)))?;
        self.data.insert(dataset, data);
        Ok(())
    }

    /// The VAEs at hand, the one used last first.
    pub fn vaes(&self) -> Vec<VaeId> {
        self.vaes.ids()
    }

    /// Runs one trial to its end.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`] when the observer breaks, [`TrainError::Diverged`] when a loss is not finite,
    /// [`TrainError::Data`] when the data set is not loaded or the trial does not fit it, [`TrainError::Torch`] for all
    /// else. After any of them the trainer is ready for the next trial, unless the device itself is lost.
    pub fn run(&mut self, spec: &TrialSpec, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
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
        // Apart from the rest of the trainer, which the run borrows.
        let mut checkpoints = self.checkpoints.take();
        let result = self.run_from_checkpoint(spec, wanted, observer, checkpoints.as_mut());
        self.checkpoints = checkpoints;
        result
    }

    fn run_from_checkpoint(
        &mut self,
        spec: &TrialSpec,
        wanted: Artifacts,
        observer: &mut dyn Observer,
        mut checkpoints: Option<&mut Checkpoints>,
    ) -> Result<(Outcome, Vec<Artifact>), TrainError> {
        let trial = spec.id();
        let state = checkpoints.as_ref().and_then(|checkpoints| checkpoints.get(trial));
        let result = guarded(|| {
            let reporter = &mut Reporter::saving(observer, trial, checkpoints.as_deref_mut());
            self.run_unguarded(spec, wanted, state.as_ref(), reporter)
        });
        // Whatever went wrong after a checkpoint, the next attempt does without it.
        if let (Some(checkpoints), Some(_), Err(TrainError::Checkpoint(why) | TrainError::Torch(why))) =
            (&checkpoints, &state, &result)
        {
            checkpoints.reject(trial, why);
        }
        let Err(TrainError::Checkpoint(_)) = result else { return result };
        guarded(|| self.run_unguarded(spec, wanted, None, &mut Reporter::saving(observer, trial, checkpoints)))
    }

    fn run_unguarded(
        &mut self,
        spec: &TrialSpec,
        wanted: Artifacts,
        state: Option<&State>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(Outcome, Vec<Artifact>), TrainError> {
        check(spec)?;
        let data = self.data.get(&spec.dataset);
        let data = data.ok_or_else(|| TrainError::Data(format!("data set `{}` is not loaded", spec.dataset)))?;
        let subset = data.subset(spec.subset_size as usize, spec.sampling, spec.seed)?;
        let phase = state.map(State::phase).transpose()?;
        let of = |wanted| state.filter(|_| phase == Some(wanted));
        let (of_vae, of_classifier) = (of(Phase::Vae), of(Phase::Classifier));
        let mut vae_seconds = of_classifier.map_or(Ok(0.0), |state| state.float("vae.seconds"))?;
        if let (Some(id), Some(VaeSamples { vae: settings, .. })) = (spec.vae(), spec.vae_samples()) {
            if self.vaes.get(id).is_none()
                && let Some(state) = of_classifier
            {
                // So the trial goes on where its VAE is not known, too.
                let vae = training::untrained(&settings, &subset.pixels);
                state.restore_named("vae", vae.tensors())?;
                let losses = state.points()?.into_iter().filter(|point| point.metric == VAE_LOSS).collect();
                self.vaes.insert(id, vae.with_losses(losses));
            }
            if self.vaes.get(id).is_none()
                && let Some(disk) = &self.disk
                && let Some(vae) = disk.get(id, || training::untrained(&settings, &subset.pixels))
            {
                self.vaes.insert(id, vae);
            }
            if let Some(vae) = self.vaes.get(id) {
                // Of a classifier's checkpoint, the VAE's points are part.
                if of_classifier.is_none() {
                    reporter.report(settings.iterations.into(), vae.losses())?;
                }
            } else {
                let start = Instant::now();
                let earlier = of_vae.map_or(Ok(0.0), |state| state.float("vae.seconds"))?;
                let vae = training::train(&settings, &subset.pixels, spec.seed, of_vae, reporter)?;
                vae_seconds = earlier + start.elapsed().as_secs_f64();
                if let Some(disk) = &mut self.disk {
                    disk.put(id, &vae);
                }
                self.vaes.insert(id, vae);
            }
        }
        let vae = spec.vae().and_then(|id| self.vaes.get(id));
        let trained = classifier::train(spec, data, &subset, vae, vae_seconds, of_classifier, reporter)?;
        Ok((trained.outcome, artifacts::make(wanted, spec, data, &subset, vae, &trained)?))
    }
}

/// Refuses what torch would refuse less clearly.
fn check(spec: &TrialSpec) -> Result<(), TrainError> {
    let positive = |name, value: u32| match value {
        0 => Err(TrainError::Data(format!("{name} `0` is not above zero"))),
        _ => Ok(()),
    };
    let fits = |name, batch: u32| match batch {
        _ if batch > spec.subset_size => {
            Err(TrainError::Data(format!("{name} `{batch}` is more than the subset of {} images", spec.subset_size)))
        }
        _ => positive(name, batch),
    };
    positive("evaluate_every", spec.classifier.evaluate_every)?;
    fits("batch_size", spec.classifier.batch_size)?;
    let normed = spec.architecture == Architecture::LenetBn;
    let alone = |count: u32| normed && count == 1;
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
        return Err(TrainError::Data(
            "batch norm has no variance of `1` image; hint: batch_size and samples above 1".to_owned(),
        ));
    }
    Ok(())
}

/// The border between trials and torch. The wrappers of torch's functions panic when torch reports an error. Here is
/// the one place that turns such a panic into an error, instead of a result at each of a hundred calls, so that models
/// read like their papers. That is sound: a trial owns all that it changes, and what the trainer keeps changes only by
/// whole, finished values. Autograd is switched off by guards alone, which a panic releases.
fn guarded<T>(work: impl FnOnce() -> Result<T, TrainError>) -> Result<T, TrainError> {
    let work = || {
        device::use_one_thread();
        work()
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown panic");
        Err(TrainError::Torch(text.to_owned()))
    })
}
