//! What a trial tells while it trains, how it ends, and why it fails.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use swfn_shared::metrics::MetricPoint;
pub use swfn_shared::metrics::Outcome;
use tch::{Tensor, no_grad_guard};

/// Iterations between two reports of training losses.
pub const REPORT_EVERY: u32 = 100;

/// How long an observer is left without a call while a trial runs: progress and cancellation then wait no longer than
/// about this.
const SILENCE: Duration = Duration::from_millis(500);

/// Who watches a trial.
pub trait Observer {
    /// Called at each report, and between reports, without points, when some time has passed. `step` counts the
    /// iterations done, those of the VAE included. `Break` cancels the trial.
    fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<()>;
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
    /// Torch refused: out of memory, a broken device, or a mistake of the trainer.
    #[error("torch failed: {0}")]
    Torch(String),
}

/// The observer, and when it was called last.
pub(crate) struct Reporter<'a> {
    observer: &'a mut dyn Observer,
    last: Instant,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(observer: &'a mut dyn Observer) -> Self {
        Self { observer, last: Instant::now() }
    }

    /// Hands points over.
    pub(crate) fn report(&mut self, step: u64, points: &[MetricPoint]) -> Result<(), TrainError> {
        self.last = Instant::now();
        match self.observer.points(step, points) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TrainError::Cancelled),
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
