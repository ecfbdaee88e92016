//! The workers' machines: processes, their supervisors, and their ends of the streams.

use std::time::Duration;

use rand::RngExt as _;
use swfn_session::{Exit, StayLimits};
use swfn_shared::ids::WorkerId;

use super::{
    coordinator_host::worker_id,
    message::{Downward, Millis, StreamId, Upward},
    network::Way,
    oracle::Broken,
    plan::millis,
    process::{Process, goodbye},
    trace_text,
    trainer::Fate,
    world::{Happening, World},
};

/// The longest pause between two attempts to connect.
const PAUSE: Millis = 5_000;

/// The longest time until a coordinator answers.
const ANSWER_TIMEOUT: Millis = 10_000;

impl World {
    pub(super) fn start_process(&mut self, slot: usize) {
        let up = self.coordinator.is_some();
        let place = &mut self.slots[slot];
        if place.process.is_some() || !place.expected || (place.plan.local && !up) {
            return;
        }
        if self.finished {
            place.expected = false;
            return;
        }
        place.number += 1;
        let number = place.number;
        let id = worker_id(slot, number, place.plan.local);
        (place.stalled, place.frozen, place.may_leave) = (0, 0, false);
        let (plan, predecessor) = (place.plan, place.predecessor.clone());
        let (stay, now) = (self.stay(slot), self.clock());
        let process = Process::new(id.clone(), predecessor.clone(), plan, stay, now);
        if let Some(end) = process.protocol.deadline() {
            let at = self.now + millis(end.saturating_duration_since(now));
            self.queue.plan(at, Happening::TimeIsUp { slot, number });
        }
        self.slots[slot].process = Some(process);
        self.say(|| match predecessor {
            Some(dead) => format!("{id} starts in place of {dead}"),
            None => format!("{id} starts"),
        });
        self.queue.plan(self.now, Happening::Connect { slot, number });
        let at = self.soon(1_000);
        self.queue.plan(at, Happening::Turn { slot, number });
    }

    /// How long a new process stays. Some have a limit from their start; when they leave, others
    /// come.
    fn stay(&mut self, slot: usize) -> StayLimits {
        if self.quiet || self.slots[slot].plan.local || self.rng.random_bool(0.8) {
            return StayLimits::default();
        }
        let seconds = Duration::from_secs(self.rng.random_range(5..=200));
        self.slots[slot].back = Some(self.rng.random_range(500..=10_000));
        if self.rng.random_bool(0.5) {
            StayLimits { end: Some(self.clock() + seconds), idle: None }
        } else {
            StayLimits { end: None, idle: Some(seconds / 4) }
        }
    }

    fn is_there(&self, slot: usize, number: u32) -> bool {
        self.slots[slot].process.is_some() && self.slots[slot].number == number
    }

    pub(super) fn connect(&mut self, slot: usize, number: u32) -> Result<(), Broken> {
        if !self.is_there(slot, number) || self.slots[slot].stream.is_some() {
            return Ok(());
        }
        if self.coordinator.is_none() || self.slots[slot].cut_off > self.now {
            self.connect_later(slot);
            return Ok(());
        }
        let Some(process) = &mut self.slots[slot].process else { return Ok(()) };
        let hello = process.hello()?;
        self.say(|| format!("{} connects, holds {}", hello.worker, trace_text::held(&hello.held)));
        let stream = self.network.open(slot, hello.worker.clone());
        self.slots[slot].stream = Some(stream);
        self.send_up(stream, Upward::Hello(hello));
        self.queue
            .plan(self.now + ANSWER_TIMEOUT, Happening::ConnectTimeout { slot, number, stream });
        Ok(())
    }

    /// Plans the next attempt to connect, or ends a process without work.
    fn connect_later(&mut self, slot: usize) {
        let Some(process) = &mut self.slots[slot].process else { return };
        if let Some(exit) = process.lost() {
            return self.leave_done(slot, exit);
        }
        let number = self.slots[slot].number;
        let at = self.now + self.rng.random_range(200..=PAUSE);
        self.queue.plan(at, Happening::Connect { slot, number });
    }

    pub(super) fn connect_timeout(&mut self, slot: usize, number: u32, stream: StreamId) {
        let connected = self.slots[slot].process.as_ref().is_some_and(|process| process.connected);
        if self.is_there(slot, number) && self.slots[slot].stream == Some(stream) && !connected {
            self.slots[slot].stream = None;
            self.close(stream, Way::Down, 1_000);
            self.connect_later(slot);
        }
    }

    /// Ends the worker's end of a stream.
    pub(super) fn lost_stream(&mut self, stream: StreamId) {
        let slot = self.network.streams[stream].slot;
        if self.slots[slot].stream != Some(stream) {
            return;
        }
        self.slots[slot].stream = None;
        self.connect_later(slot);
    }

    pub(super) fn obey(&mut self, stream: StreamId, message: Downward) -> Result<(), Broken> {
        let slot = self.network.streams[stream].slot;
        if self.slots[slot].stream != Some(stream) {
            return Ok(());
        }
        if let Downward::Acknowledge(acknowledge) = &message {
            self.check_acknowledged(slot, acknowledge.through)?;
        }
        let (welcomed, now) = (matches!(message, Downward::Welcome(_)), self.clock());
        let Some(process) = &mut self.slots[slot].process else { return Ok(()) };
        let id = process.id.clone();
        self.trace.say(self.now, || format!("{id} hears: {}", trace_text::answer(&message)));
        for lease in process.obey(now, message)? {
            self.oracle.check_lease_over(&id, lease)?;
        }
        if welcomed {
            self.queue.plan(self.now, Happening::Beat { slot, stream });
        }
        self.send_messages(slot)
    }

    /// Sends the next messages, if there is a stream, and goodbye if those were the last.
    pub(super) fn send_messages(&mut self, slot: usize) -> Result<(), Broken> {
        let place = &mut self.slots[slot];
        let (Some(stream), Some(process)) = (place.stream, &mut place.process) else {
            return Ok(());
        };
        if !process.connected {
            return Ok(());
        }
        let (messages, id) =
            (process.next_messages(self.plan.stream_capacity)?, process.id.clone());
        let (more, exit) = (process.protocol.has_outgoing(), process.protocol.take_exit());
        for message in messages {
            self.trace.say(self.now, || format!("{id} says: {}", trace_text::message(&message)));
            self.send_up(stream, Upward::Message(message.into()));
        }
        if let Some(exit) = exit {
            self.send_up(stream, Upward::Message(goodbye().into()));
            self.leave_done(slot, exit);
        } else if more {
            self.oracle.tally.fault("stream full");
            let at = self.soon(200);
            self.queue.plan(at, Happening::StreamReady { slot, stream });
        }
        Ok(())
    }

    /// A stream takes messages again.
    pub(super) fn stream_ready(&mut self, slot: usize, stream: StreamId) -> Result<(), Broken> {
        if self.slots[slot].stream == Some(stream) { self.send_messages(slot) } else { Ok(()) }
    }

    pub(super) fn send_up(&mut self, stream: StreamId, message: Upward) {
        let first = matches!(message, Upward::Hello(_));
        let arrivals = self.network.send(
            (stream, Way::Up),
            self.now,
            first,
            &mut self.oracle.tally,
            &mut self.rng,
        );
        for at in arrivals {
            self.queue.plan(at, Happening::Upward(stream, message.clone()));
        }
    }

    /// Ends a process in order. If its trainer broke, its supervisor starts another.
    pub(super) fn leave_done(&mut self, slot: usize, exit: Exit) {
        let Some(process) = &mut self.slots[slot].process else { return };
        process.done = true;
        match exit {
            Exit::OutOfTime => self.oracle.tally.fault("worker left when its time was up"),
            Exit::Done if !process.is_leaving() => {
                self.oracle.tally.fault("worker left since it idled")
            }
            _ => {}
        }
        let broken = process.broken.then_some(250);
        let back = self.slots[slot].back.take().or(broken);
        self.end_process(slot, broken.is_some(), back, 100);
        self.slots[slot].expected &= back.is_some();
    }

    /// A process reaches its time limit. Without a coordinator it just ends.
    pub(super) fn time_is_up(&mut self, slot: usize, number: u32) -> Result<(), Broken> {
        if !self.is_there(slot, number) {
            return Ok(());
        }
        self.ask_to_stop(slot, Exit::OutOfTime)
    }

    /// Asks a process to stop.
    pub(super) fn ask_to_stop(&mut self, slot: usize, exit: Exit) -> Result<(), Broken> {
        let now = self.clock();
        let Some(process) = &mut self.slots[slot].process else { return Ok(()) };
        if !process.connected {
            // Leases expire by themselves.
            self.leave_done(slot, exit);
            return Ok(());
        }
        process.leave(now, exit);
        self.send_messages(slot)
    }

    pub(super) fn beat(&mut self, slot: usize, stream: StreamId) -> Result<(), Broken> {
        let now = self.clock();
        let place = &mut self.slots[slot];
        let there = place.stream == Some(stream);
        let Some(process) = place.process.as_mut().filter(|process| there && process.connected)
        else {
            return Ok(());
        };
        if process.protocol.heartbeat(now).is_some() {
            self.say(|| format!("the trainer in slot {slot} hangs: its process ends"));
            self.oracle.tally.fault("worker ended since its trainer hung");
            self.end_process(slot, true, Some(500), 100);
            return Ok(());
        }
        self.queue.plan(self.now + self.plan.heartbeat(), Happening::Beat { slot, stream });
        self.send_messages(slot)
    }

    pub(super) fn turn(&mut self, slot: usize, number: u32) -> Result<(), Broken> {
        if !self.is_there(slot, number) {
            return Ok(());
        }
        if self.slots[slot].frozen > self.now {
            self.queue.plan(self.slots[slot].frozen, Happening::Turn { slot, number });
            return Ok(());
        }
        let flush = self.rng.random_bool(0.5);
        let now = self.clock();
        let Some(process) = &mut self.slots[slot].process else { return Ok(()) };
        let fate = process.turn(now, &mut self.subjects, flush);
        process.check_work()?;
        self.send_messages(slot)?;
        match fate {
            Fate::Goes => {}
            Fate::Hangs => {
                self.say(|| format!("a trial hangs in slot {slot}"));
                self.oracle.tally.fault("trial hung");
                self.slots[slot].frozen =
                    self.now + self.plan.stall() + self.rng.random_range(0..=2 * self.plan.lease());
            }
            Fate::Dies => {
                self.say(|| format!("a trial kills the worker in slot {slot}"));
                self.oracle.tally.fault("trial killed its worker");
                self.end_process(slot, true, Some(500), 100);
                return Ok(());
            }
        }
        let at = self.now + self.slots[slot].plan.pace;
        self.queue.plan(at, Happening::Turn { slot, number });
        Ok(())
    }

    /// Ends the process in this slot, in order or not. `named`: its successor names it. `down`:
    /// when the successor starts, if ever. The coordinator notices the end of the stream within
    /// `notice`.
    pub(super) fn end_process(
        &mut self,
        slot: usize,
        named: bool,
        down: Option<Millis>,
        notice: Millis,
    ) {
        let place = &mut self.slots[slot];
        let Some(process) = place.process.take() else { return };
        let before: Option<WorkerId> = place.predecessor.take();
        if named {
            place.predecessor = if process.welcomed { Some(process.id.clone()) } else { before };
        }
        (place.idle_since, place.unanswered_since) = (None, None);
        let (stream, in_order) = (place.stream.take(), process.done);
        self.trace.say(self.now, || {
            format!("{} ends{}", process.id, if in_order { "" } else { " at once" })
        });
        if let Some(stream) = stream {
            self.close(stream, Way::Down, notice);
            if !in_order && !self.plan.weather.flushes {
                let cut = self.soon(self.plan.weather.latency);
                self.network.cut(stream, Way::Up, cut);
            }
        }
        if let Some(down) = down {
            self.queue.plan(self.now + down, Happening::ProcessStarts { slot });
        }
    }
}
