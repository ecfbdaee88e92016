//! What must survive what, tried on real processes: a function for each promise, which injects as many faults as it is told, holds
//! the outcome against that of an undisturbed sweep, and counts.

pub mod audit;
pub mod bugs;
pub mod clock;
pub mod coordinator;
pub mod cuts;
pub mod drain;
pub mod gone;
pub mod judge;
pub mod locks;
pub mod messages;
pub mod network;
pub mod poison;
pub mod power;
pub mod scenario;
pub mod twice;
pub mod workers;
pub mod zombies;
