//! What people and their tools look at while the sweep runs: the dashboard, the same as JSON, and Prometheus' metrics. It only
//! reads, through the store's reader and the engine's snapshots; the actor does not know of it.

mod arguments;
mod guard;
mod page;
mod problem;
mod query;
mod routes;
mod server;
mod summary;
#[cfg(test)]
mod tests;
mod views;

pub(crate) use arguments::HttpArguments;
pub(crate) use routes::App;
pub(crate) use server::{CONNECTIONS, Door, serve};
