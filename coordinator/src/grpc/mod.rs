//! The wire side: the `Session` service, health and reflection.

mod access;
pub(crate) mod convert;
mod server;
mod session;

pub(crate) use server::{Door, Listener, Service, make_room, serve};
