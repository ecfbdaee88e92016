//! The rules between turn and scheduler: they count events, and plant the bugs of tests
//! (`SWFN_BUG`). Scheduler and turn have no planted bugs, so they hold nothing but their own rules.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use swfn_dashboard::metrics;
use swfn_scheduler::{
    Admission, Blame, Command, Event, LeaseReport, Rejection, Scheduler, turn::Rules,
};
use swfn_shared::{
    faults,
    ids::{LeaseId, WorkerId},
};
use tracing::error;

/// The rules of a sweep that runs.
#[derive(Debug)]
pub(super) struct CountingRules;

impl Rules for CountingRules {
    fn clock(&self, now: Duration) -> Duration {
        if faults::bug("leases-by-the-wall-clock") {
            return SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        }
        now
    }

    fn decide(
        &mut self,
        scheduler: &Scheduler,
        now: Duration,
        command: &Command,
    ) -> Result<Vec<Event>, Rejection> {
        let is_tick = *command == Command::Tick;
        let mut events = match faults::bug("no-fencing").then(|| unfenced(command)).flatten() {
            Some(event) => vec![event],
            None if is_tick && faults::bug("leases-never-end") => Vec::new(),
            None => scheduler.decide(now, command)?,
        };
        for event in &mut events {
            distort(command, event);
            metrics::count(event, is_tick);
        }
        Ok(events)
    }

    fn admit(
        &mut self,
        scheduler: &Scheduler,
        worker: &WorkerId,
        lease: LeaseId,
    ) -> Result<Admission, Rejection> {
        if faults::bug("no-fencing") { Ok(Admission::Live) } else { scheduler.admit(worker, lease) }
    }

    fn contradicted(&mut self, problem: String) {
        error!(%problem, "an event did not apply");
    }
}

/// The event of a report on a lease, whether the lease is live or not.
fn unfenced(command: &Command) -> Option<Event> {
    let Command::Reported { lease, report, .. } = command else { return None };
    let lease = *lease;
    Some(match report.clone() {
        LeaseReport::Progressed { step, waits } => Event::Progressed { lease, step, waits },
        LeaseReport::Succeeded => Event::Succeeded { lease },
        LeaseReport::Failed { error, log, .. } => {
            Event::Failed { lease, error, log, quarantine: false }
        }
        LeaseReport::Released => Event::Released { lease },
    })
}

fn distort(command: &Command, event: &mut Event) {
    match event {
        Event::Released { lease }
            if matches!(command, Command::Reported { .. })
                && faults::bug("what-is-given-back-is-a-loss") =>
        {
            let (error, log) = (String::new(), String::new());
            *event =
                Event::Lost { lease: *lease, error, log, blame: Blame::Alone, quarantine: false };
        }
        Event::Lost { blame, quarantine, .. }
            if *blame != Blame::Alone && faults::bug("mates-are-to-blame") =>
        {
            (*blame, *quarantine) = (Blame::Alone, true);
        }
        Event::Lost { quarantine, .. } if faults::bug("losses-are-not-limited") => {
            *quarantine = false
        }
        _ => {}
    }
}
