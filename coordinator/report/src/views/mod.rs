//! The results for people and programs: tables, charts, terminal, page and files.

pub(crate) mod charts;
pub(crate) mod compose;
pub(crate) mod files;
pub(crate) mod html;
pub(crate) mod latex;
pub(crate) mod markdown;
mod table;
mod tables;
pub(crate) mod terminal;
#[cfg(test)]
mod tests;
