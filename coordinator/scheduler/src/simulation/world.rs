//! All of it together: virtual time, what will happen, and who is there.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use swfn_shared::ids::{TrialId, WorkerId};

use super::{
    super::{Event, Scheduler},
    coordinator::{Coordinator, Request, replayed},
    disk::Disk,
    message::{Downward, Millis, StreamId, Upward},
    network::{Network, Way},
    oracle::{Broken, Oracle},
    plan::{CrashPoint, Plan, Retry, SlotPlan, Subject},
    process::Process,
    queue::Queue,
    tally::{Tally, Trace},
    trace_text,
};

/// An event of the world. `number`: the process that it was planned for, which may be gone by then.
#[derive(Debug)]
pub(super) enum Happening {
    Fault(usize),
    Quiet,
    Tick {
        coordinator: u32,
    },
    Work {
        coordinator: u32,
    },
    Commit {
        coordinator: u32,
    },
    Answer {
        coordinator: u32,
    },
    CoordinatorStarts,
    Upward(StreamId, Upward),
    Downward(StreamId, Downward),
    /// The end of a stream that this way leads to notices that it is over.
    Ended(StreamId, Way),
    ProcessStarts {
        slot: usize,
    },
    Connect {
        slot: usize,
        number: u32,
    },
    ConnectTimeout {
        slot: usize,
        number: u32,
        stream: StreamId,
    },
    Turn {
        slot: usize,
        number: u32,
    },
    Beat {
        slot: usize,
        stream: StreamId,
    },
    StreamReady {
        slot: usize,
        stream: StreamId,
    },
    TimeIsUp {
        slot: usize,
        number: u32,
    },
}

/// A place where worker processes run, and its supervisor.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) plan: SlotPlan,
    pub(super) process: Option<Process>,
    pub(super) number: u32,
    pub(super) stream: Option<StreamId>,
    /// The process that the next one names as its predecessor.
    pub(super) predecessor: Option<WorkerId>,
    /// Until then the process stands still, its trainer does, or no stream can be opened.
    pub(super) stalled: Millis,
    pub(super) frozen: Millis,
    pub(super) cut_off: Millis,
    /// A process will start by itself.
    pub(super) expected: bool,
    /// When it leaves, another comes after that time.
    pub(super) back: Option<Millis>,
    /// A person wants the process that is there to leave; it may not know yet, or never learn it.
    pub(super) may_leave: bool,
    pub(super) idle_since: Option<Millis>,
    pub(super) unanswered_since: Option<Millis>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) rng: ChaCha8Rng,
    /// When virtual time began, for those who count from no such moment.
    start: Instant,
    pub(super) now: Millis,
    pub(super) queue: Queue<Happening>,
    pub(super) network: Network,
    pub(super) slots: Vec<Slot>,
    pub(super) subjects: BTreeMap<TrialId, Subject>,
    pub(super) coordinator: Option<Coordinator>,
    /// Counts the coordinator's processes.
    pub(super) incarnation: u32,
    pub(super) inbox: Vec<Request>,
    /// From the beginning of its work until the answers have left.
    pub(super) busy: bool,
    pub(super) doom: Option<(CrashPoint, Millis)>,
    /// Until then the coordinator stands still, and then hears nothing of its streams.
    pub(super) paused: Millis,
    pub(super) deaf: Millis,
    /// Until when commits last how long.
    pub(super) slow: (Millis, Millis),
    /// Until when nothing can be written, and whether the coordinator has found that out.
    pub(super) full: Millis,
    pub(super) disk_full: bool,
    /// The retry that a person wants at the next start.
    pub(super) retry: Option<Retry>,
    pub(super) disk: Disk,
    /// The scheduler that a restart would make from the journal now.
    pub(super) replica: Scheduler,
    pub(super) oracle: Oracle,
    pub(super) trace: Trace,
    /// Faults are over.
    pub(super) quiet: bool,
    /// From then on the last of them is over, too.
    pub(super) calm_from: Millis,
    /// All trials have ended, and that is on the disk.
    pub(super) finished: bool,
}

/// The result of a seed.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) result: Result<(), Broken>,
    pub(super) journal: Vec<Event>,
    pub(super) tally: Tally,
    pub(super) trace: Trace,
}

/// Simulates the history of a seed.
pub(super) fn run(seed: u64, trace: Trace) -> Run {
    let mut world = World::new(seed, trace);
    let result = catch_unwind(AssertUnwindSafe(|| world.live())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Broken(format!("panic: {}", text.unwrap_or_default())))
    });
    let World { mut oracle, trace, now, disk, .. } = world;
    oracle.tally.virtual_hours = now as f64 / 3_600e3;
    Run { result, journal: disk.journal, tally: oracle.tally, trace }
}

impl World {
    fn new(seed: u64, mut trace: Trace) -> Self {
        let (plan, rng) = Plan::of(seed);
        trace.say(0, || trace_text::plan(&plan));
        let mut queue = Queue::new();
        queue.plan(0, Happening::CoordinatorStarts);
        for (index, (at, _)) in plan.faults.iter().enumerate() {
            queue.plan(*at, Happening::Fault(index));
        }
        queue.plan(plan.quiet, Happening::Quiet);
        let slot = |plan: &SlotPlan| Slot {
            plan: *plan,
            process: None,
            number: 0,
            stream: None,
            predecessor: None,
            stalled: 0,
            frozen: 0,
            cut_off: 0,
            expected: true,
            back: None,
            may_leave: false,
            idle_since: None,
            unanswered_since: None,
        };
        for (index, slot) in plan.slots.iter().enumerate() {
            queue.plan(slot.starts, Happening::ProcessStarts { slot: index });
        }
        Self {
            oracle: Oracle::new(&plan),
            network: Network::new(plan.weather),
            slots: plan.slots.iter().map(slot).collect(),
            subjects: plan.subjects.clone(),
            replica: replayed(&plan, &[]).expect("an empty journal contradicts nothing"),
            plan,
            rng,
            start: Instant::now(),
            now: 0,
            queue,
            coordinator: None,
            incarnation: 0,
            inbox: Vec::new(),
            busy: false,
            doom: None,
            paused: 0,
            deaf: 0,
            slow: (0, 0),
            full: 0,
            disk_full: false,
            retry: None,
            disk: Disk::default(),
            trace,
            quiet: false,
            calm_from: 0,
            finished: false,
        }
    }

    /// Until the sweep is finished and everyone has left.
    fn live(&mut self) -> Result<(), Broken> {
        loop {
            let Some((at, number, happening)) = self.queue.next() else {
                return Err(Broken("nothing happens any more".to_owned()));
            };
            self.now = at;
            self.oracle.tally.happenings += 1;
            if let Some(later) = self.held_up(&happening) {
                self.queue.put_off(later, number, happening);
                continue;
            }
            self.happen(happening)?;
            if self.is_over() && !self.retry_quarantined() {
                return self.verdict();
            }
            self.check_liveness()?;
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Fault(index) => {
                if !self.quiet {
                    self.inject(self.plan.faults[index].1)?;
                }
            }
            Happening::Quiet => self.end_faults(),
            Happening::CoordinatorStarts => self.start_coordinator()?,
            Happening::Tick { coordinator } if coordinator == self.incarnation => self.tick(),
            Happening::Work { coordinator } if coordinator == self.incarnation => self.work()?,
            Happening::Commit { coordinator } if coordinator == self.incarnation => {
                self.commit()?
            }
            Happening::Answer { coordinator } if coordinator == self.incarnation => {
                self.answer()?
            }
            Happening::Tick { .. }
            | Happening::Work { .. }
            | Happening::Commit { .. }
            | Happening::Answer { .. } => {}
            Happening::Upward(stream, message) => {
                if self.network.reads(stream, Way::Up, self.now) {
                    self.hear(stream, message);
                }
            }
            Happening::Downward(stream, message) => {
                if self.network.reads(stream, Way::Down, self.now) {
                    self.obey(stream, message)?;
                }
            }
            Happening::Ended(stream, way) => self.stream_ended(stream, way),
            Happening::ProcessStarts { slot } => self.start_process(slot),
            Happening::Connect { slot, number } => self.connect(slot, number)?,
            Happening::ConnectTimeout { slot, number, stream } => {
                self.connect_timeout(slot, number, stream)
            }
            Happening::Turn { slot, number } => self.turn(slot, number)?,
            Happening::Beat { slot, stream } => self.beat(slot, stream)?,
            Happening::StreamReady { slot, stream } => self.stream_ready(slot, stream)?,
            Happening::TimeIsUp { slot, number } => self.time_is_up(slot, number)?,
        }
        Ok(())
    }

    /// Until when whom it concerns stands still, if so.
    fn held_up(&self, happening: &Happening) -> Option<Millis> {
        let until = match happening {
            Happening::Fault(_)
            | Happening::Quiet
            | Happening::CoordinatorStarts
            | Happening::ProcessStarts { .. } => 0,
            Happening::Tick { .. }
            | Happening::Work { .. }
            | Happening::Commit { .. }
            | Happening::Answer { .. } => self.paused,
            Happening::Upward(..) | Happening::Ended(_, Way::Up) => self.deaf,
            Happening::Downward(stream, _) | Happening::Ended(stream, Way::Down) => {
                self.slots[self.network.streams[*stream].slot].stalled
            }
            Happening::Connect { slot, .. }
            | Happening::ConnectTimeout { slot, .. }
            | Happening::Turn { slot, .. }
            | Happening::Beat { slot, .. }
            | Happening::StreamReady { slot, .. }
            | Happening::TimeIsUp { slot, .. } => self.slots[*slot].stalled,
        };
        (until > self.now).then_some(until)
    }

    /// The time as the protocol of workers is told it.
    pub(super) fn clock(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    pub(super) fn soon(&mut self, within: Millis) -> Millis {
        self.now + self.rng.random_range(0..=within)
    }

    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        self.trace.say(self.now, line);
    }

    fn is_over(&self) -> bool {
        self.finished
            && !self.busy
            && self.coordinator.is_some()
            && self.slots.iter().all(|slot| slot.process.is_none())
    }
}
