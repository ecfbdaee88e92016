//! Every message about a lease passes here first.
//!
//! The attempt's number is the fencing token. A worker that wakes up after its deadline has an old
//! number, and its messages are rejected.

use swfn_shared::ids::{LeaseId, WorkerId};

use super::{
    command::Fence,
    state::{Trial, TrialState},
};

/// The standing of a message about a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The worker holds the lease.
    Live,
    /// This attempt has its result, whose acknowledgement got lost.
    Repeated,
}

/// Admits or fences off a message of `worker` about `lease` of `trial`.
pub(super) fn admit(trial: &Trial, worker: &WorkerId, lease: LeaseId) -> Result<Admission, Fence> {
    if lease.attempt > trial.attempts {
        return Err(Fence::NeverGranted);
    }
    match &trial.state {
        TrialState::Leased(current) if current.attempt != lease.attempt => {
            Err(Fence::Superseded { current: current.attempt })
        }
        TrialState::Leased(current) if current.worker != *worker => {
            Err(Fence::OtherWorker(current.worker.clone()))
        }
        TrialState::Leased(_) => Ok(Admission::Live),
        TrialState::Succeeded { attempt, worker: of }
            if *attempt == lease.attempt && of == worker =>
        {
            Ok(Admission::Repeated)
        }
        TrialState::Succeeded { .. } => Err(Fence::Done),
        TrialState::Quarantined { .. } => Err(Fence::Quarantined),
        TrialState::Pending => Err(Fence::Expired),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use swfn_shared::grid::{DEFAULT_MAX_TRIALS, Grid};

    use super::*;
    use crate::state::Lease;

    #[test]
    fn only_the_current_holder_is_admitted() {
        let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = [0]\nsubset_size = 100\n\
                    architecture = \"net\"\nlambda = 0\n";
        let spec = Grid::parse("t", grid, DEFAULT_MAX_TRIALS).unwrap().trials().next().unwrap();
        let (ann, bob): (WorkerId, WorkerId) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        let lease = |attempt| LeaseId { trial: spec.id(), attempt };
        let held = Lease {
            worker: ann.clone(),
            attempt: 2,
            step: 0,
            moved: Duration::ZERO,
            granted: Duration::ZERO,
        };
        let mut trial = Trial::new(spec, 0);
        trial.attempts = 2;
        let mut admitted = |state: TrialState, worker: &WorkerId, attempt| {
            trial.state = state;
            admit(&trial, worker, lease(attempt))
        };
        let leased = TrialState::Leased(held);
        assert_eq!(admitted(leased.clone(), &ann, 2), Ok(Admission::Live));
        assert_eq!(admitted(leased.clone(), &ann, 1), Err(Fence::Superseded { current: 2 }));
        assert_eq!(admitted(leased.clone(), &bob, 2), Err(Fence::OtherWorker(ann.clone())));
        assert_eq!(admitted(leased, &ann, 3), Err(Fence::NeverGranted));
        assert_eq!(admitted(TrialState::Pending, &ann, 2), Err(Fence::Expired));
        let succeeded = TrialState::Succeeded { attempt: 2, worker: ann.clone() };
        assert_eq!(admitted(succeeded.clone(), &ann, 2), Ok(Admission::Repeated));
        assert_eq!(admitted(succeeded.clone(), &ann, 1), Err(Fence::Done));
        assert_eq!(
            admitted(succeeded, &bob, 2),
            Err(Fence::Done),
            "whose points would be taken for its own"
        );
        assert_eq!(
            admitted(TrialState::Quarantined { error: "x".into() }, &ann, 2),
            Err(Fence::Quarantined)
        );
    }
}
