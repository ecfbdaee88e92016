//! The answer: cells with their statistics, what is compared and claimed, and the files and tables that show them.
//!
//! ```text
//!   numbers  <-  phrases  <-  views  <-  command
//! ```
#![allow(
    missing_docs,
    reason = "a part of the coordinator: nobody else sees the fields that are public here"
)]

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod browser_tests;
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

pub use command::{Extent, ReportArguments, page, run, write};
pub use numbers::{
    answer::Answer,
    settings::settings,
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
