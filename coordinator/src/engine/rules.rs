//! What stands between a turn and the scheduler: what is counted, and what a test plants (`SWFN_BUG`). The scheduler and the turn have no
//! planted bugs, so that their functions hold their own rules and nothing else.

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
pub(super) struct Counted;

impl Rules for Counted {
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
        let events = decide(scheduler, now, command)?;
        events.iter().for_each(|event| metrics::count(event, matches!(command, Command::Tick)));
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

fn decide(
    scheduler: &Scheduler,
    now: Duration,
    command: &Command,
) -> Result<Vec<Event>, Rejection> {
    if faults::bug("leases-never-end") && *command == Command::Tick {
        return Ok(Vec::new());
    }
    if faults::bug("no-fencing")
        && let Some(event) = unfenced(command)
    {
        return Ok(vec![event]);
    }
    let mut events = scheduler.decide(now, command)?;
    for event in &mut events {
        distort(command, event);
    }
    Ok(events)
}

/// The event of a message about a lease, whether the lease is live or not.
fn unfenced(command: &Command) -> Option<Event> {
    match command {
        Command::Progressed { lease, step, waits, .. } => {
            Some(Event::Progressed { lease: *lease, step: *step, waits: *waits })
        }
        Command::Succeeded { lease, .. } => Some(Event::Succeeded { lease: *lease }),
        Command::Failed { lease, error, log, .. } => Some(Event::Failed {
            lease: *lease,
            error: error.clone(),
            log: log.clone(),
            quarantine: false,
        }),
        Command::Released { lease, .. } => Some(Event::Released { lease: *lease }),
        Command::Joined { .. }
        | Command::Asked { .. }
        | Command::Heard { .. }
        | Command::Left { .. }
        | Command::ByPerson { .. }
        | Command::Tick => None,
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
