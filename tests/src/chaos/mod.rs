//! What must survive what, tried on real processes: a function for each promise, which injects as many faults as it is told, holds
//! the outcome against that of an undisturbed sweep, and counts.

pub mod audit;
pub mod coordinator;
pub mod judge;
pub mod scenario;
