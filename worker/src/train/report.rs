//! What a trial tells while it trains, how it ends, and why it fails.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

pub use swfn_shared::metrics::Outcome;
use swfn_shared::{ids::TrialId, metrics::MetricPoint};
use tch::{Tensor, no_grad_guard};
use tracing::info;

use super::{
    checkpoint::Checkpoints,
    state::{Misfit, State},
};

/// Iterations between two reports of training losses.
pub const REPORT_EVERY: u32 = 100;

/// How long an observer is left without a call while a trial runs: progress and cancellation then wait no longer than
/// about this.
const SILENCE: Duration = Duration::from_millis(500);

/// A cancelled trial trains on so long, at most, to the next report: there it can be saved.
const WIND_DOWN: Duration = Duration::from_secs(5);

/// Why a trial is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody will go on with it: it is saved where it can be, which takes a moment.
    GiveBack,
    /// It is somebody else's already: nothing more is done.
    Abandon,
}

/// Who watches a trial.
pub trait Observer {
    /// Called at each report, and between reports, without points, when some time has passed. `step` counts the
    /// iterations done, those of the VAE included. `Break` cancels the trial; a trial that is given back may still report,
    /// and even end.
    fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<Stop>;
}

/// Why a trial has no outcome.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// A loss left the finite numbers. Training is deterministic: it would do so again.
    #[error("diverged: {metric} is `{value}` at iteration {step}; hint: a lower learning rate")]
    Diverged {
        /// The metric.
        metric: &'static str,
        /// Iterations of the VAE or of the classifier, whichever the metric belongs to.
        step: u64,
        /// Infinite or not a number.
        value: f64,
    },
    /// The observer asked for it.
    #[error("cancelled")]
    Cancelled,
    /// The trial cannot be trained on the data that are loaded.
    #[error("{0}")]
    Data(String),
    /// A checkpoint is not of this trial. The trainer then starts the trial anew; nobody else sees this.
    #[error("{0}")]
    Checkpoint(String),
    /// Torch refused: out of memory, a broken device, or a mistake of the trainer.
    #[error("torch failed: {0}")]
    Torch(String),
}

impl From<tch::TchError> for TrainError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.to_string())
    }
}

impl From<Misfit> for TrainError {
    fn from(misfit: Misfit) -> Self {
        Self::Checkpoint(misfit.to_string())
    }
}

/// The observer, when it was called last, and where the trial's checkpoints go.
pub(crate) struct Reporter<'a> {
    observer: &'a mut dyn Observer,
    last: Instant,
    saver: Option<Saver<'a>>,
    /// When and why the observer cancelled the trial.
    cancelled: Option<(Instant, Stop)>,
}

/// When and where a trial is saved.
struct Saver<'a> {
    trial: TrialId,
    checkpoints: &'a mut Checkpoints,
    /// All that was reported: the attempt that goes on reports it again, since the points of one attempt alone count.
    points: Vec<MetricPoint>,
    last: Instant,
    /// What the last checkpoint took.
    cost: Duration,
}

impl Saver<'_> {
    /// Saving takes less than a hundredth of the time, however slow the disk is.
    fn due(&self) -> bool {
        let every = self.checkpoints.every;
        every.is_zero() || self.last.elapsed() >= every.max(self.cost * 100)
    }
}

impl<'a> Reporter<'a> {
    #[cfg(test)]
    pub(crate) fn new(observer: &'a mut dyn Observer) -> Self {
        Self { observer, last: Instant::now(), saver: None, cancelled: None }
    }

    /// One that saves the trial, too.
    pub(crate) fn saving(
        observer: &'a mut dyn Observer,
        trial: TrialId,
        checkpoints: Option<&'a mut Checkpoints>,
    ) -> Self {
        let now = Instant::now();
        let saver = |checkpoints| Saver { trial, checkpoints, points: Vec::new(), last: now, cost: Duration::ZERO };
        Self { observer, last: now, saver: checkpoints.map(saver), cancelled: None }
    }

    /// Reports again what was reported before a checkpoint, in portions that fit into messages, and says so.
    pub(crate) fn go_on(&mut self, step: u64, points: &[MetricPoint]) -> Result<(), TrainError> {
        info!(step, "goes on from a checkpoint");
        points.chunks(1000).try_for_each(|points| self.report(step, points))
    }

    /// Hands points over, after which training goes on from `state`. That is saved if it is time to, or if the trial is
    /// cancelled.
    pub(crate) fn report_and_save(
        &mut self,
        step: u64,
        points: &[MetricPoint],
        state: impl FnOnce() -> State,
    ) -> Result<(), TrainError> {
        self.tell(step, points);
        let stop = self.cancelled.map(|(_, stop)| stop);
        if let Some(saver) = &mut self.saver
            && stop != Some(Stop::Abandon)
            && (stop.is_some() || saver.due())
        {
            let start = Instant::now();
            let mut state = state();
            state.set_points(&saver.points);
            saver.checkpoints.put(saver.trial, &state);
            (saver.last, saver.cost) = (Instant::now(), start.elapsed());
        }
        if stop.is_some() { Err(TrainError::Cancelled) } else { Ok(()) }
    }

    /// Hands points over where the trial cannot be saved.
    pub(crate) fn report(&mut self, step: u64, points: &[MetricPoint]) -> Result<(), TrainError> {
        self.tell(step, points);
        match self.cancelled {
            Some((_, Stop::Abandon)) => Err(TrainError::Cancelled),
            Some((since, Stop::GiveBack)) if self.saver.is_none() || since.elapsed() > WIND_DOWN => {
                Err(TrainError::Cancelled)
            }
            _ => Ok(()),
        }
    }

    fn tell(&mut self, step: u64, points: &[MetricPoint]) {
        self.last = Instant::now();
        if let Some(saver) = &mut self.saver {
            saver.points.extend(points);
        }
        if let ControlFlow::Break(stop) = self.observer.points(step, points) {
            let (_, first) = self.cancelled.get_or_insert((self.last, stop));
            if stop == Stop::Abandon {
                *first = stop;
            }
        }
    }

    /// Calls the observer if it has not been called for a while.
    pub(crate) fn tick(&mut self, step: u64) -> Result<(), TrainError> {
        if self.last.elapsed() < SILENCE { Ok(()) } else { self.report(step, &[]) }
    }
}

/// The mean of a loss since the last report. The sum stays on the device: the host waits for it once per report.
pub(crate) struct LossMeter {
    metric: &'static str,
    sum: Tensor,
    count: u32,
}

impl LossMeter {
    pub(crate) fn new(metric: &'static str, device: tch::Device) -> Self {
        Self { metric, sum: Tensor::zeros([], (tch::Kind::Float, device)), count: 0 }
    }

    /// Adds the loss of one iteration, a scalar.
    pub(crate) fn add(&mut self, loss: &Tensor) {
        let _guard = no_grad_guard();
        self.sum += loss;
        self.count += 1;
    }

    /// The mean at that iteration; starts anew.
    pub(crate) fn read(&mut self, step: u64) -> Result<MetricPoint, TrainError> {
        let mean = self.sum.double_value(&[]) / f64::from(self.count);
        let _ = self.sum.zero_();
        self.count = 0;
        point(self.metric, step, mean)
    }
}

/// A point, if its value is finite.
pub(crate) fn point(metric: &'static str, step: u64, value: f64) -> Result<MetricPoint, TrainError> {
    if value.is_finite() {
        Ok(MetricPoint { metric, step, value })
    } else {
        Err(TrainError::Diverged { metric, step, value })
    }
}
