//! What people and programs get to see of the results: tables, charts, the terminal, the page, files.

pub(crate) mod charts;
pub(crate) mod compose;
mod document;
pub(crate) mod files;
pub(crate) mod html;
pub(crate) mod latex;
pub(crate) mod markdown;
mod table;
mod tables;
pub(crate) mod terminal;
#[cfg(test)]
mod tests;
