//! Whose a worker's id is. With certificates, an id belongs to the one that first used it: a worker can neither take another's place nor
//! speak of its leases, though it is admitted itself.
//!
//! What belongs to a certificate is in the store, and still does after a restart of the coordinator.

use std::collections::HashMap;

use swfn_shared::ids::{WorkerId, from_hex};

use super::Holder;

/// The holders of all worker ids that were used.
#[derive(Debug, Default)]
pub struct Holders(HashMap<WorkerId, Holder>);

impl Holders {
    /// Those that the store knows: ids with the SHA-256 of their certificates, 64 hexadecimal digits.
    pub fn of(certificates: Vec<(WorkerId, String)>) -> Self {
        let holder = |(worker, digest): (WorkerId, String)| {
            Some((worker, Holder::Certificate(from_hex(&digest)?)))
        };
        Self(certificates.into_iter().filter_map(holder).collect())
    }

    /// Binds the id to the holder. False when it is another's.
    pub fn claim(&mut self, worker: &WorkerId, holder: Holder) -> bool {
        *self.0.entry(worker.clone()).or_insert(holder) == holder
    }

    /// Whether the holder may speak for the id, used or not.
    pub fn may_speak_for(&self, worker: &WorkerId, holder: Holder) -> bool {
        self.0.get(worker).is_none_or(|bound| *bound == holder)
    }

    /// Whether the holder may tell that worker to leave. Where nobody has a certificate, all who know the token may.
    pub fn may_send_away(&self, worker: &WorkerId, holder: Holder) -> bool {
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
        assert!(holders.may_send_away(&bob, other) && holders.may_send_away(&bob, Holder::Anyone));
        assert!(!holders.may_send_away(&bob, one) && !holders.may_send_away(&bob, Holder::Local));
    }
}
