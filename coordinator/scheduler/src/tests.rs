//! Scripts in the domain's words.

mod damaged;
mod histories;
mod order;
mod poison;
mod records;

use std::time::Duration;

use swfn_shared::{
    capacity::Capacity,
    grid::{DEFAULT_MAX_TRIALS, Grid},
    ids::{LeaseId, ShapeId, TrialId, WorkerId},
    trial::TrialSpec,
};

use super::{
    Command, Event, FailureKind, LeaseReport, Limits, Predecessor, Rejection, Scheduler, TrialState,
};

const LIMITS: Limits = Limits {
    max_failures: 2,
    max_losses: 3,
    lease: Duration::from_secs(60),
    stall: Duration::from_secs(600),
    longest: None,
    portion: 64,
};

/// Two seeds x (net, lenet) x (0, 0.1): two subsets with four trials each.
fn specs() -> Vec<TrialSpec> {
    specs_of(
        "seed = { count = 2 }\nsubset_size = 100\narchitecture = [\"net\", \"lenet\"]\nlambda = [0, 0.1]\n",
    )
}

/// The trials of a grid with these axes.
fn specs_of(axes: &str) -> Vec<TrialSpec> {
    let grid = format!("version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\n{axes}");
    Grid::parse("t", &grid, DEFAULT_MAX_TRIALS).unwrap().trials().collect()
}

fn worker(name: &str) -> WorkerId {
    name.parse().unwrap()
}

/// A process that is known to have ended.
fn dead(name: &str) -> Predecessor {
    Predecessor {
        worker: worker(name),
        end: "signal 9".into(),
        log: "last words".into(),
        innocent: false,
    }
}

/// A scheduler with a clock and the journal of its durable events.
fn room(lanes: u32) -> Capacity {
    Capacity { lanes, ..Capacity::default() }
}

struct Sweep {
    scheduler: Scheduler,
    now: Duration,
    journal: Vec<Event>,
}

impl Sweep {
    fn new() -> Self {
        Self::of(specs())
    }

    fn of(specs: Vec<TrialSpec>) -> Self {
        Self { scheduler: Scheduler::new(LIMITS, specs), now: Duration::ZERO, journal: Vec::new() }
    }

    /// So many trials of one shape.
    fn of_one_shape(trials: u32) -> Self {
        let first = specs()[0];
        Self::of((0..trials).map(|seed| TrialSpec { seed: seed.into(), ..first }).collect())
    }

    fn tell(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        let events = self.scheduler.decide(self.now, &command)?;
        for event in &events {
            self.scheduler.evolve(self.now, event).unwrap();
        }
        self.journal.extend(events.iter().filter(|event| event.durable().is_some()).cloned());
        Ok(events)
    }

    fn join(&mut self, name: &str) {
        self.tell(Command::Joined { worker: worker(name), predecessor: None, held: Vec::new() })
            .unwrap();
    }

    fn ask(&mut self, name: &str, lanes: u32) -> Vec<LeaseId> {
        self.ask_for(name, lanes, None)
    }

    /// `lanes`: those taken included.
    fn ask_for(&mut self, name: &str, lanes: u32, shape: Option<ShapeId>) -> Vec<LeaseId> {
        let events = self
            .tell(Command::Asked {
                worker: worker(name),
                capacity: Capacity { shape, ..room(lanes) },
            })
            .unwrap();
        events.iter().filter_map(Event::durable).collect()
    }

    fn shape(&self, lease: LeaseId) -> ShapeId {
        self.scheduler.spec(lease.trial).unwrap().shape()
    }

    fn heard(&mut self, name: &str) {
        self.tell(Command::Heard { worker: worker(name) }).unwrap();
    }

    fn succeed(&mut self, name: &str, lease: LeaseId) -> Result<Vec<Event>, Rejection> {
        self.tell(Command::Reported { worker: worker(name), lease, report: LeaseReport::Succeeded })
    }

    fn fail(&mut self, name: &str, lease: LeaseId, kind: FailureKind) {
        self.tell(Command::Reported {
            worker: worker(name),
            lease,
            report: LeaseReport::Failed { kind, error: "boom".into(), log: String::new() },
        })
        .unwrap();
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.tell(Command::Tick).unwrap();
    }

    fn state(&self, trial: TrialId) -> &TrialState {
        self.scheduler.trials().find(|(id, _, _)| *id == trial).unwrap().2
    }
}

#[test]
fn one_worker_does_all_in_order() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let mut done = Vec::new();
    while let [lease] = sweep.ask("ann", 1)[..] {
        assert_eq!(lease.attempt, 1);
        sweep.succeed("ann", lease).unwrap();
        done.push(lease.trial);
    }
    assert_eq!(done, specs().iter().map(TrialSpec::id).collect::<Vec<_>>());
    assert!(sweep.scheduler.counts().finished());
}

#[test]
fn a_grant_has_one_shape_and_is_fair() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    sweep.join("bob");
    // Eight trials, two workers: at most four each; two of the first shape exist.
    let leases = sweep.ask("ann", 64);
    assert_eq!(leases.len(), 2);
    let shapes: Vec<_> =
        leases.iter().map(|lease| sweep.scheduler.spec(lease.trial).unwrap().shape()).collect();
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(sweep.ask("bob", 1).len(), 1);
}

#[test]
fn lanes_never_mix_shapes() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let [first, second] = sweep.ask("ann", 64)[..] else { panic!("two of each shape") };
    let shape = sweep.shape(first);
    assert_eq!(sweep.ask_for("ann", 64, Some(shape)), [], "all of them are taken");
    sweep
        .tell(Command::Reported {
            worker: worker("ann"),
            lease: second,
            report: LeaseReport::Released,
        })
        .unwrap();
    sweep.succeed("ann", first).unwrap();
    let again = LeaseId { attempt: 2, ..second };
    assert_eq!(sweep.ask_for("ann", 64, Some(shape)), [again]);
    sweep.succeed("ann", again).unwrap();
    let others = sweep.ask("ann", 64);
    assert!(others.len() == 2 && others.iter().all(|lease| sweep.shape(*lease) != shape));
}

#[test]
fn equal_workers_get_equal_parts() {
    let mut sweep = Sweep::of_one_shape(100);
    sweep.join("ann");
    sweep.join("bob");
    assert_eq!((sweep.ask("ann", 64).len(), sweep.ask("bob", 64).len()), (50, 50));
}

#[test]
fn the_last_trials_go_to_small_shares() {
    let mut sweep = Sweep::of_one_shape(100);
    sweep.join("ann");
    let leases = sweep.ask("ann", 64);
    assert_eq!(leases.len(), 64);
    sweep.join("bob");
    for lease in &leases[..40] {
        sweep.succeed("ann", *lease).unwrap();
    }
    // Ann holds 24 of the 60 that are left.
    assert_eq!(sweep.ask("ann", 64).len(), 6);
    assert_eq!(sweep.ask("bob", 64).len(), 30);
}

#[test]
fn a_small_worker_holds_back_no_large_one() {
    let mut sweep = Sweep::of_one_shape(200);
    sweep.join("cpu");
    sweep.join("gpu");
    let (mut few, mut many) = (sweep.ask("cpu", 1), sweep.ask("gpu", 64));
    let mut steps = 0;
    while !sweep.scheduler.counts().finished() {
        steps += 1;
        for (name, held, lanes, pace) in [("gpu", &mut many, 64, 1), ("cpu", &mut few, 1, 8)] {
            if steps % pace == 0
                && let Some(lease) = held.pop()
            {
                sweep.succeed(name, lease).unwrap();
            }
            held.extend(sweep.ask(name, lanes));
            assert!(
                sweep.scheduler.counts().pending == 0 || held.len() == lanes as usize,
                "{name}: {held:?}"
            );
        }
    }
}

#[test]
fn free_lanes_of_others_are_filled_first() {
    let mut sweep = Sweep::of_one_shape(12);
    sweep.join("cid");
    assert_eq!(sweep.ask("cid", 10).len(), 10);
    sweep.join("ann");
    assert_eq!(sweep.ask("ann", 4).len(), 2, "no more are left");
    sweep.tell(Command::Left { worker: worker("cid") }).unwrap();
    sweep.join("bob");
    // Ann holds two of the twelve trials, and her four lanes take four.
    assert_eq!(sweep.ask("bob", 20).len(), 8);
}

#[test]
fn running_out_of_memory_costs_no_trial() {
    let mut sweep = Sweep::of_one_shape(1);
    for attempt in 1..=2 * LIMITS.max_losses {
        let name = format!("ann{attempt}");
        sweep.join(&name);
        assert_eq!(sweep.ask(&name, 1).len(), 1, "it is tried again, however often");
        let predecessor = Some(Predecessor { innocent: true, ..dead(&name) });
        sweep
            .tell(Command::Joined { worker: worker("next"), predecessor, held: Vec::new() })
            .unwrap();
    }
    assert!(
        sweep
            .journal
            .iter()
            .all(|event| matches!(event, Event::Leased { .. } | Event::Released { .. }))
    );
}

#[test]
fn a_silent_worker_has_no_share() {
    for (silent, taken) in [(LIMITS.lease - Duration::from_millis(1), 4), (LIMITS.lease, 8)] {
        let mut sweep = Sweep::of_one_shape(8);
        sweep.join("ann");
        sweep.now += silent;
        sweep.join("bob");
        assert_eq!(sweep.ask("bob", 8).len(), taken, "{silent:?}");
    }
}

#[test]
fn a_silent_worker_is_fenced_off() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let lease = sweep.ask("ann", 1)[0];
    sweep.wait(59);
    sweep.heard("ann");
    sweep.wait(59);
    assert!(matches!(sweep.state(lease.trial), TrialState::Leased(_)), "renewed by a message");
    sweep.wait(1);
    assert_eq!(sweep.state(lease.trial), &TrialState::Pending);
    sweep.join("bob");
    let again = sweep.ask("bob", 1)[0];
    assert_eq!(again, LeaseId { trial: lease.trial, attempt: 2 });
    sweep.join("ann");
    let fenced = sweep.succeed("ann", lease).unwrap_err();
    assert_eq!(
        fenced.to_string(),
        format!("lease `{lease}` is over: attempt 2 of the trial is under way")
    );
    sweep.succeed("bob", again).unwrap();
    assert_eq!(sweep.succeed("bob", again).unwrap(), [], "a repetition is no news");
    assert!(sweep.succeed("ann", lease).is_err());
}

#[test]
fn a_worker_that_wakes_up_gets_work_again() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let lost = sweep.ask("ann", 1)[0];
    sweep.wait(1_000);
    assert!(
        sweep.tell(Command::Asked { worker: worker("ann"), capacity: room(1) }).is_err(),
        "off the list"
    );
    sweep.heard("ann");
    assert_eq!(sweep.ask("ann", 1), [LeaseId { trial: lost.trial, attempt: 2 }]);
}

#[test]
fn a_stalled_lease_expires_despite_signs_of_life() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let lease = sweep.ask("ann", 1)[0];
    for second in 0..60 {
        sweep.wait(30);
        let step = if second < 20 { second } else { 20 };
        let _ = sweep.tell(Command::Reported {
            worker: worker("ann"),
            lease,
            report: LeaseReport::Progressed { step, waits: false },
        });
        sweep.heard("ann");
        // Step 20 came at 630 s; the stall limit ends the lease at 1,230 s.
        let expected = second < 40;
        assert_eq!(
            matches!(sweep.state(lease.trial), TrialState::Leased(_)),
            expected,
            "after {second}"
        );
    }
    let Some(Event::Lost { error, .. }) = sweep.journal.last() else {
        panic!("{:?}", sweep.journal.last())
    };
    assert_eq!(error, "worker `ann` stood still at step 20 for 600s");
}

#[test]
fn a_lease_with_waiting_reports_may_stall() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let lease = sweep.ask("ann", 1)[0];
    for second in 0..100 {
        sweep.wait(30);
        // Until 1,500 s its reports wait; the stall limit of 600 s begins there.
        let waits = second < 50;
        let _ = sweep.tell(Command::Reported {
            worker: worker("ann"),
            lease,
            report: LeaseReport::Progressed { step: 7, waits },
        });
        sweep.heard("ann");
        assert_eq!(
            matches!(sweep.state(lease.trial), TrialState::Leased(_)),
            second < 69,
            "after {second}"
        );
    }
}

#[test]
fn failures_count_until_quarantine_and_divergence_at_once() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let first = sweep.ask("ann", 1)[0];
    sweep.fail("ann", first, FailureKind::Error);
    assert_eq!(sweep.state(first.trial), &TrialState::Pending);
    let again = sweep.ask("ann", 1)[0];
    assert_eq!(again, LeaseId { trial: first.trial, attempt: 2 });
    sweep.fail("ann", again, FailureKind::Error);
    assert_eq!(sweep.state(first.trial), &TrialState::Quarantined { error: "boom".into() });
    let other = sweep.ask("ann", 1)[0];
    assert_ne!(other.trial, first.trial, "the sweep goes on");
    sweep.fail("ann", other, FailureKind::Diverged);
    assert_eq!(sweep.scheduler.counts().quarantined, 2);
}

#[test]
fn lost_leases_have_a_limit_of_their_own() {
    let mut sweep = Sweep::new();
    let mut leases = Vec::new();
    for name in ["a", "b", "c"] {
        sweep.join(name);
        leases.push(sweep.ask(name, 1)[0]);
        let joined = Command::Joined {
            worker: worker("next"),
            predecessor: Some(dead(name)),
            held: Vec::new(),
        };
        sweep.tell(joined).unwrap();
    }
    assert!(leases.iter().all(|lease| lease.trial == leases[0].trial));
    let error = "its worker process ended (signal 9)".to_owned();
    assert_eq!(sweep.state(leases[0].trial), &TrialState::Quarantined { error });
}

#[test]
fn releasing_costs_nothing() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    for attempt in 1..10 {
        let lease = sweep.ask("ann", 1)[0];
        assert_eq!(lease.attempt, attempt);
        let way_out = match attempt % 2 {
            0 => Command::Reported { worker: worker("ann"), lease, report: LeaseReport::Released },
            _ => Command::Left { worker: worker("ann") },
        };
        sweep.tell(way_out).unwrap();
        sweep.join("ann");
    }
    assert_eq!(sweep.scheduler.counts().pending, 8);
}

#[test]
fn a_successor_frees_the_leases_of_the_dead() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let lease = sweep.ask("ann", 1)[0];
    let joined = Command::Joined {
        worker: worker("ann2"),
        predecessor: Some(dead("ann")),
        held: Vec::new(),
    };
    let events = sweep.tell(joined).unwrap();
    assert!(
        matches!(&events[0], Event::Lost { lease: lost, quarantine: false, .. } if *lost == lease)
    );
    assert_eq!(sweep.ask("ann2", 1)[0], LeaseId { trial: lease.trial, attempt: 2 });
}

#[test]
fn a_returning_worker_keeps_the_leases_it_knows() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let [kept, unknown] = sweep.ask("ann", 2)[..] else { panic!("two of a shape") };
    sweep
        .tell(Command::Joined { worker: worker("ann"), predecessor: None, held: vec![kept] })
        .unwrap();
    assert!(matches!(sweep.state(kept.trial), TrialState::Leased(_)));
    assert_eq!(sweep.state(unknown.trial), &TrialState::Pending);
}

#[test]
fn unknown_workers_and_leases_are_rejected() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let asked = Command::Asked { worker: worker("eve"), capacity: room(1) };
    assert_eq!(sweep.tell(asked).unwrap_err().to_string(), "worker `eve` has not joined");
    let lease = sweep.ask("ann", 1)[0];
    assert!(
        sweep.succeed("eve", lease).unwrap_err().to_string().contains("belongs to worker `ann`")
    );
    let invented = LeaseId { attempt: 7, ..lease };
    assert!(sweep.succeed("ann", invented).unwrap_err().to_string().contains("never granted"));
}
