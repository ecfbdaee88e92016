//! The worker's side of its one stream to the coordinator.
//!
//! The trainer's thread hands over reports and takes orders; a broken stream does not disturb it.
//! Reports are kept until the coordinator acknowledges them, and sent again on the next stream.
//!
//! ```text
//!   trainer -- Report --> session <--> link (gRPC)
//!           <-- Order --     |
//!                        protocol = ledger (outbox) + request + stay + watchdog
//! ```
//!
//! `protocol` and all below it are pure. `session` has the clock, the stream and the channels.

mod address;
mod cancel;
mod drain;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hung;
mod ledger;
mod link;
mod messages;
mod outbox;
mod protocol;
#[cfg(test)]
mod protocol_tests;
mod request;
mod session;
mod stay;
#[cfg(test)]
mod stream_tests;
mod trust;

pub use address::Address;
pub use cancel::{Cancel, Stop};
pub use drain::drain_workers;
pub use ledger::End;
pub use messages::{Exit, Hooks, Order, Predecessor, Report};
pub use outbox::OutboxLimits;
pub use protocol::{Effects, Protocol};
pub use session::Session;
pub use stay::StayLimits;
pub use trust::Access;
