//! Access to the coordinator: addresses of listeners, TLS, the token, limits for strangers, and the
//! certificates of a small cluster.
#![allow(missing_docs, reason = "a part of the coordinator, seen nowhere else")]

mod arguments;
pub mod certs;
pub mod gate;
pub mod listen;
pub mod machine;
pub mod tls;

pub use arguments::{Access, AccessArguments, DoorArguments};
