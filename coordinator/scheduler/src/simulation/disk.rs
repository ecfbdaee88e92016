//! The writes of the coordinator, and the part that survives it.

use std::collections::{HashMap, HashSet};

use swfn_shared::ids::{LeaseId, WorkerId};

use super::super::Event;

/// The writes of one commit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    pub(super) points: Vec<(LeaseId, Vec<u64>)>,
    pub(super) results: Vec<(LeaseId, WorkerId)>,
    /// Somebody joined, which leaves a row.
    pub(super) joined: bool,
    /// Reports that were heard, whatever came of them: they may be acknowledged once this is
    /// written.
    pub(super) heard: Vec<(WorkerId, u64)>,
}

impl Batch {
    /// Whether there is anything to write. The record of heard messages is the simulation's own.
    pub(super) fn is_empty(&self) -> bool {
        let Self { events, points, results, joined, heard: _ } = self;
        events.is_empty() && points.is_empty() && results.is_empty() && !joined
    }
}

/// The content of the disk, which survives the coordinator.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) journal: Vec<Event>,
    pub(super) points: HashMap<LeaseId, HashSet<u64>>,
    pub(super) results: Vec<(LeaseId, WorkerId)>,
    pub(super) heard: HashMap<WorkerId, HashSet<u64>>,
}

impl Disk {
    /// Returns the events that are new.
    pub(super) fn write(&mut self, batch: Batch) -> &[Event] {
        let before = self.journal.len();
        self.journal.extend(batch.events);
        for (lease, steps) in batch.points {
            self.points.entry(lease).or_default().extend(steps);
        }
        self.results.extend(batch.results);
        for (worker, sequence) in batch.heard {
            self.heard.entry(worker).or_default().insert(sequence);
        }
        &self.journal[before..]
    }
}
