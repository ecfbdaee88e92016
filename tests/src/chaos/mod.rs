//! Scenarios on real processes, one function for each promise. A scenario injects the given number
//! of faults, compares the outcome with an undisturbed sweep, and counts.

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
