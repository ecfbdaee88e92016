//! The table of cells while the sweep runs: the same summary as at the end, made at most now and then, once for all who look.

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

/// The least time between two.
const PERIOD: Duration = Duration::from_secs(1);

/// A large sweep's takes longer: a small part of one core at most.
const REST: u32 = 20;

/// The newest summary, and how to make the next.
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
    /// What the file came to.
    fingerprint: String,
    at: Instant,
    took: Duration,
}

impl LiveSummary {
    /// Of the trials of a grid, in its order.
    pub fn new(grid: Arc<Grid>, specs: &[TrialSpec]) -> Self {
        let specs = specs.iter().map(|spec| (spec.id(), *spec)).collect();
        Self { grid, specs, newest: Arc::default() }
    }

    /// The summary. Who comes while it is made waits for it.
    pub async fn get(&self, reader: &Reader) -> Result<Arc<Summary>, ReadError> {
        let newest = Arc::clone(&self.newest).lock_owned().await;
        if let Some(made) =
            newest.as_ref().filter(|made| made.at.elapsed() < PERIOD.max(REST * made.took))
        {
            return Ok(Arc::clone(&made.summary));
        }
        // A task of its own: it comes to its end though whoever asked is gone, and nobody begins another beside it.
        let made = tokio::spawn(make(
            newest,
            Arc::clone(&self.grid),
            Arc::clone(&self.specs),
            reader.clone(),
        ));
        // A panic would be a defect, of this request alone; an end, that of the runtime.
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
    let read = reader.read(move |transaction| {
        let fingerprint = live::fingerprint(transaction)?;
        let same = known.is_some_and(|known| known == fingerprint);
        Ok((fingerprint, if same { None } else { Some(live::outcomes(transaction)?) }))
    });
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

/// The file has the trials in the order in which they came into it, which is not that of a grid that has grown.
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
    async fn one_that_was_begun_is_kept_though_nobody_waits_for_it() {
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
