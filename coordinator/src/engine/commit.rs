//! The end of each turn of the loop: writes what was decided, and only then sends the answers.

use std::{
    mem,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use swfn_dashboard::metrics;
use swfn_scheduler::turn::{Reply, retry_after};
use swfn_shared::{artifacts::ArtifactPart, faults, ids::LeaseId, ids::WorkerId};
use swfn_store::Batch;
use tracing::{error, warn};

use super::{actor::Engine, error::EngineError, mailbox::PostError};

/// Time between two complaints about a disk that may be failing.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// Least time between two snapshots.
const SNAPSHOT_PERIOD: Duration = Duration::from_millis(200);

impl Engine {
    /// Writes the batch; the answers leave only when it is on disk.
    pub(super) fn commit(&mut self) -> Result<(), EngineError> {
        self.carry_out();
        let mut answers = self.turn.commit();
        if faults::bug("acknowledged-before-the-commit") {
            self.answer(mem::take(&mut answers));
        }
        faults::point("engine/commit");
        self.write_when_possible()?;
        self.log_parts.clear();
        self.ended.drain(..).for_each(|lease| self.folder.remove_attempt(lease));
        faults::point("engine/answer");
        self.answer(answers);
        faults::point("engine/answered");
        self.publish();
        Ok(())
    }

    fn answer(&mut self, answers: Vec<(WorkerId, Reply)>) {
        for (worker, reply) in answers {
            let stream = self.turn.session(&worker).and_then(|session| self.streams.get(&session));
            let sent = stream.map(|stream| stream.replies.post(&self.unread, reply));
            let Some(Err(error)) = sent else { continue };
            // A worker that does not read must not hold up the others; it may reconnect.
            self.drop_stream(&worker, &error.to_string());
            if error == PostError::AllFull {
                let fullest = self.streams.values().max_by_key(|stream| stream.replies.unread());
                if let Some(fullest) = fullest.map(|stream| stream.worker.id.clone()) {
                    self.drop_stream(&fullest, "it has the most unread answers of too many");
                }
            }
        }
    }

    fn drop_stream(&mut self, worker: &WorkerId, why: &str) {
        warn!(%worker, "stream dropped: {why}");
        self.turn.end_session(worker);
        self.carry_out();
    }

    /// Writes until it succeeds.
    fn write_when_possible(&mut self) -> Result<(), EngineError> {
        let (parts, batch) = (mem::take(&mut self.parts), mem::take(&mut self.batch));
        let mut complaint = Complaint::default();
        while let Err(error) = self.write(&parts, &batch) {
            let give_up = self.give_up.load(Ordering::Relaxed);
            let Some(pause) = retry_after(error.is_temporary(), give_up) else {
                return Err(error);
            };
            if let Some(text) = complaint.text(Instant::now(), &error) {
                error!("{text}");
            }
            thread::sleep(pause);
        }
        if complaint.last.is_some() {
            warn!("the disk takes writes again: going on");
        }
        Ok(())
    }

    fn write(
        &mut self,
        parts: &[(LeaseId, ArtifactPart)],
        batch: &Batch,
    ) -> Result<(), EngineError> {
        // Before the results: a trial that has succeeded has its files.
        self.folder.write(parts)?;
        if let Some(logs) = &mut self.logs {
            logs.write(&self.log_parts)?;
        }
        if !batch.is_empty() {
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let began = Instant::now();
            self.store.write(at.as_secs_f64(), batch)?;
            metrics::committed(began.elapsed());
            batch
                .results
                .iter()
                .for_each(|result| self.folder.remove_unfinished(result.lease.trial));
        }
        Ok(())
    }

    /// Publishes a snapshot, though not after each batch, since it visits every lease.
    fn publish(&mut self) {
        let finished = self.turn.scheduler.counts().finished() && !self.is_due();
        let (shown, since) = {
            let last = self.snapshots.borrow();
            (last.finished(), self.now().saturating_sub(last.elapsed))
        };
        if since >= SNAPSHOT_PERIOD || finished != shown {
            self.snapshots.send_replace(self.snapshot(self.turn.connected()));
        }
    }
}

/// Complaints about writes that have to wait: one about a full disk, one a minute about a disk that
/// may be failing.
#[derive(Debug, Default)]
struct Complaint {
    /// The last one's time, and whether the disk may be failing.
    last: Option<(Instant, bool)>,
}

impl Complaint {
    fn text(&mut self, now: Instant, error: &EngineError) -> Option<String> {
        let failing = error.is_device_failure();
        let is_recent = self.last.is_some_and(|(at, before)| {
            before == failing && (!failing || now.saturating_duration_since(at) < COMPLAINT_PERIOD)
        });
        if is_recent {
            return None;
        }
        self.last = Some((now, failing));
        Some(match failing {
            true => format!(
                "{error}; the disk may be failing, if it is not full: nothing more is acknowledged \
                 until it can be written\n\
                 hint: look at the kernel's log, and save the run directory before anything else"
            ),
            false => format!("{error}; nothing is lost: waiting until it can be written"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use swfn_store::StoreError;

    #[test]
    fn failing_disks_are_logged_every_minute() {
        let error = |code| {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            EngineError::from(StoreError::new(Path::new("runs/a/sweep.sqlite"), error))
        };
        let (full, failing) =
            (error(rusqlite::ffi::SQLITE_FULL), error(rusqlite::ffi::SQLITE_IOERR));
        assert!(full.is_temporary() && failing.is_temporary());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut complaint = Complaint::default();
        let text = complaint.text(at(0), &full).unwrap();
        assert!(text.ends_with("nothing is lost: waiting until it can be written"), "{text}");
        assert_eq!(complaint.text(at(3_600), &full), None);
        let text = complaint.text(at(3_600), &failing).unwrap();
        assert!(
            text.contains("`runs/a/sweep.sqlite`") && text.contains("the disk may be failing"),
            "{text}"
        );
        assert!(!text.contains("nothing is lost"), "{text}");
        assert_eq!(complaint.text(at(3_659), &failing), None);
        assert_eq!(complaint.text(at(3_660), &failing), Some(text));
    }
}
