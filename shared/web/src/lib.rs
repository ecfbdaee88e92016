//! Requests to foreign servers: downloads of images, and uploads to MLflow.
//!
//! The rules that all requests share live here: proxies, certificates, and what is worth another try.

mod follow;
mod forward;
mod proxies;
mod trust;
mod web;

pub use follow::get;
pub use trust::Certificates;
/// The client library.
pub use ureq;
pub use web::{Failure, Web, environment, is_about_certificates};
