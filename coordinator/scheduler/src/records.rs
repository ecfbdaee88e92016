//! The record of trials and of places: where a trial has failed, and where nothing but failures comes from.
//!
//! A failure says something of its trial or of the device that it ran on. One more attempt elsewhere tells which. So a trial is given
//! up after failures at two places, where there are two, and a place whose trials only fail gets no more of them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use swfn_shared::{
    ids::{WorkerDevice, WorkerId},
    work,
};

use super::state::{Scheduler, Trial, TrialIndex, Worker};

/// Trials that have failed at one place and nowhere else, after which it gets no more.
const TOO_MANY: usize = 3;

/// Results that tell how long a trial takes: at one place, and in all.
const RATES_OF_PLACE: usize = 3;
const RATES_OF_ALL: usize = 5;
/// Newest results that count.
const MOST_RATES: usize = 31;
/// How many times the median a trial may take: that of its own place, or else that of all, which may be faster.
const SLACK_OF_PLACE: f64 = 20.0;
const SLACK_OF_ALL: f64 = 100.0;
/// No trial is too long before that, unless the grid file says so.
const LEAST: Duration = Duration::from_secs(3600);

/// The record of one place.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Trials that have failed here since anything succeeded, and nowhere else.
    failed: BTreeSet<TrialIndex>,
    rates: Rates,
}

/// Seconds for each operation of the newest results.
#[derive(Debug, Default)]
pub(super) struct Rates(VecDeque<f64>);

impl Rates {
    fn add(&mut self, rate: f64) {
        if self.0.len() == MOST_RATES {
            self.0.pop_front();
        }
        self.0.push_back(rate);
    }

    /// The median, of so many at least.
    fn median(&self, least: usize) -> Option<f64> {
        let mut rates: Vec<_> = self.0.iter().copied().collect();
        rates.sort_by(f64::total_cmp);
        (rates.len() >= least).then(|| rates[rates.len() / 2])
    }
}

#[derive(Debug, Default)]
pub(super) struct Records {
    places: BTreeMap<WorkerDevice, Record>,
    all: Rates,
}

impl Records {
    /// A trial has failed, by now at these places. After failures at two, none of them is held against a place.
    pub(super) fn failed(&mut self, index: TrialIndex, places: &[WorkerDevice]) {
        if let [only] = places {
            self.places.entry(only.clone()).or_default().failed.insert(index);
        } else {
            self.forgive(index);
        }
    }

    pub(super) fn succeeded(&mut self, place: &WorkerDevice, rate: Option<f64>) {
        let record = self.places.entry(place.clone()).or_default();
        record.failed.clear();
        if let Some(rate) = rate {
            record.rates.add(rate);
            self.all.add(rate);
        }
    }

    /// Whatever befell a trial is held against no place any more.
    pub(super) fn forgive(&mut self, index: TrialIndex) {
        self.places.retain(|_, record| {
            record.failed.remove(&index);
            !(record.failed.is_empty() && record.rates.0.is_empty())
        });
    }

    /// Somebody has started a worker at this place anew.
    pub(super) fn anew(&mut self, place: &WorkerDevice) {
        self.places.remove(place);
    }

    fn only_fails(&self, place: &WorkerDevice) -> bool {
        self.places.get(place).is_some_and(|record| record.failed.len() >= TOO_MANY)
    }

    /// How long a trial may take at a place, by what others took.
    fn longest(&self, trial: &Trial, place: &WorkerDevice) -> Option<Duration> {
        let own = self.places.get(place).and_then(|record| record.rates.median(RATES_OF_PLACE));
        let own = own.map(|rate| SLACK_OF_PLACE * rate);
        let rate = own.or_else(|| Some(SLACK_OF_ALL * self.all.median(RATES_OF_ALL)?))?;
        let longest =
            Duration::try_from_secs_f64(rate * operations(trial)).unwrap_or(Duration::MAX);
        Some(longest.max(LEAST))
    }
}

/// The work of a trial, as if its VAE were to be trained.
pub(super) fn operations(trial: &Trial) -> f64 {
    work::vae_flop(&trial.spec) + work::classifier_flop(&trial.spec)
}

/// Where a trial could be tried: places of workers that are there, take trials and do more than fail.
pub(super) struct AblePlaces<'s>(BTreeSet<&'s WorkerDevice>);

impl AblePlaces<'_> {
    /// Whether there is another host than all of these, or, if they are one place, another place.
    fn beyond(&self, places: &[&WorkerDevice]) -> bool {
        let another_host =
            |able: &&&WorkerDevice| !places.iter().any(|place| place.host == able.host);
        let one_place = places.windows(2).all(|pair| pair[0] == pair[1]);
        self.0.iter().any(|able| another_host(&able))
            || one_place && self.0.iter().any(|able| !places.contains(able))
    }

    /// Whether the trial had better go elsewhere than here: it has failed here, or on this machine, and there are others.
    pub(super) fn rather_than(&self, here: &WorkerDevice, trial: &Trial) -> bool {
        let failed = || trial.failed_at.iter();
        let another_host = |able: &&&WorkerDevice| !failed().any(|place| place.host == able.host);
        let another_place = |able: &&&WorkerDevice| !failed().any(|place| place == **able);
        failed().any(|place| place == here) && self.0.iter().any(|able| another_place(&able))
            || failed().any(|place| place.host == here.host)
                && self.0.iter().any(|able| another_host(&able))
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

    /// Whether a worker gets no trials, since those at its place only fail, and there are other places.
    pub(super) fn is_set_aside(&self, worker: &Worker, able: &AblePlaces<'_>) -> bool {
        !able.0.is_empty() && self.records.only_fails(&worker.place)
    }

    /// Workers that get no trials for that reason.
    pub fn set_aside(&self, now: Duration) -> Vec<&WorkerId> {
        let able = self.able_places(now);
        let aside = self.workers.iter().filter(|(_, worker)| self.is_set_aside(worker, &able));
        aside.map(|(id, _)| id).collect()
    }

    /// Whether a trial that ends so at a place has had all its chances: it is at its limit, and there is nowhere else to try it. A limit
    /// and a half more ends it whatever comes and goes meanwhile.
    pub(super) fn is_at_end(
        &self,
        now: Duration,
        trial: &Trial,
        place: &WorkerDevice,
        count: u32,
        limit: u32,
    ) -> bool {
        let places: Vec<_> = trial.failed_at.iter().chain([place]).collect();
        count >= limit && (count >= most(limit) || !self.able_places(now).beyond(&places))
    }

    /// How long a lease may last that has lasted so long; for ever, if nothing tells.
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

/// The failures of a trial for which other places came and went.
pub(super) fn most(limit: u32) -> u32 {
    limit.saturating_mul(2).saturating_add(2)
}
