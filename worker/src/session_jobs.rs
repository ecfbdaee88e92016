//! The session's orders as jobs of the trainer.

use std::{
    collections::{HashMap, VecDeque},
    ops::ControlFlow,
    sync::{Arc, mpsc as std_mpsc},
    time::Duration,
};

use swfn_proto::v1::FailureKind;
use swfn_session::{Cancel, End, Order, Report, Stop};
use swfn_shared::{
    artifacts::Artifact,
    capacity::Capacity,
    dataset::Dataset,
    ids::{LeaseId, ShapeId},
    metrics::{MetricPoint, Outcome},
    telemetry,
    trial_log::{self, TrialLog},
};
use tokio::sync::mpsc;
use tracing::{debug, error, info, info_span};

use crate::{
    faults,
    train::jobs::{Job, Jobs},
    trial::report::{Observer, TrainError},
};

/// The orders of a session as jobs of a trainer, and the trainer's results as reports.
pub(crate) struct SessionJobs {
    orders: std_mpsc::Receiver<Order>,
    reports: mpsc::Sender<Report>,
    /// Orders that wait for lanes, or until a computation of another shape ends.
    waiting: VecDeque<Order>,
    /// Trials that the trainer works on, by ticket.
    running: HashMap<u64, RunningTrial>,
    /// The latest ticket.
    tickets: u64,
    /// The capacity that was reported last, unless it has changed since.
    reported: Option<Capacity>,
    /// Nothing more can be trained, or the session is gone.
    over: bool,
}

struct RunningTrial {
    lease: LeaseId,
    dataset: Dataset,
    log: TrialLog,
}

impl SessionJobs {
    pub(crate) fn new(orders: std_mpsc::Receiver<Order>, reports: mpsc::Sender<Report>) -> Self {
        let (waiting, running) = (VecDeque::new(), HashMap::new());
        Self { orders, reports, waiting, running, tickets: 0, reported: None, over: false }
    }

    fn send(&mut self, report: Report) {
        self.over |= self.reports.blocking_send(report).is_err();
    }

    /// Takes orders that have come, and returns cancelled ones; returns whether there were any of
    /// those.
    fn collect(&mut self) -> bool {
        self.waiting.extend(self.orders.try_iter());
        let before = self.waiting.len();
        for order in std::mem::take(&mut self.waiting) {
            match order.cancel.asked() {
                None => self.waiting.push_back(order),
                Some(_) => self.send(Report::Ended { lease: order.lease, end: End::Released }),
            }
        }
        self.waiting.len() < before
    }

    fn job(&mut self, order: Order) -> Job<'static> {
        let Order { lease, spec, artifacts, cancel } = order;
        self.tickets += 1;
        let span = info_span!("trial", %lease, cell = spec.label(), seed = spec.seed);
        span.in_scope(|| debug!(target: trial_log::TARGET, settings = %spec.to_json(), "begins"));
        let log = TrialLog::of(&span).unwrap_or_default();
        let trial = RunningTrial { lease, dataset: spec.dataset, log: log.clone() };
        self.running.insert(self.tickets, trial);
        self.send(Report::Began { lease });
        let watch = Watch { lease, cancel, reports: self.reports.clone(), log };
        let observer = faults::with_faults(spec.seed, Box::new(watch));
        Job { ticket: self.tickets, spec, wanted: artifacts, observer, span }
    }
}

impl Jobs<'static> for SessionJobs {
    fn room(&mut self, mut room: Capacity) {
        self.collect();
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        // Trials of another shape would wait for ever if those of this one kept coming.
        let others = |shape| self.waiting.iter().any(|order| order.spec.shape() != shape);
        let kept = if room.shape.is_some_and(others) { room.lanes } else { waiting };
        room.lanes = room.lanes.saturating_sub(kept);
        if self.reported.as_ref().is_some_and(|reported| reported.is_equivalent_to(&room)) {
            return;
        }
        self.reported = Some(room.clone());
        self.send(Report::Wants(room));
    }

    fn next(&mut self, shape: Option<ShapeId>) -> Option<Job<'static>> {
        loop {
            let cancelled = self.collect();
            if self.over {
                return None;
            }
            let fits = |order: &Order| shape.is_none_or(|shape| order.spec.shape() == shape);
            let found =
                self.waiting.iter().position(fits).and_then(|index| self.waiting.remove(index));
            match (found, shape) {
                (Some(order), _) => {
                    // The job takes some of the capacity.
                    self.reported = None;
                    return Some(self.job(order));
                }
                (None, Some(_)) => return None,
                (None, None) => {
                    // The cancelled orders have used up the request.
                    if cancelled && let Some(room) = self.reported.take() {
                        self.room(room);
                    }
                    self.waiting.push_back(self.orders.recv().ok()?);
                }
            }
        }
    }

    fn wait(&mut self, limit: Duration) -> bool {
        let waiting = self.waiting.len();
        self.waiting.extend(self.orders.recv_timeout(limit));
        self.waiting.len() > waiting
    }

    fn ended(&mut self, ticket: u64, result: Result<(Outcome, Vec<Artifact>), TrainError>) {
        let Some(trial) = self.running.remove(&ticket) else { return };
        let RunningTrial { lease, dataset, log } = trial;
        self.reported = None;
        let failed = |kind, error: &TrainError| {
            error!("{error}");
            End::Failed { kind, message: error.to_string(), log: telemetry::log_tail() }
        };
        let (end, broken) = match result {
            Ok((outcome, artifacts)) => {
                let seconds = outcome.vae_seconds + outcome.classifier_seconds;
                info!(accuracy = outcome.final_test_accuracy, seconds, "trial done");
                let dataset_digest = dataset.digest().to_string();
                (End::Succeeded { outcome, dataset_digest, artifacts }, None)
            }
            Err(TrainError::Cancelled) => {
                debug!(target: trial_log::TARGET, "given back unfinished");
                (End::Released, None)
            }
            Err(error @ TrainError::Diverged { .. }) => {
                (failed(FailureKind::Diverged, &error), None)
            }
            // Not the trial's fault: the next one would fail, too.
            Err(TrainError::Unloadable(error)) => (End::Released, Some(error)),
            Err(error @ (TrainError::Data(_) | TrainError::Torch(_))) => {
                (failed(FailureKind::Error, &error), None)
            }
        };
        let log = log.finish();
        if !log.is_empty() {
            self.send(Report::Progress { lease, step: 0, points: Vec::new(), log });
        }
        self.send(Report::Ended { lease, end });
        if let Some(error) = broken {
            self.send(Report::Broken { error, retry: false });
            self.over = true;
        }
    }

    fn lost(&mut self, error: &TrainError) {
        // After most CUDA errors the context is lost, and every later call in this process fails
        // with the same error.
        self.send(Report::Broken {
            error: format!("starting anew after an error on the GPU: {error}"),
            retry: true,
        });
        self.over = true;
    }
}

/// Reports a trial's points, and stops the trial when it is cancelled.
struct Watch {
    lease: LeaseId,
    cancel: Arc<Cancel>,
    reports: mpsc::Sender<Report>,
    log: TrialLog,
}

impl Observer for Watch {
    fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
        if let Some(first) = points.first() {
            // `make bench` computes from these lines where the time went.
            debug!(step, metric = first.metric, "reported");
        }
        for MetricPoint { metric, step, value } in
            points.iter().filter(|point| point.metric.starts_with("test/"))
        {
            debug!(target: trial_log::TARGET, step, "{metric} {value}");
        }
        let report = Report::Progress {
            lease: self.lease,
            step,
            points: points.to_vec(),
            log: self.log.take(),
        };
        // Before the stop: a trial that is to be returned may end instead, with all its points.
        let sent = self.reports.blocking_send(report);
        let session_gone = sent.is_err().then_some(Stop::GiveBack);
        self.cancel.asked().or(session_gone).map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }
}

#[cfg(test)]
mod tests {
    use swfn_shared::{
        artifacts::Artifacts,
        grid::{DEFAULT_MAX_TRIALS, Grid},
        metrics::TRAIN_LOSS,
        trial::TrialSpec,
    };

    use super::*;

    /// Orders for the trials of a grid with these architectures.
    fn orders(architectures: &str) -> Vec<Order> {
        let text = format!(
            "version = 1\nname = \"t\"\n[data]\ndataset = \"synthetic\"\n[grid]\nsubset_size = 40\nseed = {{ count = 2 }}\n\
             architecture = {architectures}\nlambda = 0\n"
        );
        let order = |spec: TrialSpec| Order {
            lease: LeaseId { trial: spec.id(), attempt: 1 },
            spec,
            artifacts: Artifacts::default(),
            cancel: Arc::default(),
        };
        Grid::parse("t", &text, DEFAULT_MAX_TRIALS).unwrap().trials().map(order).collect()
    }

    /// The reports so far: requested lanes, and how leases ended.
    fn reported(queue: &mut mpsc::Receiver<Report>) -> Vec<String> {
        let text = |report| match report {
            Report::Wants(Capacity { lanes, shape, .. }) => {
                format!("wants {lanes} {}", shape.is_some())
            }
            Report::Ended { end, .. } => format!("{end:?}"),
            Report::Broken { retry, .. } => format!("broken {retry}"),
            Report::Began { .. } => "began".to_owned(),
            Report::Progress { .. } => "progress".to_owned(),
        };
        std::iter::from_fn(|| queue.try_recv().ok()).map(text).collect()
    }

    #[test]
    fn other_shapes_wait_and_cancelled_orders_are_returned() {
        let (sender, receiver) = std_mpsc::channel();
        let (reports, mut queue) = mpsc::channel(16);
        let mut jobs = SessionJobs::new(receiver, reports);
        let (net, lenet) = (orders("\"net\""), orders("\"lenet\""));
        let (shape, other, cancel) =
            (net[0].spec.shape(), lenet[0].spec.shape(), Arc::clone(&net[1].cancel));
        jobs.room(Capacity { lanes: 3, shape: None, vaes: Vec::new() });
        lenet.into_iter().chain(net).for_each(|order| sender.send(order).unwrap());
        let first = jobs.next(Some(shape)).unwrap();
        assert_eq!(first.spec.shape(), shape);
        cancel.ask(Stop::GiveBack);
        assert!(jobs.next(Some(shape)).is_none());
        assert_eq!(reported(&mut queue), ["wants 3 false", "began", "Released"]);
        // Nothing more of this shape, or the two orders of the other shape would wait for ever.
        jobs.room(Capacity { lanes: 5, shape: Some(shape), vaes: Vec::new() });
        assert_eq!(reported(&mut queue), ["wants 0 true"]);
        jobs.ended(first.ticket, Err(TrainError::Cancelled));
        jobs.ended(first.ticket, Err(TrainError::Cancelled));
        assert_eq!(reported(&mut queue), ["Released"], "a trial ends once");
        assert_eq!(jobs.next(None).unwrap().spec.shape(), other);
        // One more of the other shape waits.
        jobs.room(Capacity { lanes: 5, shape: Some(other), vaes: Vec::new() });
        assert_eq!(reported(&mut queue), ["began", "wants 4 true"]);
    }

    #[test]
    fn an_idle_trainer_replaces_a_cancelled_order() {
        let (sender, receiver) = std_mpsc::channel();
        let (reports, mut queue) = mpsc::channel(16);
        let mut jobs = SessionJobs::new(receiver, reports);
        jobs.room(Capacity { lanes: 1, shape: None, vaes: Vec::new() });
        let order = orders("\"net\"").remove(0);
        order.cancel.ask(Stop::Abandon);
        sender.send(order).unwrap();
        drop(sender);
        assert!(jobs.next(None).is_none(), "the session is over");
        assert_eq!(reported(&mut queue), ["wants 1 false", "Released", "wants 1 false"]);
    }

    #[test]
    fn missing_data_or_lost_devices_end_jobs() {
        for lost in [true, false] {
            let (sender, receiver) = std_mpsc::channel();
            let (reports, mut queue) = mpsc::channel(16);
            let mut jobs = SessionJobs::new(receiver, reports);
            orders("\"net\"").into_iter().for_each(|order| sender.send(order).unwrap());
            let job = jobs.next(None).unwrap();
            if lost {
                jobs.lost(&TrainError::Torch("CUDA error".to_owned()));
                assert_eq!(reported(&mut queue), ["began", "broken true"]);
            } else {
                jobs.ended(job.ticket, Err(TrainError::Unloadable("no file".to_owned())));
                assert_eq!(reported(&mut queue), ["began", "Released", "broken false"]);
            }
            assert!(jobs.next(None).is_none(), "though another order waits");
        }
    }

    /// A trial that is to be returned may end first: its points are then a part of its result.
    #[test]
    fn points_are_reported_before_a_trial_stops() {
        let (reports, mut queue) = mpsc::channel(2);
        let lease =
            LeaseId { trial: "0123456789abcdef0123456789abcdef".parse().unwrap(), attempt: 1 };
        let cancel = Arc::new(Cancel::default());
        let point = MetricPoint { metric: TRAIN_LOSS, step: 1, value: 0.5 };
        let mut watch =
            Watch { lease, cancel: Arc::clone(&cancel), reports, log: TrialLog::default() };
        assert_eq!(watch.points(1, &[point]), ControlFlow::Continue(()));
        for stop in [Stop::GiveBack, Stop::Abandon] {
            cancel.ask(stop);
            queue.try_recv().unwrap();
            assert_eq!(watch.points(2, &[point]), ControlFlow::Break(stop));
        }
        assert!(
            matches!(queue.try_recv(), Ok(Report::Progress { step: 2, points, .. }) if points == [point])
        );
        drop(queue);
        let mut watch = Watch { cancel: Arc::new(Cancel::default()), ..watch };
        assert_eq!(watch.points(3, &[]), ControlFlow::Break(Stop::GiveBack));
    }
}
