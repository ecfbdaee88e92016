//! The answer: cells with their statistics, what is compared and claimed, and the files and tables that show them.
#![allow(missing_docs, reason = "a part of the coordinator: nobody else sees the fields that are public here")]

pub mod answer;
#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod browser_tests;
mod charts;
mod claim;
mod command;
mod comparisons;
mod compose;
mod contrast;
mod cost;
mod document;
mod failures;
mod files;
mod html;
mod hypothesis;
#[cfg(test)]
mod latex_tests;
#[cfg(test)]
mod report_tests;
pub mod rounding;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod scipy_tests;
mod source;
mod statistics;
mod study;
mod summary;
mod table;
mod tables;
mod terminal;
mod united;
#[cfg(test)]
mod united_tests;
mod verification;
mod view;
mod words;
mod write_up;

pub use answer::Answer;
pub use charts::palette;
pub use command::{Extent, ReportArguments, page, run, write};
pub use source::{Run, Sources};
pub use statistics::half_width;
pub use study::settings;
pub use summary::Summary;
pub use table::legend;
pub use terminal::terminal;
pub use words::names;
pub use words::so_far;
