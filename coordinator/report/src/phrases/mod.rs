//! The results in words: how numbers are rounded, what names and columns mean, sentences.

pub(crate) mod answer;
pub(crate) mod claims;
pub(crate) mod failures;
pub(crate) mod legends;
pub(crate) mod reservations;
pub mod rounding;
pub(crate) mod verification;
pub(crate) mod words;
