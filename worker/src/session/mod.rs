//! The worker's side of its one stream to the coordinator.
//!
//! The trainer's thread hands over reports and takes orders; a broken stream does not disturb it. Reports are kept until the coordinator
//! acknowledges them, and sent again on the next stream.

mod address;
mod cancel;
mod drain;
mod hung;
mod ledger;
mod link;
mod outbox;
pub(crate) mod run;
mod stay;
mod trust;
mod wish;
mod words;

pub(crate) use address::{Access, Address};
pub(crate) use cancel::Cancel;
pub(crate) use drain::drain_workers;
pub(crate) use ledger::End;
pub(crate) use outbox::OutboxLimits;
pub(crate) use run::Session;
pub(crate) use stay::StayLimits;
pub(crate) use words::{Exit, Hooks, Identity, Order, Predecessor, Report};
