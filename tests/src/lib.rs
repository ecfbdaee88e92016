//! The harness of the end-to-end tests: it starts real coordinators and workers as processes and
//! reads what they leave behind. The tests themselves live in `tests/tests`, the benchmark in
//! `tests/benches`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "developers read it, as it comes"
)]

pub mod browser;
pub mod chaos;
mod chromium;
pub mod disk;
pub mod fake_worker;
pub mod images;
pub mod manifests;
pub mod page;
pub mod permit;
pub mod ports;
pub mod probe;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod python;
pub mod sweep;
pub mod timeline;
pub mod tools;
