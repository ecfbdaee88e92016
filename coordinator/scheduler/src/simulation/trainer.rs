//! The trainer of a worker process: trials of one shape side by side, each a step further at each turn, and each after its nature.

use std::collections::{BTreeMap, VecDeque};

use swfn_shared::{
    capacity::Capacity,
    ids::{LeaseId, ShapeId, TrialId, VaeId},
};

use super::{
    super::FailureKind,
    ledger::End,
    plan::{Nature, Subject},
};

/// How a trial is to be stopped; it may grow, and never shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    GiveBack,
    Abandon,
}

/// What the trainer says.
#[derive(Debug)]
pub(super) enum Report {
    Wants(Capacity),
    Progress { lease: LeaseId, step: u64 },
    Ended { lease: LeaseId, end: End },
}

/// What became of the process in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Goes,
    /// A trial stands still, and with it all.
    Hangs,
    Dies,
}

#[derive(Debug)]
struct Lane {
    lease: LeaseId,
    step: u64,
}

#[derive(Debug)]
pub(super) struct Trainer {
    lanes: u32,
    /// Whether it asks for more before its lanes are free.
    ahead: bool,
    running: Vec<Lane>,
    waiting: VecDeque<LeaseId>,
    vaes: Vec<VaeId>,
    told: Option<Capacity>,
}

/// VAEs that a trainer has at hand.
const VAES: usize = 3;

impl Trainer {
    pub(super) fn new(lanes: u32, ahead: bool) -> Self {
        Self { lanes, ahead, running: Vec::new(), waiting: VecDeque::new(), vaes: Vec::new(), told: None }
    }

    /// A lease to work on. What it has is not doubled, which streams do not do in earnest.
    pub(super) fn order(&mut self, lease: LeaseId) {
        if !self.waiting.contains(&lease) && self.running.iter().all(|lane| lane.lease != lease) {
            self.waiting.push_back(lease);
        }
    }

    /// What it works on, and what waits for that.
    pub(super) fn leases(&self) -> impl Iterator<Item = LeaseId> {
        self.running.iter().map(|lane| lane.lease).chain(self.waiting.iter().copied())
    }

    /// A turn: takes what waits, works, and says what it wants next. `cancelled` loses what was noticed.
    pub(super) fn turn(
        &mut self,
        subjects: &mut BTreeMap<TrialId, Subject>,
        cancelled: &mut BTreeMap<LeaseId, Stop>,
    ) -> (Vec<Report>, Fate) {
        let mut reports = Vec::new();
        let mut go_on = |lease: &LeaseId| {
            let stopped = cancelled.remove(lease).is_some();
            if stopped {
                reports.push(Report::Ended { lease: *lease, end: End::Released });
                self.told = None;
            }
            !stopped
        };
        self.waiting.retain(&mut go_on);
        self.running.retain(|lane| go_on(&lane.lease));
        self.fill(subjects);
        // Lanes are one computation: none gets on while one does not.
        for lane in &self.running {
            let fate = lane.fate(subject(subjects, lane.lease));
            if fate != Fate::Goes {
                return (reports, fate);
            }
        }
        self.running.retain_mut(|lane| {
            lane.step += 1;
            let (lease, step) = (lane.lease, lane.step);
            reports.push(Report::Progress { lease, step });
            let end = lane.end(subject(subjects, lease));
            if let Some(end) = end {
                reports.push(Report::Ended { lease, end });
                self.told = None;
            }
            end.is_none()
        });
        reports.extend(self.wants(subjects));
        (reports, Fate::Goes)
    }

    fn shape(&self, subjects: &BTreeMap<TrialId, Subject>) -> Option<ShapeId> {
        self.running.first().map(|lane| subjects[&lane.lease.trial].shape)
    }

    fn fill(&mut self, subjects: &BTreeMap<TrialId, Subject>) {
        while self.running.len() < self.lanes as usize {
            let shape = self.shape(subjects);
            let fits = |lease: &LeaseId| shape.is_none_or(|shape| subjects[&lease.trial].shape == shape);
            let Some(lease) = self.waiting.iter().position(fits).and_then(|index| self.waiting.remove(index)) else {
                return;
            };
            self.told = None;
            if let Some(vae) = subjects[&lease.trial].vae.filter(|vae| !self.vaes.contains(vae)) {
                self.vaes.insert(0, vae);
                self.vaes.truncate(VAES);
            }
            self.running.push(Lane { lease, step: 0 });
        }
    }

    fn wants(&mut self, subjects: &BTreeMap<TrialId, Subject>) -> Option<Report> {
        let soon = |lane: &&Lane| self.ahead && lane.step + 1 >= subjects[&lane.lease.trial].steps;
        let room = self.lanes as usize + self.running.iter().filter(soon).count();
        let lanes = room.saturating_sub(self.running.len() + self.waiting.len());
        let lanes = u32::try_from(lanes).unwrap_or(u32::MAX);
        let shape = self.shape(subjects).filter(|_| self.lanes > 1);
        let wish = Capacity { lanes, shape, vaes: self.vaes.clone() };
        if self.told.as_ref().is_some_and(|told| told.says_the_same(&wish)) {
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
    /// What becomes of all lanes when this one takes its next step.
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

    fn end(&self, subject: &mut Subject) -> Option<End> {
        let bad = self.step == subject.bad_step();
        match subject.nature {
            Nature::Diverges if bad => Some(End::Failed(FailureKind::Diverged)),
            Nature::Fails(times) if bad && subject.struck < times => {
                subject.struck = subject.struck.saturating_add(1);
                Some(End::Failed(FailureKind::Error))
            }
            _ => (self.step == subject.steps).then_some(End::Succeeded),
        }
    }
}

impl Subject {
    /// The step at which its nature shows.
    fn bad_step(&self) -> u64 {
        self.steps.div_ceil(2)
    }
}
