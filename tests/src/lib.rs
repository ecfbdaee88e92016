//! The harness of the end-to-end tests: real coordinators and workers as processes of this machine, and a look into what they leave
//! behind. The tests themselves stand in `tests/tests`, the benchmark of all of it in `tests/benches`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "developers read it, as it comes"
)]

pub mod browser;
pub mod chaos;
pub mod disk;
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
pub mod talk;
pub mod timeline;
pub mod tools;
