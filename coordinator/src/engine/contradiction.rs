//! Whether a run directory is consistent: its journal must lead to the states in its table.

use std::collections::HashMap;

use swfn_scheduler::{Scheduler, TrialState};
use swfn_store::TrialRow;

/// Describes the first trial whose row differs from the state that the journal leads to.
pub(super) fn contradiction(scheduler: &Scheduler, rows: &[TrialRow]) -> Option<String> {
    let states: HashMap<_, _> = scheduler.trials().map(|(id, _, state)| (id, state)).collect();
    rows.iter().find_map(|row| {
        let state = states.get(&row.id)?;
        let attempt = match state {
            TrialState::Leased(lease) => Some(lease.attempt),
            TrialState::Succeeded { attempt, .. } => Some(*attempt),
            TrialState::Pending | TrialState::Quarantined { .. } => None,
        };
        let differs = row.state != state.kind()
            || attempt.is_some_and(|attempt| attempt != row.attempts)
            || row.outcome.is_some() != matches!(state, TrialState::Succeeded { .. });
        differs.then(|| {
            format!("trial `{}` is `{}`, but its journal says {}", row.id, row.state, state.kind())
        })
    })
}
