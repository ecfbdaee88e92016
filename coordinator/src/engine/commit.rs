//! The end of each turn of the loop: what was decided is written, and only then do the answers leave.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use swfn_dashboard::metrics;
use swfn_scheduler::turn::{Commit, NextStep, Reply, WriteOutcome};
use swfn_shared::{
    artifacts::ArtifactPart,
    faults,
    ids::{LeaseId, WorkerId},
};
use swfn_store::Batch;
use tracing::{error, warn};

use super::{actor::Engine, error::EngineError, mailbox::PostError};

/// How often a disk that may be failing is named.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// How often the state is shown, at most.
const SNAPSHOT_PERIOD: Duration = Duration::from_millis(200);

impl Engine {
    /// Writes the batch; only when it is on the disk do the answers leave.
    pub(super) fn commit(&mut self) -> Result<(), EngineError> {
        self.carry_out();
        let mut commit = self.turn.commit();
        if faults::bug("acknowledged-before-the-commit")
            && let NextStep::Answer(answers) = commit.after(WriteOutcome::All, false)
        {
            self.answer(answers);
        }
        faults::point("engine/commit");
        let (parts, batch) = (std::mem::take(&mut self.parts), std::mem::take(&mut self.batch));
        let answers = self.write_when_possible(&mut commit, &parts, &batch)?;
        self.said.clear();
        self.over.drain(..).for_each(|lease| self.folder.remove_attempt(lease));
        faults::point("engine/answer");
        self.answer(answers);
        faults::point("engine/answered");
        self.publish();
        Ok(())
    }

    /// Sends what waited for the commit.
    fn answer(&mut self, answers: Vec<(WorkerId, Reply)>) {
        for (worker, reply) in answers {
            // A worker that does not read its answers must not hold up the others: its stream ends, and it may come back.
            let stream = self.turn.session(&worker).and_then(|session| self.streams.get(&session));
            let sent = stream.map(|stream| stream.replies.post(&self.unread, reply));
            if let Some(Err(error)) = sent {
                warn!(%worker, "stream dropped: {error}");
                self.turn.end_session(&worker);
                self.carry_out();
                if error == PostError::AllFull {
                    self.drop_the_fullest();
                }
            }
        }
    }

    /// Who has read least makes room for the others.
    fn drop_the_fullest(&mut self) {
        let fullest = self.streams.values().max_by_key(|stream| stream.replies.unread());
        if let Some(worker) = fullest.map(|stream| stream.worker.id.clone()) {
            warn!(%worker, "stream dropped: it has the most unread answers, and there are too many");
            self.turn.end_session(&worker);
            self.carry_out();
        }
    }

    /// Writes, and has the answers that may leave then.
    fn write_when_possible(
        &mut self,
        commit: &mut Commit,
        parts: &[(LeaseId, ArtifactPart)],
        batch: &Batch,
    ) -> Result<Vec<(WorkerId, Reply)>, EngineError> {
        let mut complaint = Complaint::default();
        loop {
            let result = self.write(parts, batch);
            let written = match &result {
                Ok(()) => WriteOutcome::All,
                Err(error) if error.is_temporary() => WriteOutcome::NotNow,
                Err(_) => WriteOutcome::Never,
            };
            match (commit.after(written, self.give_up.load(Ordering::Relaxed)), result) {
                (NextStep::Wait(period), result) => {
                    let text =
                        result.err().and_then(|error| complaint.about(Instant::now(), &error));
                    text.iter().for_each(|text| error!("{text}"));
                    thread::sleep(period);
                }
                (_, Err(error)) => return Err(error),
                (NextStep::Answer(answers), Ok(())) => {
                    if complaint.last.is_some() {
                        warn!("it can be written again: going on");
                    }
                    return Ok(answers);
                }
                (NextStep::Stop, Ok(())) => return Ok(Vec::new()),
            }
        }
    }

    fn write(
        &mut self,
        parts: &[(LeaseId, ArtifactPart)],
        batch: &Batch,
    ) -> Result<(), EngineError> {
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
            batch
                .results
                .iter()
                .for_each(|result| self.folder.remove_unfinished(result.lease.trial));
        }
        Ok(())
    }

    /// Shows the state to whoever watches: a snapshot visits every lease, so not after each batch.
    fn publish(&mut self) {
        let (finished, now) =
            (self.turn.scheduler.counts().finished() && !self.is_due(), self.now());
        let (shown, since) = {
            let last = self.snapshots.borrow();
            (last.finished(), now.saturating_sub(last.elapsed))
        };
        if since >= SNAPSHOT_PERIOD || finished != shown {
            self.snapshots.send_replace(self.shown(self.turn.connected()));
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
        let failing = error.is_device_failure();
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
        let (full, failing) =
            (error(rusqlite::ffi::SQLITE_FULL), error(rusqlite::ffi::SQLITE_IOERR));
        assert!(full.is_temporary() && failing.is_temporary());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut complaint = Complaint::default();
        assert!(
            complaint
                .about(at(0), &full)
                .unwrap()
                .ends_with("nothing is lost: waiting until it can be written")
        );
        assert_eq!(complaint.about(at(3_600), &full), None);
        let said = complaint.about(at(3_600), &failing).unwrap();
        assert!(
            said.contains("`runs/a/sweep.sqlite`") && said.contains("the disk may be failing"),
            "{said}"
        );
        assert!(!said.contains("nothing is lost"), "{said}");
        assert_eq!(complaint.about(at(3_659), &failing), None);
        assert_eq!(complaint.about(at(3_660), &failing), Some(said));
    }
}
