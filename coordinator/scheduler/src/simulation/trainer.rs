//! The trainer of a worker process. Trials of one shape run side by side. Each takes a step at each
//! turn, according to its nature.

use std::collections::{BTreeMap, VecDeque};

use swfn_proto::v1::FailureKind;
use swfn_session::{End, Order, Report};
use swfn_shared::{
    capacity::Capacity,
    ids::{LeaseId, ShapeId, TrialId, VaeId},
    metrics::{MetricPoint, Outcome, TRAIN_LOSS},
};

use super::plan::{Nature, Subject};

/// The fate of the process in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Goes,
    /// A trial stands still, and with it all.
    Hangs,
    Dies,
}

#[derive(Debug)]
struct Lane {
    order: Order,
    step: u64,
}

#[derive(Debug)]
pub(super) struct Trainer {
    lanes: u32,
    /// Whether it asks for more before its lanes are free.
    ahead: bool,
    running: Vec<Lane>,
    waiting: VecDeque<Order>,
    vaes: Vec<VaeId>,
    told: Option<Capacity>,
}

/// VAEs that a trainer has at hand.
const VAES: usize = 3;

impl Trainer {
    pub(super) fn new(lanes: u32, ahead: bool) -> Self {
        Self {
            lanes,
            ahead,
            running: Vec::new(),
            waiting: VecDeque::new(),
            vaes: Vec::new(),
            told: None,
        }
    }

    pub(super) fn order(&mut self, order: Order) {
        self.waiting.push_back(order);
    }

    /// Whether it has said that it would take any trial.
    pub(super) fn wants_any(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.lanes > 0 && told.shape.is_none())
    }

    /// The running trials, and the waiting ones.
    pub(super) fn leases(&self) -> impl Iterator<Item = LeaseId> {
        self.running.iter().map(|lane| &lane.order).chain(&self.waiting).map(|order| order.lease)
    }

    /// A turn: takes what waits, works, and says what it wants next.
    pub(super) fn turn(
        &mut self,
        subjects: &mut BTreeMap<TrialId, Subject>,
    ) -> (Vec<Report>, Fate) {
        let mut reports = Vec::new();
        let mut go_on = |order: &Order| {
            let stopped = order.cancel.asked().is_some();
            if stopped {
                reports.push(Report::Ended { lease: order.lease, end: End::Released });
                self.told = None;
            }
            !stopped
        };
        self.waiting.retain(&mut go_on);
        self.running.retain(|lane| go_on(&lane.order));
        reports.extend(self.fill(subjects));
        // Lanes are one computation: none gets on while one does not.
        for lane in &self.running {
            let fate = lane.fate(subject(subjects, lane.order.lease));
            if fate != Fate::Goes {
                return (reports, fate);
            }
        }
        self.running.retain_mut(|lane| {
            lane.step += 1;
            let (lease, step) = (lane.order.lease, lane.step);
            let points = vec![MetricPoint { metric: TRAIN_LOSS, step, value: 1.0 }];
            reports.push(Report::Progress { lease, step, points, log: String::new() });
            let Some(end) = lane.end(subject(subjects, lease)) else { return true };
            reports.push(Report::Ended { lease, end });
            self.told = None;
            false
        });
        reports.extend(self.wants(subjects));
        (reports, Fate::Goes)
    }

    fn shape(&self, subjects: &BTreeMap<TrialId, Subject>) -> Option<ShapeId> {
        self.running.first().map(|lane| subjects[&lane.order.lease.trial].shape)
    }

    /// Begins trials that wait, as far as there are lanes for their shape.
    fn fill(&mut self, subjects: &BTreeMap<TrialId, Subject>) -> Vec<Report> {
        let mut reports = Vec::new();
        while self.running.len() < self.lanes as usize {
            let shape = self.shape(subjects);
            let fits = |order: &Order| {
                shape.is_none_or(|shape| subjects[&order.lease.trial].shape == shape)
            };
            let Some(order) =
                self.waiting.iter().position(fits).and_then(|index| self.waiting.remove(index))
            else {
                break;
            };
            self.told = None;
            reports.push(Report::Began { lease: order.lease });
            if let Some(vae) =
                subjects[&order.lease.trial].vae.filter(|vae| !self.vaes.contains(vae))
            {
                self.vaes.insert(0, vae);
                self.vaes.truncate(VAES);
            }
            self.running.push(Lane { order, step: 0 });
        }
        reports
    }

    fn wants(&mut self, subjects: &BTreeMap<TrialId, Subject>) -> Option<Report> {
        let soon =
            |lane: &&Lane| self.ahead && lane.step + 1 >= subjects[&lane.order.lease.trial].steps;
        let room = self.lanes as usize + self.running.iter().filter(soon).count();
        let shape = self.shape(subjects).filter(|_| self.lanes > 1);
        // Like the real trainer, it takes no more of this shape while trials of another one wait.
        let waits =
            |shape| self.waiting.iter().any(|order| subjects[&order.lease.trial].shape != shape);
        let held =
            if shape.is_some_and(waits) { room } else { self.running.len() + self.waiting.len() };
        let lanes = u32::try_from(room.saturating_sub(held)).unwrap_or(u32::MAX);
        let wish = Capacity { lanes, shape, vaes: self.vaes.clone() };
        if self.told.as_ref().is_some_and(|told| told.is_equivalent_to(&wish)) {
            return None;
        }
        self.told = Some(wish.clone());
        Some(Report::Wants(wish))
    }
}

fn subject(subjects: &mut BTreeMap<TrialId, Subject>, lease: LeaseId) -> &mut Subject {
    subjects.get_mut(&lease.trial).expect("leases are of trials of the plan")
}

impl Lane {
    /// The fate of all lanes when this one takes its next step.
    fn fate(&self, subject: &mut Subject) -> Fate {
        let fate = match subject.nature {
            Nature::Kills(times) if subject.struck < times => Fate::Dies,
            Nature::Hangs(times) if subject.struck < times => Fate::Hangs,
            _ => Fate::Goes,
        };
        if fate == Fate::Goes || self.step + 1 != subject.bad_step() {
            return Fate::Goes;
        }
        subject.struck = subject.struck.saturating_add(1);
        fate
    }

    fn failed(&self, kind: FailureKind) -> End {
        let what = if kind == FailureKind::Diverged { "diverged" } else { "failed" };
        let message = format!("{what}: in attempt {}", self.order.lease.attempt);
        End::Failed { kind, message, log: String::new() }
    }

    fn end(&self, subject: &mut Subject) -> Option<End> {
        let bad = self.step == subject.bad_step();
        match subject.nature {
            Nature::Diverges if bad => Some(self.failed(FailureKind::Diverged)),
            Nature::Fails(times) if bad && subject.struck < times => {
                subject.struck = subject.struck.saturating_add(1);
                Some(self.failed(FailureKind::Error))
            }
            _ => (self.step == subject.steps).then(success),
        }
    }
}

fn success() -> End {
    let outcome = Outcome {
        final_test_accuracy: 0.5,
        best_test_accuracy: 0.5,
        final_test_loss: 1.0,
        validation_accuracy: None,
        validated_test_accuracy: None,
        vae_seconds: 0.0,
        classifier_seconds: 1.0,
    };
    End::Succeeded { outcome, dataset_digest: "0".repeat(64), artifacts: Vec::new() }
}

impl Subject {
    /// The step at which its nature shows.
    fn bad_step(&self) -> u64 {
        self.steps.div_ceil(2)
    }
}
