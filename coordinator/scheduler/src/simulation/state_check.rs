//! Compares two states of a sweep: the scheduler's, and the one that the journal implies.

use swfn_shared::ids::TrialId;

use super::{
    super::{Scheduler, TrialState, state::Trial},
    oracle::{Broken, hold},
    trial_records::{FinalState, TrialRecord, TrialRecords},
};

/// Compares the durable state of these trials with the records; by default of all, with the sums
/// and indices.
pub(super) fn check_durable_state(
    scheduler: &Scheduler,
    records: &TrialRecords,
    of: Option<&[TrialId]>,
) -> Result<(), Broken> {
    if let Some(trials) = of {
        return trials.iter().try_for_each(|trial| {
            let found = &scheduler.trials[scheduler.by_id[trial]];
            same_trial(found, &records.entries[trial])
        });
    }
    let mut seen = [0; 4];
    for trial in &scheduler.trials {
        same_trial(trial, &records.entries[&trial.id])?;
        let state = match &trial.state {
            TrialState::Pending => 0,
            TrialState::Leased(_) => 1,
            TrialState::Succeeded { .. } => 2,
            TrialState::Quarantined { .. } => 3,
        };
        seen[state] += 1;
    }
    let counts = scheduler.counts();
    hold!(
        seen == [counts.pending, counts.leased, counts.succeeded, counts.quarantined],
        "{counts:?} are not the states, which are {seen:?}"
    );
    for (id, worker) in &scheduler.workers {
        let held: Vec<_> = worker.leases.iter().map(|index| scheduler.trials[*index].id).collect();
        hold!(
            held.len() == records.held_by(id).count()
                && records.held_by(id).all(|lease| held.contains(&lease.trial)),
            "{id} is listed with {held:?}"
        );
    }
    let listed: usize = scheduler.workers.values().map(|worker| worker.leases.len()).sum();
    hold!(listed == counts.leased, "{listed} leases are listed, {} live", counts.leased);
    Ok(())
}

fn same_trial(trial: &Trial, entry: &TrialRecord) -> Result<(), Broken> {
    // A new field has to be compared here, or listed as not durable.
    let Trial {
        spec: _,
        id: _,
        shape: _,
        vae: _,
        group: _,
        state,
        attempts,
        failures,
        losses,
        suspicion,
        failed_at,
    } = trial;
    let same_state = match (state, &entry.lease, &entry.end) {
        (TrialState::Pending, None, None) => true,
        (TrialState::Leased(lease), Some(holding), None) => {
            lease.worker == holding.worker && lease.attempt == entry.attempts
        }
        (
            TrialState::Succeeded { attempt, worker },
            None,
            Some(FinalState::Succeeded(theirs, of)),
        ) => attempt == theirs && worker == of,
        (TrialState::Quarantined { error }, None, Some(FinalState::Quarantined(reason))) => {
            error == reason
        }
        _ => false,
    };
    hold!(
        same_state
            && (*attempts, *failures) == (entry.attempts, entry.failures)
            && (*losses, *suspicion, failed_at.len())
                == (entry.losses, entry.suspicion, entry.bad_places.len()),
        "the journal says {entry:?} of {trial:?}"
    );
    Ok(())
}
