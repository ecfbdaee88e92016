//! A run whose files are all that is known: it is over, or another process runs it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use swfn_shared::{
    ids::TrialId,
    snapshot::{Counts, Running, Snapshot},
    state::TrialState,
    trial::TrialSpec,
    work,
};
use swfn_store::{ReadError, Reader, live};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::warn;

/// Time between two looks at the file. A look costs next to nothing unless the file has changed.
const LOOK: Duration = Duration::from_secs(1);

/// The arithmetic and the steps of each trial, from which the progress follows.
type SweepWork = HashMap<TrialId, (f64, f64)>;

/// Publishes the state of a run whenever its file has changed, until there are no readers.
pub async fn follow(reader: Reader, specs: Arc<[TrialSpec]>, snapshots: watch::Sender<Snapshot>) {
    let ids: Vec<_> = specs.iter().map(|spec| (spec.id(), spec)).collect();
    let work = work::flop_by_trial(ids.iter().copied());
    let work: SweepWork =
        ids.iter().map(|(id, spec)| (*id, (work[id], spec.steps() as f64))).collect();
    let mut known = None;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut warned = false;
    while !snapshots.is_closed() {
        looks.tick().await;
        let last = known.clone();
        let read = reader.read(move |transaction| {
            live::changed(transaction, last.as_deref(), |file| {
                Ok((live::states(file)?, live::running(file)?))
            })
        });
        match read.await {
            Ok((fingerprint, Some((states, running)))) => {
                known = Some(fingerprint);
                snapshots.send_replace(snapshot(&work, &states, running));
            }
            // The look itself makes the page ready.
            Ok((_, None)) => snapshots.send_modify(|_| {}),
            Err(ReadError::Closed) => return,
            Err(error) if !warned => {
                warn!("{error}");
                warned = true;
            }
            Err(_) => {}
        }
    }
}

fn snapshot(work: &SweepWork, states: &[(TrialId, TrialState)], running: Vec<Running>) -> Snapshot {
    let mut counts = Counts::default();
    let mut done = 0.0;
    for (id, state) in states {
        let Some((work, _)) = work.get(id) else { continue };
        *counts.get_mut(*state) += 1;
        done += if state.is_final() { *work } else { 0.0 };
    }
    for Running { trial, step, .. } in &running {
        let Some((work, steps)) = work.get(trial) else { continue };
        done += work * (*step as f64 / steps.max(1.0)).min(1.0);
    }
    let total: f64 = work.values().map(|(work, _)| work).sum();
    Snapshot { counts, share_done: done / total, running: running.into(), ..Snapshot::default() }
}

#[cfg(test)]
mod tests {
    use swfn_shared::{event::Event, ids::LeaseId, metrics::MetricPoint, metrics::TRAIN_LOSS};
    use swfn_store::{Batch, Store, samples};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn writes_of_another_process_are_seen() {
        let specs: Arc<[TrialSpec]> = samples::specs(2).into();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.sqlite");
        let mut store = Store::open(&path).unwrap();
        store.set_trials(&specs).unwrap();
        let (send, mut snapshots) = watch::channel(Snapshot::default());
        let following = tokio::spawn(follow(Reader::of_others(&path), Arc::clone(&specs), send));
        let patience = Duration::from_secs(60);
        let mut wait = async |state: [usize; 3]| {
            let seen = snapshots.wait_for(|Snapshot { counts, .. }| {
                [counts.pending, counts.leased, counts.succeeded] == state
            });
            timeout(patience, seen).await.unwrap().unwrap().clone()
        };
        assert_eq!(wait([4, 0, 0]).await.share_done, 0.0);
        let lease = |index: usize| LeaseId { trial: specs[index].id(), attempt: 1 };
        let leased = |index| Event::Leased { lease: lease(index), worker: "ann".parse().unwrap() };
        let half = MetricPoint { metric: TRAIN_LOSS, step: specs[1].steps() / 2, value: 1.0 };
        let begun = Batch {
            events: vec![leased(0), leased(1)],
            points: vec![(lease(1), vec![half])],
            ..Batch::default()
        };
        store.write(1.0, &begun).unwrap();
        let seen = wait([2, 2, 0]).await;
        assert_eq!(seen.running.len(), 2);
        let running = seen.share_done;
        assert!(running > 0.0 && running < 0.25, "{running}");
        store.write(2.0, &samples::batch(lease(0), 0.9)).unwrap();
        assert!(wait([2, 1, 1]).await.share_done > running);
        drop(snapshots);
        timeout(patience, following).await.unwrap().unwrap();
    }
}
