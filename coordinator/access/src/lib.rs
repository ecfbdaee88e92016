//! What a listener asks of its clients: an address, TLS, a token, limits for strangers; and the certificates of a small cluster.
#![allow(
    missing_docs,
    reason = "a part of the coordinator: nobody else sees the fields that are public here"
)]

mod arguments;
pub mod certs;
pub mod gate;
pub mod machine;
pub mod place;
pub mod tls;

pub use arguments::{Access, AccessArguments, DoorArguments};
