//! Real coordinators and workers, from the command line to the files that they leave behind. All
//! tests are one program, which is linked once and runs them side by side, because most of them
//! wait. `tests/README.md` lists the tiers and numbers.

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
mod style;
mod verification;
