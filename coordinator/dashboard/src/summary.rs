//! The table of cells while the sweep runs: the summary of the report, made now and then for all.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use swfn_report::Summary;
use swfn_shared::{grid::Grid, ids::TrialId, trial::TrialSpec};
use swfn_store::{ReadError, Reader, TrialRow, live};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::spawn_blocking,
};

/// The shortest time between two summaries.
const PERIOD: Duration = Duration::from_secs(1);

/// Rest after a summary, as a multiple of the time that it took: 5 % of one core at most.
const REST: u32 = 20;

/// The newest summary, and the facts to make the next.
#[derive(Debug)]
pub struct LiveSummary {
    grid: Arc<Grid>,
    /// In the order of the grid.
    specs: Arc<[(TrialId, TrialSpec)]>,
    newest: Arc<Mutex<Option<Made>>>,
}

#[derive(Debug)]
struct Made {
    summary: Arc<Summary>,
    /// The fingerprint of the file.
    fingerprint: String,
    at: Instant,
    took: Duration,
}

impl LiveSummary {
    /// `specs`: the trials of the grid, in its order.
    pub fn new(grid: Arc<Grid>, specs: &[TrialSpec]) -> Self {
        let specs = specs.iter().map(|spec| (spec.id(), *spec)).collect();
        Self { grid, specs, newest: Arc::default() }
    }

    /// The summary. Requests that come while it is made wait for it.
    pub async fn get(&self, reader: &Reader) -> Result<Arc<Summary>, ReadError> {
        let newest = Arc::clone(&self.newest).lock_owned().await;
        let is_new = |made: &&Made| made.at.elapsed() < PERIOD.max(REST * made.took);
        if let Some(made) = newest.as_ref().filter(is_new) {
            return Ok(Arc::clone(&made.summary));
        }
        // The task ends though the request may be gone, so that no other begins beside it.
        let (grid, specs) = (Arc::clone(&self.grid), Arc::clone(&self.specs));
        let made = tokio::spawn(make(newest, grid, specs, reader.clone()));
        // Without a result, the runtime is shutting down, or this summary has panicked.
        made.await.map_err(|_| ReadError::Closed)?
    }
}

async fn make(
    mut newest: OwnedMutexGuard<Option<Made>>,
    grid: Arc<Grid>,
    specs: Arc<[(TrialId, TrialSpec)]>,
    reader: Reader,
) -> Result<Arc<Summary>, ReadError> {
    let at = Instant::now();
    let known = newest.as_ref().map(|made| made.fingerprint.clone());
    let read = reader
        .read(move |transaction| live::changed(transaction, known.as_deref(), live::outcomes));
    let (fingerprint, rows) = read.await?;
    let rows = match (rows, &mut *newest) {
        (Some(rows), _) => rows,
        (None, Some(made)) => {
            (made.at, made.took) = (at, at.elapsed());
            return Ok(Arc::clone(&made.summary));
        }
        (None, None) => Vec::new(),
    };
    let made = spawn_blocking(move || Summary::united(&[&*grid], &in_order(&specs, rows))).await;
    let summary = Arc::new(made.map_err(|_| ReadError::Closed)?);
    *newest = Some(Made { summary: Arc::clone(&summary), fingerprint, at, took: at.elapsed() });
    Ok(summary)
}

/// Sorts the rows by the grid. A grid that has grown has another order than the file.
fn in_order(specs: &[(TrialId, TrialSpec)], rows: Vec<TrialRow>) -> Vec<(TrialSpec, TrialRow)> {
    let mut rows: HashMap<_, _> = rows.into_iter().map(|row| (row.id, row)).collect();
    specs.iter().filter_map(|(id, spec)| Some((*spec, rows.remove(id)?))).collect()
}

#[cfg(test)]
mod tests {
    use swfn_shared::grid::DEFAULT_MAX_TRIALS;
    use tokio::{select, task::yield_now};

    use super::*;
    use swfn_store::Store;

    #[tokio::test]
    async fn an_abandoned_summary_is_finished_and_kept() {
        let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 2 }\n\
                    subset_size = 100\narchitecture = \"net\"\nlambda = 0\n";
        let grid = Arc::new(Grid::parse("t", grid, DEFAULT_MAX_TRIALS).unwrap());
        let specs: Vec<_> = grid.trials().collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.sqlite");
        Store::open(&path).unwrap().set_trials(&specs).unwrap();
        let (live, reader) = (LiveSummary::new(grid, &specs), Reader::new(&path));
        select! {
            biased;
            _ = live.get(&reader) => panic!("it takes time"),
            () = yield_now() => {}
        }
        let first = live.newest.lock().await.as_ref().map(|made| Arc::clone(&made.summary));
        let first = first.expect("who comes next waits for the one that was begun");
        assert!(Arc::ptr_eq(&first, &live.get(&reader).await.unwrap()));
    }
}
