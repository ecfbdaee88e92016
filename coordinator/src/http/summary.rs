//! The table of cells while the sweep runs: the same summary as at the end, made at most now and then, once for all who look.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use swfn_shared::{grid::Grid, ids::TrialId, trial::TrialSpec};
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::{
    report::Summary,
    store::{ReadError, Reader, TrialRow, live},
};

/// The least time between two.
const PERIOD: Duration = Duration::from_secs(1);

/// A large sweep's takes longer: a small part of one core at most.
const REST: u32 = 20;

/// The newest summary, and how to make the next.
#[derive(Debug)]
pub(super) struct LiveSummary {
    grid: Arc<Grid>,
    /// In the order of the grid.
    specs: Arc<[(TrialId, TrialSpec)]>,
    newest: Mutex<Option<Made>>,
}

#[derive(Debug)]
struct Made {
    summary: Arc<Summary>,
    at: Instant,
    took: Duration,
}

impl LiveSummary {
    pub(super) fn new(grid: Arc<Grid>, specs: &[TrialSpec]) -> Self {
        let specs = specs.iter().map(|spec| (spec.id(), *spec)).collect();
        Self { grid, specs, newest: Mutex::default() }
    }

    /// The summary. Who comes while it is made waits for it.
    pub(super) async fn get(&self, reader: &Reader) -> Result<Arc<Summary>, ReadError> {
        let mut newest = self.newest.lock().await;
        if let Some(made) = newest.as_ref().filter(|made| made.at.elapsed() < PERIOD.max(REST * made.took)) {
            return Ok(Arc::clone(&made.summary));
        }
        let (at, specs, grid) = (Instant::now(), Arc::clone(&self.specs), Arc::clone(&self.grid));
        let rows = reader.read(|transaction| live::outcomes(transaction)).await?;
        // A panic would be a defect, of this request alone; an end, that of the runtime.
        let made = spawn_blocking(move || Summary::united(&[&*grid], &in_order(&specs, rows))).await;
        let summary = Arc::new(made.map_err(|_| ReadError::Closed)?);
        *newest = Some(Made { summary: Arc::clone(&summary), at, took: at.elapsed() });
        Ok(summary)
    }
}

/// The file has the trials in the order in which they came into it, which is not that of a grid that has grown.
fn in_order(specs: &[(TrialId, TrialSpec)], rows: Vec<TrialRow>) -> Vec<(TrialSpec, TrialRow)> {
    let mut rows: HashMap<_, _> = rows.into_iter().map(|row| (row.id, row)).collect();
    specs.iter().filter_map(|(id, spec)| Some((*spec, rows.remove(id)?))).collect()
}
