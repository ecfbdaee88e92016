//! The rules between turn and scheduler: they count events, and plant the bugs of tests
//! (`SWFN_BUG`). Scheduler and turn have no planted bugs, so they hold nothing but their own rules.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use swfn_dashboard::metrics;
use swfn_scheduler::{Admission, Blame, Command, Event, Rejection, Scheduler, turn::Rules};
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

/// The event of a message about a lease, whether the lease is live or not.
fn unfenced(command: &Command) -> Option<Event> {
    match command {
        Command::Progressed { lease, step, waits, .. } => {
            Some(Event::Progressed { lease: *lease, step: *step, waits: *waits })
        }
        Command::Succeeded { lease, .. } => Some(Event::Succeeded { lease: *lease }),
        Command::Failed { lease, error, log, .. } => {
            let (error, log) = (error.clone(), log.clone());
            Some(Event::Failed { lease: *lease, error, log, quarantine: false })
        }
        Command::Released { lease, .. } => Some(Event::Released { lease: *lease }),
        _ => None,
    }
}

fn distort(command: &Command, event: &mut Event) {
    match event {
        Event::Released { lease }
            if matches!(command, Command::Released { .. })
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
