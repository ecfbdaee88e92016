//! The answer: cells with their statistics, what is compared and claimed, and the files and tables that show them.

mod answer;
mod claim;
mod comparisons;
mod contrast;
mod files;
mod hypothesis;
#[cfg(test)]
mod scipy_tests;
mod statistics;
mod summary;
mod table;
mod words;

pub(crate) use files::write_all;
pub(crate) use summary::Summary;
pub(crate) use table::{cell_label, terminal};
