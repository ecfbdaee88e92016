//! The end of each turn of the loop: what was decided is written, and only then do the answers leave.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use swfn_dashboard::metrics;
use swfn_shared::{artifacts::ArtifactPart, faults, ids::LeaseId, quote::one_line};
use swfn_store::Batch;
use tracing::{error, info, warn};

use super::{
    actor::{Engine, Revoked},
    error::EngineError,
    mailbox::PostError,
    message::Reply,
};

/// Time between two attempts to write on a full disk.
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// How often a disk that may be failing is named.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// How often the state is shown, at most.
const SNAPSHOT_PERIOD: Duration = Duration::from_millis(200);

impl Engine {
    /// Writes the batch; only when it is on the disk do the answers leave.
    pub(super) fn commit(&mut self) -> Result<(), EngineError> {
        if faults::bug("acknowledged-before-the-commit") {
            self.answer();
        }
        faults::point("engine/commit");
        let (parts, batch) = (std::mem::take(&mut self.parts), std::mem::take(&mut self.batch));
        self.write_when_possible(&parts, &batch)?;
        self.said.clear();
        self.over.drain(..).for_each(|lease| self.folder.forget(lease));
        faults::point("engine/answer");
        self.answer();
        faults::point("engine/answered");
        self.publish();
        Ok(())
    }

    /// Sends what waited for the commit.
    fn answer(&mut self) {
        for (worker, Revoked { leases, first }) in self.revoked.drain() {
            let reason = first.unwrap_or_default();
            match leases.iter().next() {
                Some(lease) if leases.len() == 1 => info!(%worker, %lease, "revoked: {}", one_line(&reason)),
                _ => info!(%worker, leases = leases.len(), "revoked many; the first: {}", one_line(&reason)),
            }
        }
        let acknowledged = self.acknowledge.drain().map(|(worker, through)| (worker, Reply::Acknowledge { through }));
        // Revocations first: who reads that a result is kept must know already if it was not theirs to report.
        for (worker, reply) in self.replies.drain(..).chain(acknowledged).collect::<Vec<_>>() {
            // A worker that does not read its answers must not hold up the others: its stream ends, and it may come back.
            let sent = self.sessions.get(&worker).map(|session| session.replies.post(&self.unread, reply));
            if let Some(Err(error)) = sent {
                warn!(%worker, "stream dropped: {error}");
                self.end_session(&worker);
                if error == PostError::AllFull {
                    self.drop_the_fullest();
                }
            }
        }
    }

    /// Who has read least makes room for the others.
    fn drop_the_fullest(&mut self) {
        let fullest = self.sessions.iter().max_by_key(|(_, session)| session.replies.unread());
        if let Some(worker) = fullest.map(|(worker, _)| worker.clone()) {
            warn!(%worker, "stream dropped: it has the most unread answers, and there are too many");
            self.end_session(&worker);
        }
    }

    /// Writes. A full disk is waited for: meanwhile nothing is acknowledged, workers keep what they have and are held up by flow control.
    fn write_when_possible(&mut self, parts: &[(LeaseId, ArtifactPart)], batch: &Batch) -> Result<(), EngineError> {
        let mut complaint = Complaint::default();
        loop {
            match self.write(parts, batch) {
                Ok(()) => break,
                Err(error) if !error.may_pass() || self.give_up.load(Ordering::Relaxed) => return Err(error),
                Err(error) => {
                    if let Some(text) = complaint.about(Instant::now(), &error) {
                        error!("{text}");
                    }
                }
            }
            thread::sleep(RETRY_PERIOD);
        }
        if complaint.last.is_some() {
            warn!("it can be written again: going on");
        }
        Ok(())
    }

    fn write(&mut self, parts: &[(LeaseId, ArtifactPart)], batch: &Batch) -> Result<(), EngineError> {
        // Before the results: a trial that has succeeded has its files.
        self.folder.write(parts)?;
        if let Some(logs) = &mut self.logs {
            logs.write(&self.said)?;
        }
        if !batch.is_empty() {
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let began = Instant::now();
            self.store.write(at.as_secs_f64(), batch)?;
            metrics::committed(began.elapsed());
            batch.results.iter().for_each(|result| self.folder.tidy(result.lease.trial));
        }
        Ok(())
    }

    /// Shows the state to whoever watches: a snapshot visits every lease, so not after each batch.
    fn publish(&mut self) {
        let (finished, now) = (self.scheduler.counts().finished() && !self.is_due(), self.now());
        let (shown, since) = {
            let last = self.snapshots.borrow();
            (last.finished(), now.saturating_sub(last.elapsed))
        };
        if since >= SNAPSHOT_PERIOD || finished != shown {
            let connected = self.sessions.keys().cloned().collect();
            self.snapshots.send_replace(self.shown(connected));
        }
    }
}

/// What is said of a write that is waited for: once of a full disk, and again and again of one that may be failing.
#[derive(Debug, Default)]
struct Complaint {
    /// When, and whether it was of a disk that may be failing.
    last: Option<(Instant, bool)>,
}

impl Complaint {
    fn about(&mut self, now: Instant, error: &EngineError) -> Option<String> {
        let failing = error.is_of_the_device();
        let said = self.last.is_some_and(|(at, before)| {
            before == failing && (!failing || now.saturating_duration_since(at) < COMPLAINT_PERIOD)
        });
        if said {
            return None;
        }
        self.last = Some((now, failing));
        Some(match failing {
            true => format!(
                "{error}; the disk may be failing, if it is not full: nothing more is acknowledged until it can be written\n\
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
    fn a_disk_that_may_be_failing_is_not_said_to_lose_nothing_and_is_named_each_minute() {
        let error = |code| {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            EngineError::from(StoreError::new(Path::new("runs/a/sweep.sqlite"), error))
        };
        let (full, failing) = (error(rusqlite::ffi::SQLITE_FULL), error(rusqlite::ffi::SQLITE_IOERR));
        assert!(full.may_pass() && failing.may_pass());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut complaint = Complaint::default();
        assert!(complaint.about(at(0), &full).unwrap().ends_with("nothing is lost: waiting until it can be written"));
        assert_eq!(complaint.about(at(3_600), &full), None);
        let said = complaint.about(at(3_600), &failing).unwrap();
        assert!(said.contains("`runs/a/sweep.sqlite`") && said.contains("the disk may be failing"), "{said}");
        assert!(!said.contains("nothing is lost"), "{said}");
        assert_eq!(complaint.about(at(3_659), &failing), None);
        assert_eq!(complaint.about(at(3_660), &failing), Some(said));
    }
}
