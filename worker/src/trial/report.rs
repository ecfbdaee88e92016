//! Reports of a trial, its end, and the reasons of its failure.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

pub use swfn_session::Stop;
pub use swfn_shared::metrics::Outcome;
use swfn_shared::{ids::TrialId, metrics::MetricPoint};
use tracing::{Span, info};

use super::{checkpoint::Checkpoints, state::State};

/// Number of iterations between two reports of training losses.
pub const REPORT_EVERY: u32 = 100;

/// Longest time without a call of the observer while a trial runs. So progress and cancellation are
/// delayed by about this at most.
const SILENCE: Duration = Duration::from_millis(500);

/// Longest time that a cancelled trial continues to its next report, where it can be saved.
const WIND_DOWN: Duration = Duration::from_secs(5);

/// Receives the reports of a trial.
pub trait Observer {
    /// Receives the points of a report. Between reports it is called without points from time to
    /// time.
    ///
    /// `step` counts finished iterations, those of the VAE included. `Break` cancels the trial. A
    /// trial that is given back may still report, and even end.
    fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<Stop>;
}

/// Why a trial has no outcome.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// A loss is no longer finite. Training is deterministic, so it would diverge again.
    #[error("diverged: {metric} is `{value}` at iteration {step}; hint: lower {settings}")]
    Diverged {
        /// The metric.
        metric: &'static str,
        /// Iteration of the VAE or of the classifier, whichever the metric belongs to.
        step: u64,
        /// Infinite or NaN.
        value: f64,
        /// The settings that may prevent it.
        settings: &'static str,
    },
    /// The observer cancelled the trial.
    #[error("cancelled")]
    Cancelled,
    /// The trial cannot be trained on the data that are loaded.
    #[error("{0}")]
    Data(String),
    /// The data set cannot be loaded.
    #[error("{0}")]
    Unloadable(String),
    /// Torch reported an error: out of memory, a broken device, or a mistake of the trainer.
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
    /// Whether memory ran out, judged by the messages of torch and of CUDA's libraries.
    pub fn is_out_of_memory(&self) -> bool {
        let signs = ["out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED"];
        matches!(self, Self::Torch(text) if signs.iter().any(|sign| text.contains(sign)))
    }
}

/// Observer and checkpoints of a trial, and the reason why it was stopped, if it was.
pub(crate) struct Reporter<'o> {
    observer: Box<dyn Observer + 'o>,
    /// The span of the trial's log lines.
    pub(crate) span: Span,
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
    /// All reported points. A resumed attempt reports them again, since only points of one attempt
    /// count.
    points: Vec<MetricPoint>,
    last: Instant,
    /// Time that the last checkpoint took.
    cost: Duration,
}

impl Saver {
    /// Whether to save now. Saving takes less than a hundredth of the time, however slow the disk
    /// is and however many trials are saved beside this one.
    fn is_due(&self, trials: usize) -> bool {
        let every = self.checkpoints.every;
        let cost = self.cost * 100 * u32::try_from(trials).unwrap_or(u32::MAX);
        every.is_zero() || self.last.elapsed() >= every.max(cost)
    }
}

impl<'o> Reporter<'o> {
    /// A reporter, which also saves the trial if there are checkpoints.
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

    /// Observer and span, to train the trial again.
    pub(crate) fn into_parts(self) -> (Box<dyn Observer + 'o>, Span) {
        (self.observer, self.span)
    }

    /// The reason why the trial must stop, if it must.
    pub(crate) fn stopped(&self) -> Option<&TrainError> {
        self.stopped.as_ref()
    }

    /// Stops the trial. An earlier reason stays.
    pub(crate) fn stop(&mut self, error: TrainError) {
        self.stopped.get_or_insert(error);
    }

    /// Removes the trial's checkpoint.
    pub(crate) fn reject_checkpoint(&mut self, why: &str) {
        if let Some(saver) = &self.saver {
            saver.checkpoints.reject(saver.trial, why);
        }
    }

    /// Logs that the trial resumes from a checkpoint, and reports its earlier points, in portions
    /// that fit into messages.
    pub(crate) fn resume(&mut self, step: u64, points: &[MetricPoint]) {
        self.span.in_scope(|| info!(step, "resumed from a checkpoint"));
        points.chunks(1000).for_each(|points| self.report(step, points));
    }

    /// Reports points after which training goes on from `state`. It is saved if that is due, or if
    /// the trial is cancelled. `trials` is the number of trials that share the time.
    pub(crate) fn report_and_save(
        &mut self,
        step: u64,
        points: &[MetricPoint],
        trials: usize,
        state: impl FnOnce() -> State,
    ) {
        self.pass_on(step, points);
        let stop = self.cancelled.map(|(_, stop)| stop);
        if let Some(saver) = &mut self.saver
            && stop != Some(Stop::Abandon)
            && (stop.is_some() || saver.is_due(trials))
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

    /// Reports points where the trial cannot be saved.
    pub(crate) fn report(&mut self, step: u64, points: &[MetricPoint]) {
        self.pass_on(step, points);
        let over = match self.cancelled {
            Some((_, Stop::Abandon)) => true,
            Some((since, Stop::GiveBack)) => self.saver.is_none() || since.elapsed() > WIND_DOWN,
            None => false,
        };
        if over {
            self.stop(TrainError::Cancelled);
        }
    }

    fn pass_on(&mut self, step: u64, points: &[MetricPoint]) {
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

    /// Calls the observer if its last call was long ago.
    pub(crate) fn tick(&mut self, step: u64) {
        if self.last.elapsed() >= SILENCE {
            self.report(step, &[]);
        }
    }
}
