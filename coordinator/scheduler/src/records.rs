//! The records of places: which ones only produce failures, and how long trials take there.
//!
//! A failure is the fault of its trial or of the device. One more attempt elsewhere shows which. So
//! a trial is given up after failures at two places, if there are two. A place whose trials only
//! fail gets no more of them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use swfn_shared::{
    ids::{WorkerDevice, WorkerId},
    work,
};

use super::state::{Scheduler, Trial, TrialIndex, Worker};

/// The number of trials failing at one place alone after which it gets no more.
const TOO_MANY: usize = 3;

/// The least results from which the time of a trial is known: at one place, and in all.
const RATES_OF_PLACE: usize = 3;
const RATES_OF_ALL: usize = 5;
/// The newest results that count.
const MOST_RATES: usize = 31;
/// A trial may take so many times the median of its place, or else of all, which may be faster.
const SLACK_OF_PLACE: f64 = 20.0;
const SLACK_OF_ALL: f64 = 100.0;
/// No trial takes too long before that, unless the grid file says so.
const LEAST: Duration = Duration::from_secs(3600);

/// Seconds per operation of the newest results.
#[derive(Debug, Default)]
pub(super) struct Rates(VecDeque<f64>);

impl Rates {
    fn add(&mut self, rate: f64) {
        if self.0.len() == MOST_RATES {
            self.0.pop_front();
        }
        self.0.push_back(rate);
    }

    /// The median, if there are so many rates.
    fn median(&self, least: usize) -> Option<f64> {
        let mut rates: Vec<_> = self.0.iter().copied().collect();
        rates.sort_by(f64::total_cmp);
        (rates.len() >= least).then(|| rates[rates.len() / 2])
    }
}

#[derive(Debug, Default)]
pub(super) struct Records {
    /// Trials that have failed at one place alone, since the last success there.
    failed: BTreeMap<WorkerDevice, BTreeSet<TrialIndex>>,
    rates: BTreeMap<WorkerDevice, Rates>,
    all: Rates,
}

impl Records {
    /// Records a failure. Failures at two places are the trial's, and count against no place.
    pub(super) fn failed(&mut self, index: TrialIndex, places: &[WorkerDevice]) {
        if let [only] = places {
            self.failed.entry(only.clone()).or_default().insert(index);
        } else {
            self.forgive(index);
        }
    }

    pub(super) fn succeeded(&mut self, place: &WorkerDevice, rate: Option<f64>) {
        self.failed.remove(place);
        if let Some(rate) = rate {
            self.rates.entry(place.clone()).or_default().add(rate);
            self.all.add(rate);
        }
    }

    /// Drops the failures of a trial.
    pub(super) fn forgive(&mut self, index: TrialIndex) {
        for failed in self.failed.values_mut() {
            failed.remove(&index);
        }
    }

    /// Drops the record of a place where somebody has started a worker anew.
    pub(super) fn forget(&mut self, place: &WorkerDevice) {
        self.failed.remove(place);
        self.rates.remove(place);
    }

    fn only_fails(&self, place: &WorkerDevice) -> bool {
        self.failed.get(place).is_some_and(|failed| failed.len() >= TOO_MANY)
    }

    /// How long a trial may take at a place, judging by others.
    fn longest(&self, trial: &Trial, place: &WorkerDevice) -> Option<Duration> {
        let own = self.rates.get(place).and_then(|rates| rates.median(RATES_OF_PLACE));
        let own = own.map(|rate| SLACK_OF_PLACE * rate);
        let rate = own.or_else(|| Some(SLACK_OF_ALL * self.all.median(RATES_OF_ALL)?))?;
        let longest = Duration::try_from_secs_f64(rate * operations(trial));
        Some(longest.unwrap_or(Duration::MAX).max(LEAST))
    }
}

/// The operations of a trial, training of its VAE included.
pub(super) fn operations(trial: &Trial) -> f64 {
    work::vae_flop(&trial.spec) + work::classifier_flop(&trial.spec)
}

/// The places where trials can run: their workers are there, take trials and do not only fail.
pub(super) struct AblePlaces<'s>(BTreeSet<&'s WorkerDevice>);

impl AblePlaces<'_> {
    fn has_other_host(&self, places: &[WorkerDevice]) -> bool {
        self.0.iter().any(|able| places.iter().all(|place| place.host != able.host))
    }

    fn has_other_place(&self, places: &[WorkerDevice]) -> bool {
        self.0.iter().any(|able| !places.contains(able))
    }

    /// Whether a trial should run elsewhere: it has failed here, or on this host, and there are
    /// others.
    pub(super) fn prefer_others(&self, here: &WorkerDevice, trial: &Trial) -> bool {
        let failed = &trial.failed_at;
        failed.contains(here) && self.has_other_place(failed)
            || failed.iter().any(|place| place.host == here.host) && self.has_other_host(failed)
    }
}

impl Scheduler {
    pub(super) fn able_places(&self, now: Duration) -> AblePlaces<'_> {
        let heard = |worker: &Worker| {
            now.checked_sub(worker.heard).is_some_and(|silent| silent < self.limits.lease)
        };
        let there = |worker: &&Worker| worker.takes && heard(worker);
        let places: BTreeSet<_> =
            self.workers.values().filter(there).map(|worker| &worker.place).collect();
        AblePlaces(places.into_iter().filter(|place| !self.records.only_fails(place)).collect())
    }

    /// Whether a worker gets no trials, since its place only fails and there are others.
    pub(super) fn is_excluded(&self, worker: &Worker, able: &AblePlaces<'_>) -> bool {
        !able.0.is_empty() && self.records.only_fails(&worker.place)
    }

    /// The workers that get no trials for that reason.
    pub fn excluded_workers(&self, now: Duration) -> Vec<&WorkerId> {
        let able = self.able_places(now);
        let aside = self.workers.iter().filter(|(_, worker)| self.is_excluded(worker, &able));
        aside.map(|(id, _)| id).collect()
    }

    /// Whether a trial whose attempt ends at a place is given up: it has reached its limit, and
    /// there is no other place to try it. Places come and go; at [`most`] it is given up anyway.
    pub(super) fn is_at_end(
        &self,
        now: Duration,
        trial: &Trial,
        place: &WorkerDevice,
        count: u32,
        limit: u32,
    ) -> bool {
        let places: Vec<_> = trial.failed_at.iter().chain([place]).cloned().collect();
        let is_one = places.iter().all(|other| other == place);
        let elsewhere = |able: AblePlaces<'_>| {
            able.has_other_host(&places) || is_one && able.has_other_place(&places)
        };
        count >= limit && (count >= most(limit) || !elsewhere(self.able_places(now)))
    }

    /// How long a lease may last that has lasted so long; `None` if that is unknown.
    pub(super) fn longest(
        &self,
        trial: &Trial,
        worker: &Worker,
        lasts: Duration,
    ) -> Option<Duration> {
        let by_others =
            || if lasts < LEAST { None } else { self.records.longest(trial, &worker.place) };
        self.limits.longest.or_else(by_others)
    }
}

/// The most failures of a trial, while other places come and go.
pub(super) fn most(limit: u32) -> u32 {
    limit.saturating_mul(2).saturating_add(2)
}
