//! The wire side: the `Session` service, health and reflection.

mod convert;
mod server;
mod session;

pub(crate) use server::{Listener, serve};
