//! Numbers in words: how they are rounded, and the sentences about them.

pub mod rounding;
pub(crate) mod words;
