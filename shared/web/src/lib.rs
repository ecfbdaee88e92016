//! Requests to foreign servers: downloads of images, and uploads to MLflow.
//!
//! All requests share rules for proxies, certificates and retries.

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
