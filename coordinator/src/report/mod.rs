//! The answer: cells with their statistics, and the files and tables that show them.

mod charts;
mod cost;
mod document;
mod files;
mod html;
#[cfg(test)]
mod sample;
mod source;
mod statistics;
mod study;
mod summary;
mod table;
mod view;
mod write_up;

pub(crate) use files::write_all;
pub(crate) use summary::Summary;
pub(crate) use table::{cell_label, terminal};
