//! The results in words: rounded numbers, meanings of names and columns, sentences.

pub(crate) mod answer;
pub(crate) mod claims;
pub(crate) mod failures;
pub(crate) mod legends;
pub(crate) mod reservations;
pub mod rounding;
pub(crate) mod values;
pub(crate) mod verification;
