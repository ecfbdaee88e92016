//! Failures count against trials and places, and no worker holds a trial for ever.

use std::time::Duration;

use super::{
    super::{Command, Event, FailureKind, LeaseReport, Limits, Rejection, TrialState},
    LIMITS, Sweep, dead, room, worker,
};

const MINUTE: Duration = Duration::from_secs(60);

impl Sweep {
    fn with_places(trials: u32, names: &[&str]) -> Self {
        let mut sweep = Self::of_one_shape(trials);
        names.iter().for_each(|name| sweep.join(name));
        sweep
    }

    /// It asks and gives back what it got.
    fn introduce(&mut self, name: &str) {
        for lease in self.ask(name, 1) {
            self.tell(Command::Reported {
                worker: worker(name),
                lease,
                report: LeaseReport::Released,
            })
            .unwrap();
        }
    }

    fn quarantined(&self) -> usize {
        self.scheduler.counts().quarantined
    }
}

#[test]
fn a_worker_that_fails_everything_costs_no_trial() {
    let mut sweep = Sweep::with_places(50, &["good:cpu-0:1", "bad:cpu-0:1"]);
    sweep.introduce("good:cpu-0:1");
    for kind in [FailureKind::Error, FailureKind::Diverged].into_iter().cycle().take(20) {
        for lease in sweep.ask("bad:cpu-0:1", 1) {
            sweep.fail("bad:cpu-0:1", lease, kind);
        }
    }
    let aside: Vec<_> =
        sweep.scheduler.excluded_workers(sweep.now).into_iter().map(ToString::to_string).collect();
    assert_eq!(aside, ["bad:cpu-0:1"]);
    let failed = sweep.journal.iter().filter(|event| matches!(event, Event::Failed { .. })).count();
    assert_eq!(failed, 3, "then it gets none");
    while let [lease] = sweep.ask("good:cpu-0:1", 1)[..] {
        sweep.succeed("good:cpu-0:1", lease).unwrap();
    }
    assert_eq!((sweep.scheduler.counts().succeeded, sweep.quarantined()), (50, 0));
}

#[test]
fn divergence_is_believed_at_two_places() {
    let mut sweep = Sweep::with_places(4, &["a:cpu-0:1", "b:cpu-0:1"]);
    sweep.introduce("b:cpu-0:1");
    let [lease] = sweep.ask("a:cpu-0:1", 1)[..] else { panic!() };
    sweep.fail("a:cpu-0:1", lease, FailureKind::Diverged);
    assert_eq!(sweep.state(lease.trial), &TrialState::Pending);
    let others = sweep.ask("a:cpu-0:1", 1);
    assert_ne!(others[0].trial, lease.trial, "elsewhere first");
    let [again] = sweep.ask("b:cpu-0:1", 1)[..] else { panic!() };
    assert_eq!(again.trial, lease.trial);
    sweep.fail("b:cpu-0:1", again, FailureKind::Diverged);
    assert!(matches!(sweep.state(lease.trial), TrialState::Quarantined { .. }));
    assert_eq!(sweep.scheduler.excluded_workers(sweep.now).len(), 0);
}

#[test]
fn another_machine_counts_more_than_another_device() {
    let mut sweep = Sweep::with_places(1, &["a:cpu-0:1", "a:cpu-1:1", "b:cpu-0:1"]);
    let [lease] = sweep.ask("a:cpu-0:1", 1)[..] else { panic!() };
    assert_eq!((sweep.ask("a:cpu-1:1", 1), sweep.ask("b:cpu-0:1", 1)), (vec![], vec![]));
    sweep.fail("a:cpu-0:1", lease, FailureKind::Error);
    assert_eq!(sweep.ask("a:cpu-1:1", 1), []);
    let [lease] = sweep.ask("b:cpu-0:1", 1)[..] else { panic!() };
    sweep.fail("b:cpu-0:1", lease, FailureKind::Error);
    assert_eq!(sweep.quarantined(), 1, "twice, at two places");
}

#[test]
fn a_trial_waits_for_no_lost_place() {
    let mut sweep = Sweep::with_places(1, &["a:cpu-0:1", "b:cpu-0:1"]);
    let [lease] = sweep.ask("a:cpu-0:1", 1)[..] else { panic!() };
    assert_eq!(sweep.ask("b:cpu-0:1", 1), []);
    sweep.fail("a:cpu-0:1", lease, FailureKind::Error);
    assert_eq!(sweep.ask("a:cpu-0:1", 1), []);
    sweep.tell(Command::Asked { worker: worker("b:cpu-0:1"), capacity: room(0) }).unwrap();
    let [lease] = sweep.ask("a:cpu-0:1", 1)[..] else { panic!("b takes none") };
    sweep.fail("a:cpu-0:1", lease, FailureKind::Error);
    assert_eq!(sweep.quarantined(), 1);
}

#[test]
fn a_place_can_regain_trust() {
    for way in ["elsewhere", "anew"] {
        let mut sweep = Sweep::with_places(30, &["a:cpu-0:1", "b:cpu-0:1"]);
        sweep.introduce("b:cpu-0:1");
        for _ in 0..3 {
            let [lease] = sweep.ask("a:cpu-0:1", 1)[..] else { panic!() };
            sweep.fail("a:cpu-0:1", lease, FailureKind::Diverged);
        }
        assert_eq!(sweep.ask("a:cpu-0:1", 1), []);
        if way == "elsewhere" {
            let [lease] = sweep.ask("b:cpu-0:1", 1)[..] else { panic!() };
            sweep.fail("b:cpu-0:1", lease, FailureKind::Diverged);
            assert_eq!(sweep.ask("a:cpu-0:1", 1).len(), 1);
        } else {
            let successor = |predecessor| Command::Joined {
                worker: worker("a:cpu-0:2"),
                predecessor,
                held: Vec::new(),
            };
            sweep.tell(successor(Some(dead("a:cpu-0:1")))).unwrap();
            assert_eq!(sweep.ask("a:cpu-0:2", 1), [], "its supervisor has started it, nobody else");
            sweep.join("a:cpu-0:3");
            assert_eq!(sweep.ask("a:cpu-0:3", 1).len(), 1);
        }
    }
}

#[test]
fn the_only_place_is_never_set_aside() {
    let mut sweep = Sweep::with_places(8, &["a:cpu-0:1"]);
    for _ in 0..8 {
        let [lease] = sweep.ask("a:cpu-0:1", 1)[..] else { panic!() };
        sweep.fail("a:cpu-0:1", lease, FailureKind::Diverged);
    }
    assert_eq!(sweep.quarantined(), 8);
}

#[test]
fn changing_places_give_no_endless_chances() {
    let mut sweep = Sweep::with_places(1, &["a:cpu-0:1"]);
    let mut failures = 0;
    while sweep.quarantined() == 0 {
        let [lease] = sweep.ask("a:cpu-0:1", 1)[..] else { panic!() };
        sweep.join("b:cpu-0:1");
        sweep.ask("b:cpu-0:1", 1);
        sweep.fail("a:cpu-0:1", lease, FailureKind::Error);
        failures += 1;
        sweep.tell(Command::Left { worker: worker("b:cpu-0:1") }).unwrap();
    }
    assert_eq!(failures, 2 * LIMITS.max_failures + 2);
}

#[test]
fn a_newcomer_gets_a_portion_at_first() {
    let mut sweep = Sweep::of_one_shape(500);
    sweep.join("w");
    let first = sweep.ask("w", 4_096);
    assert_eq!(first.len(), LIMITS.portion);
    assert_eq!(sweep.ask("w", 4_096), []);
    let step = |step, waits| Command::Reported {
        worker: worker("w"),
        lease: first[0],
        report: LeaseReport::Progressed { step, waits },
    };
    sweep.tell(step(0, true)).unwrap();
    assert_eq!(sweep.ask("w", 4_096), [], "to wait is not to get on");
    sweep.tell(step(1, false)).unwrap();
    assert_eq!(sweep.ask("w", 4_096).len(), 500 - LIMITS.portion);
}

#[test]
fn the_grid_file_limits_the_time_of_trials() {
    let mut sweep = Sweep::of_one_shape(1);
    sweep.scheduler.limits = Limits { longest: Some(90 * MINUTE), ..LIMITS };
    sweep.join("w");
    let [lease] = sweep.ask("w", 1)[..] else { panic!() };
    for minute in 1..90 {
        sweep.now = minute * MINUTE - Duration::from_secs(1);
        sweep.heard("w");
        let worker = worker("w");
        sweep
            .tell(Command::Reported {
                worker,
                lease,
                report: LeaseReport::Progressed { step: u64::from(minute), waits: true },
            })
            .unwrap();
        assert_eq!(sweep.tell(Command::Tick).unwrap(), []);
    }
    sweep.now = 90 * MINUTE;
    sweep.heard("w");
    let [Event::Lost { error, .. }] = &sweep.tell(Command::Tick).unwrap()[..] else { panic!() };
    assert_eq!(
        error,
        "worker `w` had it for 90 minutes and was at step 89: longer than `[run] trial_minutes` allows"
    );
    assert!(matches!(sweep.succeed("w", lease), Err(Rejection::Fenced { .. })));
}

#[test]
fn by_default_the_median_limits_trials() {
    let mut sweep = Sweep::with_places(20, &["fast:cuda0-0:1", "slow:cpu-0:1"]);
    let hour = 60 * MINUTE;
    let [slow] = sweep.ask("slow:cpu-0:1", 1)[..] else { panic!() };
    let lasts = |sweep: &mut Sweep, until: Duration, step: u64| {
        sweep.now = until;
        ["fast:cuda0-0:1", "slow:cpu-0:1"].iter().for_each(|name| sweep.heard(name));
        sweep
            .tell(Command::Reported {
                worker: worker("slow:cpu-0:1"),
                lease: slow,
                report: LeaseReport::Progressed { step, waits: true },
            })
            .unwrap();
        sweep.tell(Command::Tick).unwrap().len()
    };
    for result in 1..=5 {
        let [lease] = sweep.ask("fast:cuda0-0:1", 1)[..] else { panic!() };
        assert_eq!(lasts(&mut sweep, result * MINUTE, 1), 0);
        sweep.succeed("fast:cuda0-0:1", lease).unwrap();
    }
    assert_eq!(lasts(&mut sweep, hour + 20 * MINUTE, 2), 0, "a hundred times the median of others");
    assert_eq!(lasts(&mut sweep, 101 * MINUTE, 3), 1);
}
