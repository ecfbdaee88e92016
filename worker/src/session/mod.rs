//! The worker's side of its one stream to the coordinator.
//!
//! The trainer's thread hands over reports and takes orders; a broken stream does not disturb it. Reports are kept until the coordinator
//! acknowledges them, and sent again on the next stream.

mod address;
mod cancel;
mod ledger;
mod link;
mod run;
mod trust;
mod wish;

pub(crate) use address::{Access, Address};
pub(crate) use cancel::Cancel;
pub(crate) use ledger::End;
pub(crate) use run::{Exit, Hooks, Identity, Order, Report, Session};
