//! What people and their tools look at while the sweep runs: the dashboard, the same as JSON, and Prometheus' metrics. It only
//! reads, through the store's reader and the engine's snapshots; the actor does not know of it.

mod arguments;
mod guard;
mod page;
mod problem;
mod query;
mod routes;
mod server;
#[cfg(test)]
mod socket_tests;
mod summary;
#[cfg(test)]
mod tests;
mod views;

pub(crate) use arguments::HttpArguments;
#[cfg(any(test, fuzzing))]
pub(crate) use guard::{Guard, is_open};
#[cfg(any(test, fuzzing))]
pub(crate) use problem::Problem;
#[cfg(any(test, fuzzing))]
pub(crate) use query::{Cells, MAX_ITEMS, MAX_POINTS, Points, Trials, Workers, trial_id};
pub(crate) use routes::App;
pub(crate) use server::{CONNECTIONS, Door, serve};
