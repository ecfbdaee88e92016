//! The rules for the end of a simulation, and that there is one.

use swfn_shared::ids::TrialId;

use super::{
    coordinator::replayed,
    message::Millis,
    oracle::{Broken, hold},
    plan::{Nature, Promise, Subject},
    process::Process,
    state_check::check_durable_state,
    trial_records::{FinalState, TrialRecord, must_end},
    world::World,
};

/// The time, besides a few commits, after which a healthy worker has a trial if one waits.
const IDLE: Millis = 30_000;

impl World {
    /// After the faults nobody is idle for long while trials wait, and everything comes to an end.
    pub(super) fn check_liveness(&mut self) -> Result<(), Broken> {
        if !self.quiet || self.now < self.calm_from {
            return Ok(());
        }
        // Trials may hang, fail and kill up to their limits, one after the other on one slow
        // worker.
        let attempt = self.plan.lease() + self.plan.stall() + 60_000;
        let bound = self.calm_from + 12 * attempt * self.subjects.len() as Millis;
        if self.now > bound {
            let open: Vec<_> =
                self.oracle.live.entries.iter().filter(|(_, entry)| entry.end.is_none()).collect();
            let there: Vec<_> =
                self.slots.iter().filter_map(|slot| slot.process.as_ref()).collect();
            return Err(Broken(format!("no end: trials {open:#?}, workers {there:#?}")));
        }
        let clock = self.coordinator.as_ref().map(|coordinator| coordinator.clock(self.now));
        for slot in &mut self.slots {
            let awake = slot.frozen <= self.now && slot.stalled <= self.now;
            let process = slot.process.as_ref().filter(|process| awake && process.connected);
            let idle = matches!((process, clock), (Some(process), Some(now))
                if process.is_idle() && self.oracle.waits_for(now, &process.id));
            let unheard = |process: &Process| {
                !process.is_leaving() && self.oracle.drained_workers.contains(&process.id)
            };
            let unanswered =
                process.is_some_and(|process| process.is_unconfirmed() || unheard(process));
            for (waits, since, what) in [
                (idle, &mut slot.idle_since, "idle while trials wait"),
                (
                    unanswered,
                    &mut slot.unanswered_since,
                    "unconfirmed, or told to leave without a word",
                ),
            ] {
                let began = *since.get_or_insert(self.now);
                if !waits {
                    *since = None;
                } else if self.now - began > IDLE + 3 * self.plan.commit {
                    return Err(Broken(format!("since {began} ms {what}: {:#?}", slot.process)));
                }
            }
        }
        Ok(())
    }

    pub(super) fn verdict(&mut self) -> Result<(), Broken> {
        let again = replayed(&self.plan, &self.disk.journal)?;
        check_durable_state(&again, &self.oracle.durable, None)?;
        check_durable_state(&self.replica, &self.oracle.durable, None)?;
        if let Some(coordinator) = &self.coordinator {
            check_durable_state(&coordinator.turn.scheduler, &self.oracle.durable, None)?;
        }
        for (trial, subject) in &self.subjects {
            let entry = self.oracle.durable.entry(*trial)?;
            self.check_trial(subject, entry).map_err(|Broken(rule)| {
                Broken(format!(
                    "{rule}\n  trial {trial} is {subject:?}\n  the journal says {entry:?}"
                ))
            })?;
            self.check_result(*trial, subject, entry)?;
        }
        let ends = self.oracle.durable.entries.values().map(|entry| &entry.end);
        let results = ends.filter(|end| matches!(end, Some(FinalState::Succeeded(..)))).count();
        hold!(
            self.disk.results.len() == results,
            "{} results on the disk of {results} trials that succeeded",
            self.disk.results.len()
        );
        self.oracle.tally.results = results as u64;
        self.oracle.tally.quarantined = (self.subjects.len() - results) as u64;
        Ok(())
    }

    fn check_trial(&self, subject: &Subject, entry: &TrialRecord) -> Result<(), Broken> {
        let limits = self.plan.limits;
        hold!(entry.lease.is_none(), "a lease is left");
        let bounded = |count: u32, limit: u32| count == 0 || !must_end(count - 1, limit);
        let bounded = bounded(entry.failures, limits.max_failures)
            && bounded(entry.losses, limits.max_losses);
        hold!(bounded, "retried without bound");
        // Two losses in company, of whatever kind, and it is tried alone.
        hold!(entry.in_company <= 2, "lost in company again and again");
        let succeeded = u32::from(matches!(entry.end, Some(FinalState::Succeeded(..))));
        let ways_out = entry.failures
            + entry.losses
            + entry.forgiven
            + entry.in_company
            + entry.released
            + succeeded;
        hold!(entry.attempts == ways_out, "{ways_out} attempts have ended");
        hold!(entry.retried <= self.oracle.tries, "tried again more often than anybody wanted");
        let can = match subject.nature {
            Nature::Sound => true,
            Nature::Diverges => false,
            Nature::Fails(times) | Nature::Kills(times) | Nature::Hangs(times) => times < u32::MAX,
        };
        let harmless = match subject.nature {
            Nature::Sound => true,
            Nature::Diverges => false,
            Nature::Fails(times) => times < limits.max_failures,
            Nature::Kills(times) | Nature::Hangs(times) => times < limits.max_losses,
        };
        match &entry.end {
            None => hold!(false, "it has not ended"),
            Some(FinalState::Succeeded(..)) => hold!(can, "it succeeded, which it cannot"),
            Some(FinalState::Quarantined(error)) => {
                let entitled = match self.plan.promise {
                    Promise::NothingIsQuarantinedInVain => can,
                    Promise::TheInnocentSucceed => harmless,
                    Promise::AllEnd => false,
                };
                hold!(!entitled, "it was to succeed and was quarantined");
                let enough =
                    entry.failures >= limits.max_failures || entry.losses >= limits.max_losses;
                hold!(enough || subject.nature == Nature::Diverges, "quarantined before any limit");
                hold!(!error.is_empty(), "quarantined without a reason");
            }
        }
        Ok(())
    }

    /// One result of the attempt that won, with all its points.
    fn check_result(
        &self,
        trial: TrialId,
        subject: &Subject,
        entry: &TrialRecord,
    ) -> Result<(), Broken> {
        let results: Vec<_> =
            self.disk.results.iter().filter(|(lease, _)| lease.trial == trial).collect();
        let Some(FinalState::Succeeded(attempt, worker)) = &entry.end else {
            hold!(results.is_empty(), "results {results:?} of a trial without success");
            return Ok(());
        };
        let [(lease, of)] = results[..] else {
            return Err(Broken(format!("results {results:?} of one trial")));
        };
        hold!(
            lease.attempt == *attempt && of == worker,
            "the result of {lease:?} by {of} is not of attempt {attempt}"
        );
        let points = self.disk.points.get(lease).cloned().unwrap_or_default();
        // Wild streams lose messages for good; the others none.
        let complete = points.len() as u64 == subject.steps || self.plan.weather.wild();
        let own = points.iter().all(|step| (1..=subject.steps).contains(step));
        hold!(
            complete && own,
            "points {points:?} of {lease:?} are on the disk, not those of {} steps",
            subject.steps
        );
        Ok(())
    }
}
