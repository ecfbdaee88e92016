//! Faults as they happen, and their end.

use rand::RngExt as _;
use swfn_proto::v1::{self, worker_message::Kind};
use swfn_session::Exit;
use swfn_shared::{
    metrics::{Outcome, TRAIN_LOSS},
    person::Drain,
    wire,
};

use super::{
    coordinator::Request,
    coordinator_host::place_name,
    message::{Millis, Upward},
    network::Way,
    oracle::Broken,
    plan::{CrashPoint, Fault},
    process::Process,
    world::{Happening, World},
};

/// An end of a stream that nobody tells anything notices by its keep-alive.
const KEEP_ALIVE: Millis = 20_000;

impl World {
    pub(super) fn inject(&mut self, fault: Fault) -> Result<(), Broken> {
        self.say(|| format!("fault: {fault:?}"));
        let kind = match fault {
            Fault::CrashWorker { slot, named, down, silent } => {
                let notice = if silent { 2 * KEEP_ALIVE } else { 500 };
                let there = self.slots[slot].process.is_some();
                self.end_process(slot, named, Some(down), notice);
                there.then_some(if named {
                    "worker killed, successor names it"
                } else {
                    "worker killed"
                })
            }
            Fault::StallWorker { slot, lasts } => {
                let place = &mut self.slots[slot];
                place.stalled = place.stalled.max(self.now + lasts);
                place.process.is_some().then_some(if lasts > self.plan.lease() {
                    "worker stopped beyond its lease"
                } else {
                    "worker stopped"
                })
            }
            Fault::FreezeTrainer { slot, lasts } => {
                let place = &mut self.slots[slot];
                place.frozen = place.frozen.max(self.now + lasts);
                place.process.is_some().then_some("trainer stands still")
            }
            Fault::LeaveWorker { slot, back } => {
                self.ask_to_leave(slot, back)?.then_some("worker asked to leave")
            }
            Fault::BreakTrainer { slot } => {
                let now = self.clock();
                let process =
                    self.slots[slot].process.as_mut().filter(|process| !process.is_leaving());
                let there = process.map(|process| process.break_down(now));
                self.send_messages(slot)?;
                there.map(|()| "trainer broken")
            }
            Fault::Meddle { slot } => {
                self.meddle(slot).then_some("worker spoke of a lease of another")
            }
            Fault::CutStream { slot } => self.cut_stream(slot).then_some("stream cut"),
            Fault::Partition { slot, lasts } => {
                self.slots[slot].cut_off = self.now + lasts;
                self.cut_stream(slot);
                Some("worker cut off")
            }
            Fault::CrashCoordinator { point: CrashPoint::Now, down } => {
                self.crash_coordinator(down, CrashPoint::Now);
                None
            }
            Fault::CrashCoordinator { point, down } => {
                // It is counted when it dies.
                self.doom = Some((point, down));
                None
            }
            Fault::PauseCoordinator { lasts, tick_first } => {
                self.paused = self.paused.max(self.now + lasts);
                // Its own timer may be quicker than what waits in its sockets.
                self.deaf = self.deaf.max(self.paused + if tick_first { 20 } else { 0 });
                Some("coordinator stopped")
            }
            Fault::LeapClock { by } => {
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.leapt += by;
                }
                Some("clock leapt")
            }
            Fault::SlowCommits { lasts, up_to } => {
                self.slow = (self.now + lasts, up_to);
                Some("commits slow")
            }
            Fault::FillDisk { lasts } => {
                // It is counted when it is noticed.
                self.full = self.full.max(self.now + lasts);
                None
            }
            Fault::DrainWorkers { first, places, now, back } => {
                self.ask_coordinator_to_drain(first, places, now, back);
                None
            }
            // It is counted when it takes effect.
            Fault::Retry { which, down: Some(down) } => {
                (self.retry, self.doom) = (Some(which), Some((CrashPoint::AfterAnswers, down)));
                None
            }
            Fault::Retry { which, down: None } => {
                if self.coordinator.is_some() {
                    self.arrive(Request::Retry(which));
                }
                None
            }
        };
        if let Some(kind) = kind {
            self.oracle.tally.fault(kind);
        }
        Ok(())
    }

    /// False if there is nobody to ask.
    fn ask_to_leave(&mut self, slot: usize, back: Option<Millis>) -> Result<bool, Broken> {
        let place = &mut self.slots[slot];
        let there = place.process.as_ref().is_some_and(|process| !process.protocol.is_stopping());
        if there {
            place.back = back;
            self.ask_to_stop(slot, Exit::Done)?;
        }
        Ok(there)
    }

    /// `swfn-worker drain`: of a coordinator that is away nobody hears.
    fn ask_coordinator_to_drain(
        &mut self,
        first: usize,
        places: usize,
        now: bool,
        back: Option<Millis>,
    ) {
        if self.coordinator.is_none() {
            return;
        }
        let mut workers = Vec::new();
        let all = self.slots.len();
        for slot in (first..first + places).map(|slot| slot % all) {
            let place = &mut self.slots[slot];
            workers.push(place_name(slot, place.plan.local));
            if place.process.is_some() {
                (place.may_leave, place.back) = (true, back);
            }
        }
        self.arrive(Request::Drain(Drain { workers, now }));
    }

    /// No process would say that, unless it has been mixed up with another.
    fn meddle(&mut self, slot: usize) -> bool {
        let place = &self.slots[slot];
        let process = place.process.as_ref().filter(|process| process.connected);
        let (Some(process), Some(stream)) = (process, place.stream) else { return false };
        let others = self.oracle.live.leases().filter(|(_, holding)| holding.worker != process.id);
        let leases: Vec<_> = others.map(|(lease, _)| lease).collect();
        if leases.is_empty() {
            return false;
        }
        let lease = leases[self.rng.random_range(0..leases.len())];
        let id = Some(lease.into());
        let kind = match self.rng.random_range(0..5) {
            0 => {
                let progress = vec![v1::Progress { lease: id, step: 1, waits: false }];
                Kind::Heartbeat(v1::Heartbeat { progress })
            }
            1 => {
                let points = vec![v1::MetricPoint {
                    metric: TRAIN_LOSS.to_owned(),
                    step: 1_000,
                    value: 1.0,
                }];
                Kind::Points(v1::Points { lease: id, points, log: None })
            }
            2 => {
                let mut failed = v1::Failed {
                    lease: id,
                    message: "diverged".to_owned(),
                    ..v1::Failed::default()
                };
                failed.set_kind(v1::FailureKind::Diverged);
                Kind::Failed(failed)
            }
            3 => Kind::Released(v1::Released { lease: id }),
            _ => {
                let (outcome, dataset_digest) =
                    (wire::outcome_values(&Outcome::default()), "0".repeat(64));
                Kind::Succeeded(v1::Succeeded { lease: id, outcome, dataset_digest })
            }
        };
        let message = v1::WorkerMessage { sequence: 0, kind: Some(kind) };
        self.send_up(stream, Upward::Message(message.into()));
        true
    }

    /// Both ends notice in their own time.
    fn cut_stream(&mut self, slot: usize) -> bool {
        let Some(stream) = self.slots[slot].stream else { return false };
        for way in [Way::Up, Way::Down] {
            let cut = self.soon(200);
            self.network.cut(stream, way, cut);
            let within = if self.rng.random_bool(0.5) { 300 } else { KEEP_ALIVE };
            let noticed = self.soon(within);
            self.queue.plan(noticed, Happening::Ended(stream, way));
        }
        true
    }

    /// From now on nothing goes wrong but what trials do, and somebody is there to do them.
    pub(super) fn end_faults(&mut self) {
        if self.quiet {
            return;
        }
        self.say(|| "the faults are over".to_owned());
        (self.quiet, self.doom) = (true, None);
        let ends = self.slots.iter().flat_map(|slot| [slot.stalled, slot.frozen, slot.cut_off]);
        let last =
            ends.chain([self.now, self.deaf, self.slow.0, self.full]).max().unwrap_or_default();
        // Processes that are down come back, and dead ones are noticed.
        self.calm_from = last + 4 * self.plan.lease() + 3 * KEEP_ALIVE;
        for stream in self.network.calm_down() {
            for way in [Way::Up, Way::Down] {
                self.network.cut(stream, way, self.now);
                self.queue.plan(self.now, Happening::Ended(stream, way));
            }
        }
        let healthy = self.slots.iter().any(|slot| {
            let stays =
                |process: &Process| process.broken || !(process.is_leaving() || slot.may_leave);
            let stays = slot.process.as_ref().is_none_or(stays);
            (slot.expected && stays) || slot.back.is_some()
        });
        if !healthy {
            self.slots[0].back = Some(1_000);
            if self.slots[0].process.is_none() {
                (self.slots[0].expected, self.slots[0].back) = (true, None);
                self.queue.plan(self.now, Happening::ProcessStarts { slot: 0 });
            }
        }
    }
}
