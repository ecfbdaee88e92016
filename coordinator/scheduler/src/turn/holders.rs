//! The holders of workers' ids. With certificates, an id belongs to the holder that used it first:
//! an admitted worker can neither replace another nor report on its leases.
//!
//! The store keeps the certificates, so ids keep their holders after a restart of the coordinator.

use std::collections::HashMap;

use swfn_shared::ids::{WorkerId, from_hex};

use super::Holder;

/// The holders of all ids that were used.
#[derive(Debug, Default)]
pub struct Holders(HashMap<WorkerId, Holder>);

impl Holders {
    /// The holders of ids with the SHA-256 of their certificates, 64 hexadecimal digits.
    pub fn with_certificates(certificates: Vec<(WorkerId, String)>) -> Self {
        let holder = |(worker, digest): (WorkerId, String)| {
            Some((worker, Holder::Certificate(from_hex(&digest)?)))
        };
        Self(certificates.into_iter().filter_map(holder).collect())
    }

    /// Binds an id to the holder. False if it has another one.
    pub fn claim(&mut self, worker: &WorkerId, holder: Holder) -> bool {
        *self.0.entry(worker.clone()).or_insert(holder) == holder
    }

    /// Whether the holder may use the id.
    pub fn may_speak_for(&self, worker: &WorkerId, holder: Holder) -> bool {
        self.0.get(worker).is_none_or(|bound| *bound == holder)
    }

    /// Whether the holder may drain that worker. Without certificates, the token is enough.
    pub fn may_drain(&self, worker: &WorkerId, holder: Holder) -> bool {
        holder == Holder::Anyone || self.may_speak_for(worker, holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_belongs_to_its_first_holder() {
        let (ann, bob): (WorkerId, WorkerId) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        let (one, other) = (Holder::Certificate([1; 32]), Holder::Certificate([2; 32]));
        let mut holders = Holders::default();
        assert!(holders.may_speak_for(&ann, one) && holders.may_speak_for(&ann, other));
        assert!(holders.claim(&ann, one));
        for stranger in [other, Holder::Local, Holder::Anyone] {
            assert!(
                !holders.claim(&ann, stranger) && !holders.may_speak_for(&ann, stranger),
                "{stranger:?}"
            );
        }
        assert!(holders.claim(&ann, one) && holders.may_speak_for(&ann, one));
        assert!(holders.claim(&bob, other) && !holders.claim(&bob, one));
        assert!(holders.may_drain(&bob, other) && holders.may_drain(&bob, Holder::Anyone));
        assert!(!holders.may_drain(&bob, one) && !holders.may_drain(&bob, Holder::Local));
    }
}
