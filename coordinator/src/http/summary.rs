//! The table of cells while the sweep runs: the same summary as at the end, made at most now and then, once for all who look.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use swfn_shared::{grid::Grid, trial::TrialSpec};
use tokio::sync::Mutex;

use crate::{
    report::Summary,
    store::{ReadError, Reader, live},
};

/// The least time between two.
const PERIOD: Duration = Duration::from_secs(1);

/// A large sweep's takes longer: a small part of one core at most.
const REST: u32 = 20;

/// The newest summary, and how to make the next.
#[derive(Debug)]
pub(super) struct LiveSummary {
    grid: Arc<Grid>,
    specs: Arc<[TrialSpec]>,
    newest: Mutex<Option<Made>>,
}

#[derive(Debug, Clone)]
struct Made {
    summary: Arc<Summary>,
    at: Instant,
    took: Duration,
}

impl LiveSummary {
    pub(super) fn new(grid: Arc<Grid>, specs: Arc<[TrialSpec]>) -> Self {
        Self { grid, specs, newest: Mutex::default() }
    }

    /// The summary, and how old it is. Who comes while it is made waits for it.
    pub(super) async fn get(&self, reader: &Reader) -> Result<(Arc<Summary>, Duration), ReadError> {
        let mut newest = self.newest.lock().await;
        if let Some(made) = newest.as_ref().filter(|made| made.at.elapsed() < PERIOD.max(REST * made.took)) {
            return Ok((Arc::clone(&made.summary), made.at.elapsed()));
        }
        let (at, specs, grid) = (Instant::now(), Arc::clone(&self.specs), Arc::clone(&self.grid));
        let make = move |rows: Vec<_>| {
            // The file has the trials in the order in which they came into it, which is not that of a grid that has grown.
            let mut rows: std::collections::HashMap<_, _> =
                rows.into_iter().map(|row: crate::store::TrialRow| (row.id, row)).collect();
            let trials: Vec<_> = specs.iter().filter_map(|spec| Some((*spec, rows.remove(&spec.id())?))).collect();
            Summary::united(&[&*grid], &trials)
        };
        let summary = Arc::new(reader.read(move |transaction| live::outcomes(transaction).map(make)).await?);
        *newest = Some(Made { summary: Arc::clone(&summary), at, took: at.elapsed() });
        Ok((summary, Duration::ZERO))
    }
}
