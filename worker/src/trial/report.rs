//! What a trial tells while it trains, how it ends, and why it fails.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

pub use swfn_session::Stop;
pub use swfn_shared::metrics::Outcome;
use swfn_shared::{ids::TrialId, metrics::MetricPoint};
use tracing::{Span, info};

use super::{checkpoint::Checkpoints, state::State};

/// Iterations between two reports of training losses.
pub const REPORT_EVERY: u32 = 100;

/// How long an observer is left without a call while a trial runs: progress and cancellation then wait no longer than
/// about this.
const SILENCE: Duration = Duration::from_millis(500);

/// A cancelled trial trains on so long, at most, to the next report: there it can be saved.
const WIND_DOWN: Duration = Duration::from_secs(5);

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
    #[error(
        "diverged: {metric} is `{value}` at iteration {step}; hint: a lower learning rate, or a lower lambda"
    )]
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
    /// The data set cannot be had.
    #[error("{0}")]
    Unloadable(String),
    /// Torch refused: out of memory, a broken device, or a mistake of the trainer.
    #[error("torch failed: {0}")]
    Torch(String),
}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
        (**self).points(step, points)
    }
}

impl From<tch::TchError> for TrainError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.to_string())
    }
}

impl TrainError {
    /// Whether less memory may be all that it takes, by the words of torch and of CUDA's libraries.
    pub fn is_out_of_memory(&self) -> bool {
        let words = ["out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED"];
        matches!(self, Self::Torch(text) if words.iter().any(|words| text.contains(words)))
    }
}

/// Who watches a trial, where its checkpoints go, and why it was stopped, once it was.
pub(crate) struct Reporter<'o> {
    observer: Box<dyn Observer + 'o>,
    /// What is logged about the trial belongs to it.
    span: Span,
    last: Instant,
    saver: Option<Saver>,
    /// When and why the observer cancelled the trial.
    cancelled: Option<(Instant, Stop)>,
    stopped: Option<TrainError>,
}

/// When and where a trial is saved.
struct Saver {
    trial: TrialId,
    checkpoints: Checkpoints,
    /// All that was reported: the attempt that goes on reports it again, since the points of one attempt alone count.
    points: Vec<MetricPoint>,
    last: Instant,
    /// What the last checkpoint took.
    cost: Duration,
}

impl Saver {
    /// Saving takes less than a hundredth of the time, however slow the disk is and however many trials are saved beside
    /// this one.
    fn due(&self, trials: usize) -> bool {
        let every = self.checkpoints.every;
        let cost = self.cost * 100 * u32::try_from(trials).unwrap_or(u32::MAX);
        every.is_zero() || self.last.elapsed() >= every.max(cost)
    }
}

impl<'o> Reporter<'o> {
    /// One that saves the trial, too, if there is a place for that.
    pub(crate) fn new(
        observer: Box<dyn Observer + 'o>,
        span: Span,
        trial: TrialId,
        checkpoints: Option<&Checkpoints>,
    ) -> Self {
        let now = Instant::now();
        let saver = |checkpoints: &Checkpoints| Saver {
            trial,
            checkpoints: checkpoints.clone(),
            points: Vec::new(),
            last: now,
            cost: Duration::ZERO,
        };
        Self {
            observer,
            span,
            last: now,
            saver: checkpoints.map(saver),
            cancelled: None,
            stopped: None,
        }
    }

    /// The span, for what is said about the trial elsewhere.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// The observer and the span, for another try.
    pub(crate) fn into_parts(self) -> (Box<dyn Observer + 'o>, Span) {
        (self.observer, self.span)
    }

    /// Why the trial is not to go on, once that is so.
    pub(crate) fn stopped(&self) -> Option<&TrainError> {
        self.stopped.as_ref()
    }

    /// Stops the trial, if nothing else has.
    pub(crate) fn stop(&mut self, error: TrainError) {
        self.stopped.get_or_insert(error);
    }

    /// Does without the trial's checkpoint.
    pub(crate) fn reject_checkpoint(&mut self, why: &str) {
        if let Some(saver) = &self.saver {
            saver.checkpoints.reject(saver.trial, why);
        }
    }

    /// Reports again what was reported before a checkpoint, in portions that fit into messages, and says so.
    pub(crate) fn go_on(&mut self, step: u64, points: &[MetricPoint]) {
        self.span.in_scope(|| info!(step, "goes on from a checkpoint"));
        points.chunks(1000).for_each(|points| self.report(step, points));
    }

    /// Hands points over, after which training goes on from `state`. That is saved if it is time to, or if the trial is
    /// cancelled. `trials`: how many share the time.
    pub(crate) fn report_and_save(
        &mut self,
        step: u64,
        points: &[MetricPoint],
        trials: usize,
        state: impl FnOnce() -> State,
    ) {
        self.tell(step, points);
        let stop = self.cancelled.map(|(_, stop)| stop);
        if let Some(saver) = &mut self.saver
            && stop != Some(Stop::Abandon)
            && (stop.is_some() || saver.due(trials))
        {
            let start = Instant::now();
            let mut state = state();
            state.set_points(&saver.points);
            saver.checkpoints.put(saver.trial, &state);
            (saver.last, saver.cost) = (Instant::now(), start.elapsed());
        }
        if stop.is_some() {
            self.stop(TrainError::Cancelled);
        }
    }

    /// Hands points over where the trial cannot be saved.
    pub(crate) fn report(&mut self, step: u64, points: &[MetricPoint]) {
        self.tell(step, points);
        let over = match self.cancelled {
            Some((_, Stop::Abandon)) => true,
            Some((since, Stop::GiveBack)) => self.saver.is_none() || since.elapsed() > WIND_DOWN,
            None => false,
        };
        if over {
            self.stop(TrainError::Cancelled);
        }
    }

    fn tell(&mut self, step: u64, points: &[MetricPoint]) {
        self.last = Instant::now();
        if let Some(saver) = &mut self.saver {
            saver.points.extend(points);
        }
        if let ControlFlow::Break(stop) = self.span.in_scope(|| self.observer.points(step, points))
        {
            let (_, first) = self.cancelled.get_or_insert((self.last, stop));
            if stop == Stop::Abandon {
                *first = stop;
            }
        }
    }

    /// Calls the observer if it has not been called for a while.
    pub(crate) fn tick(&mut self, step: u64) {
        if self.last.elapsed() >= SILENCE {
            self.report(step, &[]);
        }
    }
}
