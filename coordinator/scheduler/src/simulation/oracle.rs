//! The rules that hold after each step. The oracle sees every command with the scheduler's answer,
//! and derives the right answer from its own records.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use swfn_shared::{
    capacity::Capacity,
    ids::{LeaseId, ShapeId, TrialId, WorkerId},
};

use super::{
    super::{Admission, Blame, Command, Event, FailureKind, LeaseReport, Limits, Rejection},
    plan::Plan,
    tally::Tally,
    trial_records::{FinalState, HeldLease, TrialRecords},
};

/// A broken rule, with the facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(pub(super) String);

/// An error unless the condition holds.
macro_rules! hold {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(Broken(format!($($message)+)));
        }
    };
}
pub(super) use hold;

pub(super) type Answer = Result<Vec<Event>, Rejection>;

#[derive(Debug)]
pub(super) struct Oracle {
    pub(super) lease: Duration,
    pub(super) stall: Duration,
    pub(super) limits: Limits,
    pub(super) shapes: BTreeMap<TrialId, ShapeId>,
    /// The records of decided events, and of those on the disk.
    pub(super) live: TrialRecords,
    pub(super) durable: TrialRecords,
    /// Workers that this incarnation of the coordinator knows, and when it heard them last.
    pub(super) heard: BTreeMap<WorkerId, Duration>,
    /// Workers that others have reported dead.
    pub(super) dead: BTreeSet<WorkerId>,
    /// Workers that lost a lease to time and have not asked since.
    pub(super) asleep: BTreeSet<WorkerId>,
    /// When each worker last lost a lease.
    pub(super) lost: BTreeMap<WorkerId, Duration>,
    /// Workers that want trials, and those of which one has advanced.
    pub(super) takers: BTreeSet<WorkerId>,
    pub(super) reporters: BTreeSet<WorkerId>,
    /// By place: the trials that failed there alone, since the last success there.
    pub(super) only_failed: BTreeMap<String, BTreeSet<TrialId>>,
    /// Workers that a person drained in this incarnation.
    pub(super) drained_workers: BTreeSet<WorkerId>,
    /// Workers that came back in this turn, with those of their named leases that are still theirs.
    pub(super) named: Vec<(WorkerId, Vec<LeaseId>)>,
    /// Trials that a person wants to retry, and the number of such commands.
    pub(super) wanted: BTreeSet<TrialId>,
    pub(super) tries: u32,
    pub(super) tally: Tally,
}

impl Oracle {
    pub(super) fn new(plan: &Plan) -> Self {
        let records = TrialRecords::new(plan.limits, plan.subjects.keys().copied());
        Self {
            lease: plan.limits.lease,
            stall: plan.limits.stall,
            limits: plan.limits,
            shapes: plan.subjects.iter().map(|(trial, subject)| (*trial, subject.shape)).collect(),
            live: records.clone(),
            durable: records,
            heard: BTreeMap::new(),
            dead: BTreeSet::new(),
            asleep: BTreeSet::new(),
            lost: BTreeMap::new(),
            takers: BTreeSet::new(),
            reporters: BTreeSet::new(),
            only_failed: BTreeMap::new(),
            drained_workers: BTreeSet::new(),
            named: Vec::new(),
            wanted: BTreeSet::new(),
            tries: 0,
            tally: Tally { seeds: 1, ..Tally::default() },
        }
    }

    /// Records that these events are on the disk.
    pub(super) fn committed(&mut self, events: &[Event]) -> Result<(), Broken> {
        events.iter().try_for_each(|event| self.durable.write(Duration::ZERO, event))?;
        self.tally.journal += events.len() as u64;
        Ok(())
    }

    /// Records that a coordinator starts from the disk: each lease has a whole term from time zero.
    pub(super) fn restarted(&mut self) {
        self.live = self.durable.clone();
        self.asleep.clear();
        self.lost.clear();
        self.takers.clear();
        self.reporters.clear();
        self.only_failed.clear();
        self.drained_workers.clear();
        self.named.clear();
        self.wanted.clear();
        self.heard = self
            .live
            .leases()
            .map(|(_, holding)| (holding.worker.clone(), Duration::ZERO))
            .collect();
    }

    /// Records that all leases got a whole term.
    pub(super) fn granted_full_terms(&mut self, now: Duration) {
        self.heard.values_mut().for_each(|heard| *heard = now);
        for holding in self.live.entries.values_mut().filter_map(|entry| entry.lease.as_mut()) {
            (holding.granted, holding.moved) = (now, now);
        }
    }

    /// Records an ask of a worker.
    pub(super) fn asked(&mut self, worker: &WorkerId) {
        self.asleep.remove(worker);
    }

    /// Checks the admission of a message about a lease.
    pub(super) fn admitted(
        &mut self,
        worker: &WorkerId,
        lease: LeaseId,
        admission: &Result<Admission, Rejection>,
    ) -> Result<(), Broken> {
        let expected = self.expected(worker, lease)?;
        hold!(
            admission.as_ref().ok() == expected.as_ref(),
            "of lease {lease} of {worker}: {admission:?} instead of {expected:?}"
        );
        match admission {
            Ok(Admission::Live) => {}
            Ok(Admission::Repeated) => self.tally.refuse("repeated"),
            Err(Rejection::Fenced { .. }) => self.tally.refuse("fenced"),
            // A worker names only granted leases, and a grant leaves after its commit.
            Err(
                Rejection::UnknownTrial(_)
                | Rejection::UnknownWorker(_)
                | Rejection::NotQuarantined(_),
            ) => {
                return Err(Broken(format!("{worker} speaks of {lease:?}: {admission:?}")));
            }
        }
        Ok(())
    }

    pub(super) fn expected(
        &self,
        worker: &WorkerId,
        lease: LeaseId,
    ) -> Result<Option<Admission>, Broken> {
        let entry = self.live.entry(lease.trial)?;
        hold!(
            lease.attempt <= entry.attempts,
            "{worker} speaks of {lease:?}, which was never granted: {entry:?}"
        );
        if self.live.holder(lease) == Some(worker) {
            return Ok(Some(Admission::Live));
        }
        let repeated = matches!(&entry.end, Some(FinalState::Succeeded(attempt, of)) if *attempt == lease.attempt && of == worker);
        Ok(repeated.then_some(Admission::Repeated))
    }

    /// Checks an answer of the scheduler, and records its events.
    pub(super) fn decided(
        &mut self,
        now: Duration,
        command: &Command,
        answer: &Answer,
    ) -> Result<(), Broken> {
        let losses = || answer.iter().flatten().try_for_each(|event| self.judge_loss(now, event));
        losses().and_then(|()| self.judge(now, command, answer)).map_err(|Broken(rule)| {
            Broken(format!(
                "{rule}\n  at {now:?} of the coordinator's clock\n  command {command:?}\n  answer {answer:?}"
            ))
        })?;
        for event in answer.iter().flatten() {
            if let (Command::Tick, Event::Lost { lease, .. }) = (command, event) {
                // A slow worker is awake.
                if let Some(holder) =
                    self.live.holder(*lease).filter(|holder| self.sleeps(now, holder)).cloned()
                {
                    self.asleep.insert(holder);
                }
                self.lost.extend(self.live.holder(*lease).map(|worker| (worker.clone(), now)));
            }
            let holder = event.durable().and_then(|lease| self.live.holder(lease).cloned());
            self.live.write(now, event)?;
            self.remember(event, holder);
            match event {
                Event::WorkerJoined { worker, .. } | Event::WorkerHeard { worker } => {
                    self.heard.insert(worker.clone(), now);
                }
                Event::WorkerLeft { worker } => {
                    self.heard.remove(worker);
                    self.lost.remove(worker);
                    self.takers.remove(worker);
                    self.reporters.remove(worker);
                }
                Event::Progressed { lease, step, waits } => {
                    if let Some(holding) = self
                        .live
                        .entries
                        .get_mut(&lease.trial)
                        .and_then(|entry| entry.lease.as_mut())
                        && (*step > holding.step || *waits)
                    {
                        (holding.step, holding.moved) = (holding.step.max(*step), now);
                        if holding.step > 0 {
                            self.reporters.insert(holding.worker.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn judge(&mut self, now: Duration, command: &Command, answer: &Answer) -> Result<(), Broken> {
        match command {
            Command::Joined { worker, predecessor, held } => {
                let dead =
                    predecessor.as_ref().map(|dead| &dead.worker).filter(|dead| *dead != worker);
                let lost: BTreeSet<_> =
                    dead.map(|dead| self.live.held_by(dead).collect()).unwrap_or_default();
                let lost = blamed(lost, Blame::Suspected);
                let unknown =
                    self.live.held_by(worker).filter(|lease| !held.contains(lease)).collect();
                let left = dead.filter(|dead| self.heard.contains_key(*dead)).cloned();
                let anew = predecessor.is_none() && !self.heard.contains_key(worker);
                let joined = [Event::WorkerJoined { worker: worker.clone(), anew }];
                self.dead.extend(dead.cloned());
                exactly(answer, &lost, &unknown, &left.into_iter().collect(), &joined)
            }
            Command::Asked { worker, capacity: Capacity { lanes, shape, .. } } => {
                self.judge_grant(now, worker, *lanes as usize, *shape, answer)
            }
            Command::Heard { worker } => {
                let event = Event::WorkerHeard { worker: worker.clone() };
                exactly(answer, &BTreeMap::new(), &[].into(), &[].into(), &[event])
            }
            Command::Reported { worker, lease, report } => {
                let lease = *lease;
                let event = match report.clone() {
                    LeaseReport::Progressed { step, waits } => {
                        Event::Progressed { lease, step, waits }
                    }
                    LeaseReport::Succeeded => Event::Succeeded { lease },
                    LeaseReport::Failed { kind, error, log } => {
                        let failures = self.live.entry(lease.trial)?.failures + 1;
                        let diverged = kind == FailureKind::Diverged;
                        let limit = if diverged { 1 } else { self.limits.max_failures };
                        let quarantine = self.ends(now, lease.trial, worker, failures, limit)?;
                        Event::Failed { lease, error, log, quarantine }
                    }
                    LeaseReport::Released => Event::Released { lease },
                };
                self.judge_report(worker, lease, event, answer)
            }
            Command::Left { worker } if self.heard.contains_key(worker) => {
                let held = self.live.held_by(worker).collect();
                exactly(answer, &BTreeMap::new(), &held, &[worker.clone()].into(), &[])
            }
            Command::Left { .. } => {
                hold!(answer.is_err(), "nobody left");
                Ok(())
            }
            Command::Retried { trial } => self.judge_retry(*trial, answer),
            Command::Tick => {
                let silent = |worker: &WorkerId| {
                    let last = self.heard.get(worker).copied().unwrap_or_default();
                    now.saturating_sub(last) >= self.lease
                };
                let mut over = BTreeMap::new();
                for worker in self.heard.keys() {
                    if silent(worker) {
                        over.extend(blamed(self.live.held_by(worker).collect(), Blame::Among));
                        continue;
                    }
                    // Hanging trials did not all report in the same moment.
                    let still =
                        |holding: &HeldLease, least| now.saturating_sub(holding.moved) >= least;
                    let held: Vec<_> = self
                        .live
                        .leases()
                        .filter(|(_, holding)| holding.worker == *worker)
                        .collect();
                    if held.iter().any(|(_, holding)| still(holding, self.stall)) {
                        let began = held
                            .iter()
                            .any(|(_, holding)| holding.step > 0 && still(holding, self.stall));
                        let company =
                            if began { self.stall / 2 } else { self.lease.min(self.stall / 2) };
                        let with_it =
                            |holding: &HeldLease| still(holding, company) || holding.step == 0;
                        let together = held
                            .iter()
                            .filter(|(_, holding)| with_it(holding))
                            .map(|(lease, _)| *lease);
                        over.extend(blamed(together.collect(), Blame::Suspected));
                    }
                    let longest = self.limits.longest.unwrap_or(Duration::MAX);
                    let too_long = held
                        .iter()
                        .filter(|(_, holding)| now.saturating_sub(holding.granted) >= longest);
                    for (lease, _) in too_long {
                        over.entry(*lease).or_insert(Blame::Alone);
                    }
                }
                let left = self.heard.keys().filter(|worker| silent(worker));
                exactly(answer, &over, &[].into(), &left.cloned().collect(), &[])
            }
        }
    }

    /// Whether a worker is silent, or one of its trials stands still.
    fn sleeps(&self, now: Duration, worker: &WorkerId) -> bool {
        let heard = self.heard.get(worker).copied().unwrap_or_default();
        let still = |holding: &HeldLease| now.saturating_sub(holding.moved) >= self.stall;
        now.saturating_sub(heard) >= self.lease
            || self.live.leases().any(|(_, holding)| holding.worker == *worker && still(holding))
    }

    /// A report counts if its worker holds the lease. A repetition changes nothing, and all others
    /// are refused.
    fn judge_report(
        &mut self,
        worker: &WorkerId,
        lease: LeaseId,
        event: Event,
        answer: &Answer,
    ) -> Result<(), Broken> {
        match self.expected(worker, lease)? {
            Some(Admission::Live) => {
                hold!(answer.as_ref() == Ok(&vec![event.clone()]), "expected {event:?}")
            }
            Some(Admission::Repeated) => {
                hold!(answer.as_ref() == Ok(&Vec::new()), "a repetition is no news");
                self.tally.refuse("repeated");
            }
            None => {
                hold!(
                    matches!(answer, Err(Rejection::Fenced { .. })),
                    "a message about a dead lease was heard"
                );
                self.tally.refuse("fenced");
            }
        }
        Ok(())
    }
}

/// Checks that the answer has exactly these losses, returned leases, gone workers and other events.
pub(super) fn exactly(
    answer: &Answer,
    lost: &BTreeMap<LeaseId, Blame>,
    released: &BTreeSet<LeaseId>,
    left: &BTreeSet<WorkerId>,
    others: &[Event],
) -> Result<(), Broken> {
    let Ok(events) = answer else { return Err(Broken("refused".to_owned())) };
    let (mut seen_lost, mut seen_released, mut seen_left, mut rest) =
        (vec![], vec![], vec![], vec![]);
    for event in events {
        match event {
            Event::Lost { lease, blame, .. } => seen_lost.push((*lease, *blame)),
            Event::Released { lease } => seen_released.push(*lease),
            Event::WorkerLeft { worker } => seen_left.push(worker.clone()),
            other => rest.push(other.clone()),
        }
    }
    let in_order: BTreeMap<_, _> = seen_lost.iter().copied().collect();
    hold!(
        in_order == *lost && seen_lost.len() == lost.len(),
        "lost: {seen_lost:?} instead of {lost:?}"
    );
    hold!(same(&seen_released, released), "released: {seen_released:?} instead of {released:?}");
    hold!(same(&seen_left, left), "left: {seen_left:?} instead of {left:?}");
    hold!(rest == others, "besides: {rest:?} instead of {others:?}");
    Ok(())
}

/// The blame of leases that are lost together; a single one is to blame for itself.
fn blamed(leases: BTreeSet<LeaseId>, together: Blame) -> BTreeMap<LeaseId, Blame> {
    let blame = if leases.len() == 1 { Blame::Alone } else { together };
    leases.into_iter().map(|lease| (lease, blame)).collect()
}

/// Whether both have the same values, each once, in any order.
fn same<T: Ord>(seen: &[T], expected: &BTreeSet<T>) -> bool {
    seen.len() == expected.len() && seen.iter().all(|one| expected.contains(one))
}
