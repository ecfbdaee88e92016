//! What the coordinator says, and what becomes of it.

use std::{collections::HashSet, time::Instant};

use swfn_proto::v1::{self, coordinator_message};
use swfn_shared::{faults, ids::LeaseId, trial::TrialSpec, wire};
use tracing::{info, warn};

use super::{
    super::{
        ledger::End,
        words::{Exit, Order},
    },
    Session,
};

impl Session {
    /// Does as the coordinator says; returns the numbers of the reports that are to be sent.
    pub(super) fn obey(&mut self, message: coordinator_message::Kind) -> Vec<u64> {
        match message {
            coordinator_message::Kind::Welcome(_) => {}
            coordinator_message::Kind::Grant(grant) => {
                return grant.leases.into_iter().flat_map(|lease| self.take(lease)).collect();
            }
            coordinator_message::Kind::Acknowledge(acknowledge) => {
                faults::point("session/acknowledged");
                self.ledger.acknowledge(acknowledge.through).into_iter().for_each(&self.hooks.settled);
                faults::point("session/settled");
            }
            coordinator_message::Kind::Revoke(_) | coordinator_message::Kind::Confirm(_)
                if faults::bug("revocations-are-ignored") => {}
            coordinator_message::Kind::Revoke(revoke) => {
                if let Ok(lease) = wire::lease(revoke.lease) {
                    self.revoke(lease, &revoke.reason);
                }
            }
            coordinator_message::Kind::Confirm(confirm) => {
                let confirmed: HashSet<_> =
                    confirm.leases.into_iter().filter_map(|id| LeaseId::try_from(id).ok()).collect();
                for lease in std::mem::take(&mut self.unconfirmed) {
                    if !confirmed.contains(&lease) {
                        self.revoke(lease, "the coordinator does not know it");
                    }
                }
            }
            coordinator_message::Kind::Drain(drain) => {
                info!("no more trials: {}", drain.reason);
                // What is held ends in its own time.
                self.leaving.get_or_insert(Exit::Done);
                self.over |= drain.finished;
                self.wishes.withdraw();
            }
        }
        Vec::new()
    }

    fn revoke(&mut self, lease: LeaseId, reason: &str) {
        self.unconfirmed.retain(|named| *named != lease);
        warn!(%lease, "lease revoked: {reason}");
        if self.ledger.revoke(lease) {
            self.watchdog.revoked(Instant::now(), lease);
        }
    }

    fn take(&mut self, lease: v1::Lease) -> Vec<u64> {
        let Ok(id) = wire::lease(lease.id) else {
            warn!("a lease without an id was granted");
            return Vec::new();
        };
        let spec = lease.spec.ok_or_else(|| "it has no specification".to_owned());
        let spec = spec.and_then(|spec| TrialSpec::try_from(spec).map_err(|error| error.to_string()));
        let artifacts = lease.artifacts.unwrap_or_default().into();
        let Some(cancel) = self.ledger.grant(id) else {
            warn!(lease = %id, "a lease was granted that was granted before");
            return Vec::new();
        };
        // The grant and the wish to leave crossed.
        if self.leaving.is_some() {
            return self.ledger.end(id, End::Released);
        }
        match spec {
            Ok(spec) if spec.id() == id.trial => {
                self.wishes.granted(spec.shape());
                self.stay.granted(Instant::now(), id);
                (self.hooks.leased)(id.trial);
                // If nobody is there to take it, that is the trainer's next report.
                self.orders.send(Order { lease: id, spec, artifacts, cancel }).ok();
            }
            Ok(_) => self.misunderstood(id, "its specification has another id"),
            Err(error) => self.misunderstood(id, &error),
        }
        Vec::new()
    }

    /// A lease that makes no sense means that both sides differ in version: nothing good can come of going on.
    fn misunderstood(&mut self, lease: LeaseId, problem: &str) {
        self.ledger.revoke(lease);
        self.leave(Exit::Hopeless(format!(
            "lease `{lease}` cannot be understood: {problem}\nhint: run the same version of swfn on both sides"
        )));
    }
}
