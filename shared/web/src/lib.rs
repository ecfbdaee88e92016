//! How swfn asks servers of others: for images to download, and to bring results to MLflow.
//!
//! Here stand the rules that all such requests share: which proxy they take, whom they trust, and what is worth another try.

mod follow;
mod forward;
mod proxies;
mod trust;
mod web;

pub use follow::get;
pub use trust::Certificates;
/// What requests are made with.
pub use ureq;
pub use web::{Failure, Web, environment, is_about_certificates};
