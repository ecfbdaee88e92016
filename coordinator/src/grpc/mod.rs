//! The gRPC side: the service `Coordinator`, health and reflection.

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

pub(crate) use server::{Door, Listener, Service, raise_file_limit, serve};
