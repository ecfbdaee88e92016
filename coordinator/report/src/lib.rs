//! The answer: statistics of cells, comparisons and claims, and the files and tables that show
//! them.
//!
//! ```text
//!   numbers  <-  phrases  <-  views  <-  command
//! ```
#![allow(
    missing_docs,
    reason = "a part of the coordinator: only its crates see what is public here"
)]

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod browser_tests;
#[cfg(test)]
#[path = "../../../tests/src/chromium.rs"]
mod chromium;
mod command;
#[cfg(test)]
mod latex_tests;
mod numbers;
mod phrases;
#[cfg(test)]
mod report_tests;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod scipy_tests;
#[cfg(test)]
mod united_tests;
mod views;

pub use command::{Extent, ReportArguments, page_line, run, write};
pub use numbers::{
    answer::Answer,
    settings::{Differing, settings},
    source::{Run, Sources},
    statistics::half_width,
    summary::Summary,
};
pub use phrases::{
    answer::so_far,
    legends::{cells as legend, names},
    rounding,
    verification::verification,
};
pub use views::{charts::palette, terminal::terminal};
