//! Numbers of the results, and names of cells. Sentences live in `phrases`.

pub(crate) mod answer;
pub(crate) mod cell;
pub(crate) mod claim;
#[cfg(test)]
pub(crate) mod claim_tests;
pub(crate) mod contrast;
pub(crate) mod cost;
pub(crate) mod failures;
pub(crate) mod hypothesis;
pub(crate) mod settings;
pub(crate) mod source;
pub(crate) mod statistics;
pub(crate) mod summary;
#[cfg(test)]
pub(crate) mod summary_tests;
pub(crate) mod united;
pub(crate) mod verification;
