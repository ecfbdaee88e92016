//! The coordinator's machine: its process, its disk, and the ends of the streams there.

use rand::RngExt as _;
use swfn_shared::ids::WorkerId;

use super::{
    coordinator::{Coordinator, Observer, Request},
    message::{Downward, Millis, StreamId, Upward},
    network::Way,
    oracle::{Broken, hold},
    plan::{CrashPoint, millis},
    state_check::check_durable_state,
    world::{Happening, World},
};
use crate::turn::retry_after;

/// The most requests of one turn; streams are held up beyond that. It is smaller than in the
/// coordinator, so that this happens.
const REQUESTS: usize = 24;

/// The prefix of the ids of local workers.
const LOCAL: &str = ".local:";

pub(super) fn is_local(worker: &WorkerId) -> bool {
    worker.to_string().starts_with(LOCAL)
}

/// The prefix of the ids of all processes of a place.
pub(super) fn place_name(slot: usize, local: bool) -> String {
    let prefix = if local { LOCAL } else { "" };
    format!("{prefix}s{slot}:")
}

pub(super) fn worker_id(slot: usize, number: u32, local: bool) -> WorkerId {
    format!("{}{number}", place_name(slot, local))
        .parse()
        .expect("an id of few letters and digits is valid")
}

impl World {
    pub(super) fn start_coordinator(&mut self) -> Result<(), Broken> {
        if self.coordinator.is_some() {
            return Ok(());
        }
        self.say(|| "coordinator starts".to_owned());
        let observer = Observer::new(self.now, &mut self.oracle, &mut self.trace);
        let mut coordinator = Coordinator::start(&self.plan, &self.disk, is_local, observer)?;
        if let Some(which) = self.retry.take() {
            let observer = Observer::new(self.now, &mut self.oracle, &mut self.trace);
            coordinator.retry(observer, which)?;
        }
        check_durable_state(&self.replica, &self.oracle.durable, None)?;
        let lost = self.oracle.live.leases().find(|(_, holding)| is_local(&holding.worker));
        hold!(
            lost.is_none(),
            "{lost:?} is left to a worker that has died with the coordinator before"
        );
        self.coordinator = Some(coordinator);
        self.busy = true;
        self.queue.plan(self.now, Happening::Commit { coordinator: self.incarnation });
        self.queue.plan(self.now, Happening::Tick { coordinator: self.incarnation });
        for slot in 0..self.slots.len() {
            if self.slots[slot].plan.local && self.slots[slot].expected {
                let at = self.soon(500);
                self.queue.plan(at, Happening::ProcessStarts { slot });
            }
        }
        Ok(())
    }

    pub(super) fn tick(&mut self) {
        // One at a time waits for the actor.
        if !self.inbox.iter().any(|request| matches!(request, Request::Tick)) {
            self.arrive(Request::Tick);
        }
        self.queue
            .plan(self.now + self.plan.tick, Happening::Tick { coordinator: self.incarnation });
    }

    /// A message reaches the end of its stream.
    pub(super) fn hear(&mut self, stream: StreamId, message: Upward) {
        match message {
            Upward::Hello(hello) => {
                self.arrive(Request::Join { session: stream, hello });
                // The welcome comes from the stream, before the turn.
                self.send_down(stream, Downward::Welcome(self.plan.welcome()));
            }
            Upward::Message(message) => {
                let worker = self.network.streams[stream].worker.clone();
                self.arrive(Request::Message { session: stream, worker, message });
            }
        }
    }

    pub(super) fn arrive(&mut self, request: Request) {
        self.inbox.push(request);
        if !self.busy && self.inbox.len() == 1 {
            let at = self.soon(5);
            self.queue.plan(at, Happening::Work { coordinator: self.incarnation });
        }
    }

    /// Takes what has arrived, decides, and begins to write.
    pub(super) fn work(&mut self) -> Result<(), Broken> {
        let Some(coordinator) =
            self.coordinator.as_mut().filter(|_| !self.busy && !self.inbox.is_empty())
        else {
            return Ok(());
        };
        // With so few requests in a turn and commits longer than a lease, the lag would grow to
        // minutes.
        let most = if self.plan.commit > self.plan.lease() { crate::REQUESTS } else { REQUESTS };
        let requests = self.inbox.drain(..self.inbox.len().min(most)).collect();
        let observer = Observer::new(self.now, &mut self.oracle, &mut self.trace);
        coordinator.work(observer, requests)?;
        let writes = !coordinator.batch.is_empty();
        for stream in coordinator.closed() {
            self.close(stream, Way::Up, 0);
        }
        self.busy = true;
        let mut at = self.now;
        if writes {
            if self.is_doomed(CrashPoint::BeforeCommit) {
                return Ok(());
            }
            let longest = if self.now < self.slow.0 { self.slow.1 } else { self.plan.commit };
            at = self.soon(longest);
        }
        self.queue.plan(at, Happening::Commit { coordinator: self.incarnation });
        Ok(())
    }

    /// All that was decided is on the disk.
    pub(super) fn commit(&mut self) -> Result<(), Broken> {
        let Some(coordinator) = self.coordinator.as_mut() else { return Ok(()) };
        let writes = !coordinator.batch.is_empty();
        if writes && self.now < self.full {
            return self.wait_for_room();
        }
        self.disk_full = false;
        let events = self.disk.write(std::mem::take(&mut coordinator.batch));
        self.oracle.committed(events)?;
        for event in events {
            self.replica
                .evolve(std::time::Duration::ZERO, event)
                .map_err(|problem| Broken(format!("replay: {problem}")))?;
        }
        let touched: Vec<_> =
            events.iter().filter_map(|event| Some(event.durable()?.trial)).collect();
        for scheduler in [&self.replica, &coordinator.turn.scheduler] {
            check_durable_state(scheduler, &self.oracle.durable, Some(&touched))?;
        }
        let finished = coordinator.turn.scheduler.counts().finished();
        if finished && !self.finished {
            self.say(|| "all trials have ended".to_owned());
            self.finished = true;
            self.end_faults();
        }
        if writes && self.is_doomed(CrashPoint::AfterCommit) {
            return Ok(());
        }
        self.queue.plan(self.now, Happening::Answer { coordinator: self.incarnation });
        Ok(())
    }

    /// The disk is full: the batch is kept and tried again, without answers meanwhile. A
    /// coordinator that is asked to stop does not wait.
    fn wait_for_room(&mut self) -> Result<(), Broken> {
        if !std::mem::replace(&mut self.disk_full, true) {
            self.say(|| "nothing can be written: waiting".to_owned());
            self.oracle.tally.fault("coordinator found its disk full");
        }
        let give_up = matches!(self.doom, Some((CrashPoint::AfterAnswers, _)));
        match retry_after(true, give_up) {
            Some(period) => {
                let at = self.now + millis(period);
                self.queue.plan(at, Happening::Commit { coordinator: self.incarnation });
            }
            None => {
                self.oracle.tally.fault("coordinator asked to stop while its disk was full");
                hold!(self.is_doomed(CrashPoint::AfterAnswers), "nobody asked it to stop");
            }
        }
        Ok(())
    }

    /// The answers leave.
    pub(super) fn answer(&mut self) -> Result<(), Broken> {
        let Some(coordinator) = self.coordinator.as_mut() else { return Ok(()) };
        hold!(
            !self.disk_full && coordinator.batch.is_empty() && coordinator.batch.heard.is_empty(),
            "answers leave before all that they are about is on the disk"
        );
        let answers = std::mem::take(&mut coordinator.answers);
        let mut observer = Observer::new(self.now, &mut self.oracle, &mut self.trace);
        let mut answers = coordinator.addressed(&mut observer, answers);
        observer.broken?;
        let dies = answers.len() > 1
            && self.doom.is_some_and(|(point, _)| point == CrashPoint::AmidAnswers);
        if dies {
            answers.truncate(self.rng.random_range(1..answers.len()));
        }
        for (stream, answer) in answers {
            self.send_down(stream, answer);
        }
        self.busy = false;
        if (dies && self.is_doomed(CrashPoint::AmidAnswers))
            || self.is_doomed(CrashPoint::AfterAnswers)
        {
            return Ok(());
        }
        if !self.inbox.is_empty() {
            self.queue.plan(self.now, Happening::Work { coordinator: self.incarnation });
        }
        Ok(())
    }

    fn send_down(&mut self, stream: StreamId, message: Downward) {
        let first = matches!(message, Downward::Welcome(_));
        let arrivals = self.network.send(
            (stream, Way::Down),
            self.now,
            first,
            &mut self.oracle.tally,
            &mut self.rng,
        );
        for at in arrivals {
            self.queue.plan(at, Happening::Downward(stream, message.clone()));
        }
    }

    /// Crashes if this is the planned point.
    fn is_doomed(&mut self, here: CrashPoint) -> bool {
        let doom = self.doom.take_if(|(point, _)| *point == here);
        if let Some((_, down)) = doom {
            self.crash_coordinator(down, here);
        }
        doom.is_some()
    }

    pub(super) fn crash_coordinator(&mut self, down: Millis, point: CrashPoint) {
        if self.coordinator.is_none() {
            return;
        }
        self.oracle.tally.fault(match point {
            CrashPoint::Now if self.disk_full => "coordinator killed while its disk was full",
            CrashPoint::Now => "coordinator killed",
            CrashPoint::BeforeCommit => "coordinator killed before a commit",
            CrashPoint::AfterCommit => "coordinator killed after a commit, before its answers",
            CrashPoint::AmidAnswers => "coordinator killed amid its answers",
            CrashPoint::AfterAnswers => "coordinator ended after its answers",
        });
        self.end_coordinator(down);
    }

    /// Ends the process of the coordinator, in order or not. It starts again after `down`.
    pub(super) fn end_coordinator(&mut self, down: Millis) {
        self.say(|| format!("coordinator is gone for {down} ms"));
        self.coordinator = None;
        self.disk_full = false;
        self.incarnation += 1;
        self.inbox.clear();
        (self.busy, self.doom, self.paused, self.deaf) = (false, None, 0, 0);
        for stream in 0..self.network.streams.len() {
            if self.network.is_open(stream, Way::Up) {
                // The end of a host shows only when nothing answers.
                let notice = if self.rng.random_bool(0.1) { 20_000 } else { 500 };
                self.close(stream, Way::Up, notice);
                let cut = self.soon(50);
                self.network.cut(stream, Way::Down, cut);
            }
        }
        for slot in 0..self.slots.len() {
            if self.slots[slot].plan.local && self.slots[slot].process.is_some() {
                self.end_process(slot, false, None, 0);
            }
        }
        self.queue.plan(self.now + down, Happening::CoordinatorStarts);
    }

    /// Closes one end of a stream. The other end notices in time, after all earlier messages.
    pub(super) fn close(&mut self, stream: StreamId, way: Way, within: Millis) {
        if self.network.is_open(stream, way) {
            self.network.close(stream, way);
            let there = super::network::other(way);
            let at = self.soon(within).max(self.network.last(stream, there));
            self.queue.plan(at, Happening::Ended(stream, there));
        }
    }

    pub(super) fn stream_ended(&mut self, stream: StreamId, way: Way) {
        if !self.network.is_open(stream, way) {
            return;
        }
        self.network.close(stream, way);
        match way {
            Way::Up => {
                let worker = self.network.streams[stream].worker.clone();
                self.arrive(Request::StreamEnded { session: stream, worker });
            }
            Way::Down => self.lost_stream(stream),
        }
    }

    /// Checks that acknowledged reports are on the disk.
    pub(super) fn check_acknowledged(&mut self, slot: usize, through: u64) -> Result<(), Broken> {
        let Some(process) = &self.slots[slot].process else { return Ok(()) };
        let heard = self.disk.heard.get(&process.id);
        // In wild weather, messages before the acknowledged number may be lost.
        let wild = self.plan.weather.wild();
        for (sequence, ended) in
            process.waiting(through).filter(|(sequence, _)| !wild || *sequence == through)
        {
            hold!(
                heard.is_some_and(|heard| heard.contains(&sequence)),
                "report {sequence} of {} was acknowledged and is not on the disk",
                process.id
            );
            let Some((lease, succeeded)) = ended else { continue };
            self.oracle.check_lease_over(&process.id, lease)?;
            if succeeded {
                let kept = self.oracle.durable.entry(lease.trial)?.is_of(lease, &process.id);
                let told = kept || wild || !process.protocol.held().contains(&lease);
                hold!(
                    told,
                    "the result of {lease:?} is acknowledged, and nobody said before that it is not kept"
                );
            }
        }
        Ok(())
    }
}
