//! The wire side: the `Session` service, health and reflection.

mod access;
pub(crate) mod convert;
mod handshake;
mod intake;
mod pace;
mod server;
mod session;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tls_tests;

pub(crate) use server::{Door, Listener, Service, make_room, serve};
