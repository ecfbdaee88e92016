//! The answer: cells with their statistics, what is compared and claimed, and the files and tables that show them.

mod answer;
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
mod files;
mod html;
mod hypothesis;
#[cfg(test)]
mod report_tests;
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
#[cfg(test)]
mod united_tests;
mod view;
mod words;
mod write_up;

pub(crate) use command::{ReportArguments, run, write, write_results};
pub(crate) use source::{Run, Sources};
pub(crate) use summary::Summary;
pub(crate) use table::{cell_label, legend, terminal};
