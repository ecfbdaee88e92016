//! The answer: cells with their statistics, and the files and tables that show them.

mod files;
mod statistics;
mod summary;
mod table;

pub(crate) use files::write_all;
pub(crate) use summary::Summary;
pub(crate) use table::{cell_label, terminal};
