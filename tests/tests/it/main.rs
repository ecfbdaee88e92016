//! Real coordinators and workers, from the command line to what they leave behind. One program, so that it is linked once and its
//! tests run side by side: most of them wait. `tests/README.md` says which run when, and how many.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "developers read it, as it comes"
)]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod abuse;
mod access;
mod artifacts;
mod dashboard;
mod disk_full;
mod docs;
mod end_to_end;
mod exports;
mod faults;
mod flood;
mod habits;
mod hostile;
mod layers;
mod manifests;
mod memory;
mod order;
mod own_data;
mod promises;
mod pytorch;
mod refusals;
mod releases;
mod stay;
mod verification;
