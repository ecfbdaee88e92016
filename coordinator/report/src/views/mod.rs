//! What people and programs get to see: tables, charts, the terminal, the page, files.

pub(crate) mod charts;
pub(crate) mod comparisons;
pub(crate) mod compose;
pub(crate) mod document;
pub(crate) mod files;
pub(crate) mod html;
pub(crate) mod table;
pub(crate) mod tables;
pub(crate) mod terminal;
pub(crate) mod view;
pub(crate) mod write_up;
