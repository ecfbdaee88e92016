//! What the results come to: numbers, and names of cells. No sentence is made here.

pub(crate) mod answer;
pub(crate) mod cell;
pub(crate) mod claim;
pub(crate) mod contrast;
pub(crate) mod cost;
pub(crate) mod failures;
pub(crate) mod hypothesis;
pub(crate) mod settings;
pub(crate) mod source;
pub(crate) mod statistics;
pub(crate) mod summary;
pub(crate) mod united;
pub(crate) mod verification;
