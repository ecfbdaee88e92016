//! The oracle's rules for places: where trials fail, and where nothing else happens.

use std::{collections::BTreeSet, time::Duration};

use swfn_shared::ids::{TrialId, WorkerId};

use super::{
    super::{Blame, Event},
    oracle::{Broken, Oracle, hold},
    trial_records::{must_end, place_of},
};

/// The number of trials failing at one place alone after which it gets no more.
const TOO_MANY: usize = 3;

impl Oracle {
    /// Records the meaning of an event for places. `holder`: the worker of its lease before it.
    pub(super) fn remember(&mut self, event: &Event, holder: Option<WorkerId>) {
        match (event, holder) {
            (Event::WorkerJoined { worker, anew: true }, _) => {
                self.only_failed.remove(&place_of(worker));
            }
            (Event::WorkerAsked { worker, lanes }, _) => {
                if *lanes > 0 {
                    self.takers.insert(worker.clone());
                } else {
                    self.takers.remove(worker);
                }
            }
            (Event::Succeeded { .. }, Some(worker)) => {
                self.only_failed.remove(&place_of(&worker));
                if self.heard.contains_key(&worker) {
                    self.reporters.insert(worker);
                }
            }
            (Event::Failed { lease, .. }, Some(worker)) => {
                if self.live.entries[&lease.trial].bad_places.len() == 1 {
                    self.only_failed.entry(place_of(&worker)).or_default().insert(lease.trial);
                } else {
                    self.forgive(lease.trial);
                }
            }
            (Event::Lost { lease, .. }, _)
                if self.live.entries[&lease.trial].bad_places.len() > 1 =>
            {
                self.forgive(lease.trial);
            }
            (Event::Retried { lease }, _) => self.forgive(lease.trial),
            _ => {}
        }
    }

    fn forgive(&mut self, trial: TrialId) {
        self.only_failed.values_mut().for_each(|failed| {
            failed.remove(&trial);
        });
    }

    fn only_fails(&self, place: &str) -> bool {
        self.only_failed.get(place).is_some_and(|failed| failed.len() >= TOO_MANY)
    }

    /// Places where trials can be tried now.
    fn able(&self, now: Duration) -> BTreeSet<String> {
        let there = self.heard.iter().filter(|(_, heard)| now.saturating_sub(**heard) < self.lease);
        let takers = there.filter(|(worker, _)| self.takers.contains(*worker));
        takers.map(|(worker, _)| place_of(worker)).filter(|place| !self.only_fails(place)).collect()
    }

    pub(super) fn is_excluded(&self, now: Duration, worker: &WorkerId) -> bool {
        self.only_fails(&place_of(worker)) && !self.able(now).is_empty()
    }

    /// Whether a trial avoids a worker, since it failed at its place or host, and there are others.
    pub(super) fn avoids(&self, now: Duration, trial: TrialId, worker: &WorkerId) -> bool {
        let (here, bad) = (place_of(worker), &self.live.entries[&trial].bad_places);
        let able = self.able(now);
        let elsewhere = bad.contains(&here) && able.iter().any(|place| !bad.contains(place));
        let bad_hosts: BTreeSet<_> = bad.iter().map(|place| host_of(place)).collect();
        elsewhere
            || bad_hosts.contains(host_of(&here))
                && able.iter().any(|place| !bad_hosts.contains(host_of(place)))
    }

    /// Whether a trial with so many failures, the last on this worker, is given up.
    pub(super) fn ends(
        &self,
        now: Duration,
        trial: TrialId,
        worker: &WorkerId,
        count: u32,
        limit: u32,
    ) -> Result<bool, Broken> {
        let mut tried = self.live.entry(trial)?.bad_places.clone();
        tried.insert(place_of(worker));
        let hosts: BTreeSet<_> = tried.iter().map(|place| host_of(place)).collect();
        let able = self.able(now);
        let left = able.iter().any(|place| !hosts.contains(host_of(place)))
            || tried.len() == 1 && able.iter().any(|place| !tried.contains(place));
        Ok(count >= limit && (!left || must_end(count, limit)))
    }

    /// Checks that trials that are lost alone are given up at their limit, but not before another
    /// place has tried them.
    pub(super) fn judge_loss(&self, now: Duration, event: &Event) -> Result<(), Broken> {
        if let Event::Lost { lease, blame, quarantine, .. } = event {
            let losses = self.live.entry(lease.trial)?.losses + 1;
            let Some(worker) = self.live.holder(*lease) else { return Ok(()) };
            let ends = *blame == Blame::Alone
                && self.ends(now, lease.trial, worker, losses, self.limits.max_losses)?;
            hold!(*quarantine == ends, "given up: {quarantine}, with other places left: {event:?}");
        }
        Ok(())
    }
}

/// Local workers share one machine; the others have one each.
fn host_of(place: &str) -> &str {
    place.split(':').next().unwrap_or(place)
}
