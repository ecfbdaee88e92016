//! The wire side: the `Session` service, health and reflection.

pub(crate) mod convert;
mod server;
mod session;

pub(crate) use server::{Listener, serve};
