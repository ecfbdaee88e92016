//! One stream: what is sent on it, in which order, until it breaks or nothing is left to do.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use swfn_proto::v1::{self, worker_message::Kind};
use swfn_shared::{capacity::Capacity, faults};
use tokio::time::interval;
use tracing::info;

use super::{
    super::{
        link::{Link, LinkError},
        words::Exit,
    },
    Session, next, stopped, until,
};

/// Points wait so long to become one message.
const FLUSH: Duration = Duration::from_millis(500);

/// What is to be sent on this stream. Reports are read when their turn comes: there may be more of them than memory holds.
#[derive(Debug)]
enum Outgoing {
    Report(u64),
    Ask(Capacity),
    Heartbeat,
}

impl Outgoing {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Report(number) => Some(*number),
            Self::Ask(_) | Self::Heartbeat => None,
        }
    }
}

impl Session {
    /// Until the stream breaks; the exit, when the session is over with it.
    pub(super) async fn converse(&mut self, mut link: Link) -> Result<Exit, LinkError> {
        let mut outgoing = VecDeque::new();
        if !faults::bug("reports-are-not-sent-again") {
            outgoing.extend(self.ledger.unacknowledged().map(Outgoing::Report));
        }
        self.ledger.forget_grants();
        self.wishes.forgotten();
        // Without a coordinator it had no work and did not idle.
        self.stay.busy(Instant::now());
        self.mind_the_time();
        outgoing.extend(self.ask());
        let stall = Duration::from_secs(link.welcome.stall_seconds.into());
        let mut heartbeat = interval(Duration::from_secs(link.welcome.heartbeat_seconds.max(1).into()));
        let mut flush = interval(FLUSH);
        let end = self.stay.end();
        loop {
            let sender = link.outgoing.clone();
            let reports = tokio::select! {
                message = link.receive() => self.obey(message?),
                report = next(&mut self.reports), if self.listens() => self.absorb(report),
                // Also one that was to finish what it holds: nobody waits for that now.
                () = stopped(&mut self.stop), if !self.stopping && !faults::bug("stop-is-ignored") => {
                    info!("asked to stop: giving leases back");
                    self.stopping = true;
                    self.leave(Exit::Done);
                    Vec::new()
                }
                () = until(end), if !self.stopping => {
                    info!("time is up: giving leases back");
                    self.stopping = true;
                    self.leave(Exit::OutOfTime);
                    Vec::new()
                }
                room = sender.reserve(), if !outgoing.is_empty() => {
                    let room = room.map_err(|_| LinkError::Lost("the stream is closed".to_owned()))?;
                    let next = outgoing.pop_front();
                    let unsent = outgoing.iter().find_map(Outgoing::number);
                    if let Some(message) = next.map(|next| self.message(next, unsent)).transpose()?.flatten() {
                        let [before, after] = points_of(&message);
                        faults::point(before);
                        room.send(message);
                        faults::point(after);
                    }
                    Vec::new()
                }
                _ = flush.tick() => self.ledger.flush(),
                _ = heartbeat.tick() => {
                    if self.ledger.is_full() {
                        // It is not listened to.
                        self.watchdog.heard(Instant::now());
                    }
                    if stall > Duration::ZERO && self.watchdog.is_hung(Instant::now(), stall) {
                        return Ok(Exit::Broken(format!("the trainer has been silent for {stall:?} and was told to stop: it hangs")));
                    }
                    // One that has not left yet will say what is true when it leaves. Before all reports: leases must not expire while those
                    // wait.
                    if !matches!(outgoing.front(), Some(Outgoing::Heartbeat)) {
                        outgoing.push_front(Outgoing::Heartbeat);
                    }
                    Vec::new()
                }
            };
            self.mind_the_time();
            // First: a wish is withdrawn before leases are given back, or they would come again.
            outgoing.extend(self.ask());
            outgoing.extend(reports.into_iter().map(Outgoing::Report));
            if self.ledger.is_empty()
                && let Some(exit) = self.leaving.take()
            {
                // A courtesy: nothing is held, so if it gets lost, nothing is lost with it.
                link.send(v1::WorkerMessage { sequence: 0, kind: Some(Kind::Goodbye(v1::Goodbye {})) }).await.ok();
                link.close().await;
                return Ok(exit);
            }
        }
    }

    /// What the coordinator has to be told of the trainer's wishes, if anything.
    fn ask(&mut self) -> Option<Outgoing> {
        self.wishes.ask(self.ledger.running()).map(Outgoing::Ask)
    }

    /// `None` for a report that has been acknowledged meanwhile.
    /// `unsent`: the first report that waits.
    fn message(&mut self, outgoing: Outgoing, unsent: Option<u64>) -> Result<Option<v1::WorkerMessage>, LinkError> {
        let kind = match outgoing {
            Outgoing::Report(sequence) => {
                let unreadable =
                    |error| LinkError::Unreadable(format!("report {sequence} cannot be read back: {error}"));
                return self.ledger.report(sequence).map_err(unreadable);
            }
            Outgoing::Ask(room) => Kind::Ask(room.into()),
            Outgoing::Heartbeat => Kind::Heartbeat(self.ledger.heartbeat(unsent)),
        };
        Ok(Some(v1::WorkerMessage { sequence: 0, kind: Some(kind) }))
    }
}

/// Where tests kill the process, before and after it sends a message.
fn points_of(message: &v1::WorkerMessage) -> [&'static str; 2] {
    match message.kind {
        Some(Kind::Succeeded(_)) => ["session/result", "session/result-sent"],
        _ if message.sequence > 0 => ["session/report", "session/report-sent"],
        _ => ["session/other", "session/other-sent"],
    }
}
