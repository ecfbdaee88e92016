//! Between the session's orders and the trainer's jobs.

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

/// The orders of a session as jobs of a trainer, and its results as reports.
pub(crate) struct Orders {
    orders: std_mpsc::Receiver<Order>,
    reports: mpsc::Sender<Report>,
    /// Orders that wait for lanes, or for a computation of another shape to end.
    waiting: VecDeque<Order>,
    /// What the trainer works on, by ticket.
    taken: HashMap<u64, Taken>,
    tickets: u64,
    /// What the session was told last.
    told: Option<Capacity>,
    /// Nothing more can be trained, or nobody listens.
    over: bool,
}

/// What the trainer works on.
struct Taken {
    lease: LeaseId,
    dataset: Dataset,
    log: TrialLog,
}

impl Orders {
    pub(crate) fn new(orders: std_mpsc::Receiver<Order>, reports: mpsc::Sender<Report>) -> Self {
        let (waiting, taken) = (VecDeque::new(), HashMap::new());
        Self { orders, reports, waiting, taken, tickets: 0, told: None, over: false }
    }

    fn send(&mut self, report: Report) {
        self.over |= self.reports.blocking_send(report).is_err();
    }

    /// Takes what has come; gives back what is not wanted any more, and says whether there was any.
    fn collect(&mut self) -> bool {
        self.waiting.extend(self.orders.try_iter());
        let (cancelled, waiting): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|order| order.cancel.asked().is_some());
        self.waiting = waiting;
        let any = !cancelled.is_empty();
        for order in cancelled {
            self.send(Report::Ended { lease: order.lease, end: End::Released });
        }
        any
    }

    fn job(&mut self, order: Order) -> Job<'static> {
        let Order { lease, spec, artifacts, cancel } = order;
        self.tickets += 1;
        let span = info_span!("trial", %lease, cell = spec.label(), seed = spec.seed);
        span.in_scope(|| debug!(target: trial_log::TARGET, settings = %spec.to_json(), "begins"));
        let log = TrialLog::of(&span).unwrap_or_default();
        self.taken.insert(self.tickets, Taken { lease, dataset: spec.dataset, log: log.clone() });
        let watch = Watch { lease, cancel, reports: self.reports.clone(), log };
        let observer = faults::poisoned(spec.seed, Box::new(watch));
        Job { ticket: self.tickets, spec, wanted: artifacts, observer, span }
    }
}

impl Jobs<'static> for Orders {
    fn room(&mut self, mut room: Capacity) {
        self.collect();
        room.lanes =
            room.lanes.saturating_sub(u32::try_from(self.waiting.len()).unwrap_or(u32::MAX));
        if self.told.as_ref().is_some_and(|told| told.is_equivalent_to(&room)) {
            return;
        }
        self.told = Some(room.clone());
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
                    // With it the room has changed, whatever it was.
                    self.told = None;
                    return Some(self.job(order));
                }
                (None, Some(_)) => return None,
                (None, None) => {
                    // What was granted is gone again, and the wish with it.
                    if cancelled && let Some(room) = self.told.take() {
                        self.room(room);
                    }
                    self.waiting.push_back(self.orders.recv().ok()?);
                }
            }
        }
    }

    fn wait(&mut self, limit: Duration) -> bool {
        let come = self.orders.recv_timeout(limit);
        let one = come.is_ok();
        self.waiting.extend(come);
        one
    }

    fn ended(&mut self, ticket: u64, result: Result<(Outcome, Vec<Artifact>), TrainError>) {
        let Some(Taken { lease, dataset, log }) = self.taken.remove(&ticket) else { return };
        self.told = None;
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
            // No fault of the trial, and the next one would fare no better.
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
        // After most CUDA errors the context is lost, and every later call in this process fails with the same error.
        self.send(Report::Broken {
            error: format!("starting anew after an error on the GPU: {error}"),
            retry: true,
        });
        self.over = true;
    }
}

/// Passes a trial's points on and asks it to stop when it is cancelled.
struct Watch {
    lease: LeaseId,
    cancel: Arc<Cancel>,
    reports: mpsc::Sender<Report>,
    log: TrialLog,
}

impl Observer for Watch {
    fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
        if let Some(first) = points.first() {
            // `make bench` reads from these lines what the time went into.
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
        // First of all: a trial that is given back may yet end, and then has all its points.
        let sent = self.reports.blocking_send(report);
        let nobody_listens = sent.is_err().then_some(Stop::GiveBack);
        self.cancel.asked().or(nobody_listens).map_or(ControlFlow::Continue(()), ControlFlow::Break)
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

    /// Orders for the points of a grid with these architectures, and how to cancel them.
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

    /// What was reported: the lanes that are wanted, and leases that ended, by how.
    fn said(queue: &mut mpsc::Receiver<Report>) -> Vec<String> {
        let text = |report| match report {
            Report::Wants(Capacity { lanes, shape, .. }) => {
                format!("wants {lanes} {}", shape.is_some())
            }
            Report::Ended { end, .. } => format!("{end:?}"),
            Report::Broken { retry, .. } => format!("broken {retry}"),
            Report::Progress { .. } => "progress".to_owned(),
        };
        std::iter::from_fn(|| queue.try_recv().ok()).map(text).collect()
    }

    #[test]
    fn orders_of_another_shape_wait_and_cancelled_ones_go_back() {
        let (sender, receiver) = std_mpsc::channel();
        let (reports, mut queue) = mpsc::channel(16);
        let mut jobs = Orders::new(receiver, reports);
        let (net, lenet) = (orders("\"net\""), orders("\"lenet\""));
        let (shape, other, cancel) =
            (net[0].spec.shape(), lenet[0].spec.shape(), Arc::clone(&net[1].cancel));
        jobs.room(Capacity { lanes: 3, shape: None, vaes: Vec::new() });
        lenet.into_iter().chain(net).for_each(|order| sender.send(order).unwrap());
        let first = jobs.next(Some(shape)).unwrap();
        assert_eq!(first.spec.shape(), shape);
        cancel.ask(Stop::GiveBack);
        assert!(jobs.next(Some(shape)).is_none());
        assert_eq!(said(&mut queue), ["wants 3 false", "Released"]);
        // Two of the other shape wait for room that is wanted for this one.
        jobs.room(Capacity { lanes: 5, shape: Some(shape), vaes: Vec::new() });
        assert_eq!(said(&mut queue), ["wants 3 true"]);
        jobs.ended(first.ticket, Err(TrainError::Cancelled));
        jobs.ended(first.ticket, Err(TrainError::Cancelled));
        assert_eq!(said(&mut queue), ["Released"], "a trial ends once");
        assert_eq!(jobs.next(None).unwrap().spec.shape(), other);
    }

    #[test]
    fn an_idle_trainer_whose_order_is_cancelled_wants_another_one() {
        let (sender, receiver) = std_mpsc::channel();
        let (reports, mut queue) = mpsc::channel(16);
        let mut jobs = Orders::new(receiver, reports);
        jobs.room(Capacity { lanes: 1, shape: None, vaes: Vec::new() });
        let order = orders("\"net\"").remove(0);
        order.cancel.ask(Stop::Abandon);
        sender.send(order).unwrap();
        drop(sender);
        assert!(jobs.next(None).is_none(), "the session is over");
        assert_eq!(said(&mut queue), ["wants 1 false", "Released", "wants 1 false"]);
    }

    #[test]
    fn data_that_cannot_be_had_and_a_lost_device_end_it() {
        for lost in [true, false] {
            let (sender, receiver) = std_mpsc::channel();
            let (reports, mut queue) = mpsc::channel(16);
            let mut jobs = Orders::new(receiver, reports);
            orders("\"net\"").into_iter().for_each(|order| sender.send(order).unwrap());
            let job = jobs.next(None).unwrap();
            if lost {
                jobs.lost(&TrainError::Torch("CUDA error".to_owned()));
                assert_eq!(said(&mut queue), ["broken true"]);
            } else {
                jobs.ended(job.ticket, Err(TrainError::Unloadable("no file".to_owned())));
                assert_eq!(said(&mut queue), ["Released", "broken false"]);
            }
            assert!(jobs.next(None).is_none(), "though another order waits");
        }
    }

    /// A trial that is given back may end before it can be saved: its points are then a part of its result.
    #[test]
    fn points_are_passed_on_before_a_trial_is_stopped() {
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
