//! Planned events in the order of virtual time. Events at the same time keep the order in which
//! they were planned.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::message::Millis;

#[derive(Debug)]
struct TrialRecord<T> {
    at: Millis,
    number: u64,
    what: T,
}

impl<T> TrialRecord<T> {
    fn key(&self) -> (Millis, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for TrialRecord<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for TrialRecord<T> {}

impl<T> PartialOrd for TrialRecord<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for TrialRecord<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<TrialRecord<T>>>,
    planned: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), planned: 0 }
    }

    pub(super) fn plan(&mut self, at: Millis, what: T) {
        self.planned += 1;
        self.put_off(at, self.planned, what);
    }

    /// Postpones an event, which keeps its number and thus its order.
    pub(super) fn put_off(&mut self, at: Millis, number: u64, what: T) {
        self.heap.push(Reverse(TrialRecord { at, number, what }));
    }

    pub(super) fn next(&mut self) -> Option<(Millis, u64, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.number, entry.what))
    }
}
