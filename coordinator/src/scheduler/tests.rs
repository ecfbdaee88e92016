//! Scripts in the domain's words, and random histories against what must always hold.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;
use swfn_shared::{
    grid::{DEFAULT_MAX_TRIALS, Grid},
    ids::{LeaseId, TrialId, WorkerId},
    trial::TrialSpec,
};

use super::{Command, Event, FailureKind, Limits, Rejection, Scheduler, TrialState};

const LIMITS: Limits =
    Limits { max_failures: 2, max_losses: 3, lease: Duration::from_secs(60), stall: Duration::from_secs(600) };

/// Two seeds x (net, lenet) x (0, 0.1): two subsets with four trials each.
fn specs() -> Vec<TrialSpec> {
    let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 2 }\nsubset_size = 100\n\
                architecture = [\"net\", \"lenet\"]\nlambda = [0, 0.1]\n";
    Grid::parse("t", grid, DEFAULT_MAX_TRIALS).unwrap().trials().collect()
}

fn worker(name: &str) -> WorkerId {
    name.parse().unwrap()
}

/// A scheduler with a clock and the journal of its durable events.
struct Sweep {
    scheduler: Scheduler,
    now: Duration,
    journal: Vec<Event>,
}

impl Sweep {
    fn new() -> Self {
        Self { scheduler: Scheduler::new(LIMITS, specs()), now: Duration::ZERO, journal: Vec::new() }
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
        self.tell(Command::Joined { worker: worker(name), predecessor: None, held: Vec::new() }).unwrap();
    }

    fn ask(&mut self, name: &str, lanes: u32) -> Vec<LeaseId> {
        let events = self.tell(Command::Asked { worker: worker(name), lanes, vaes: Vec::new() }).unwrap();
        events.iter().filter_map(Event::durable).collect()
    }

    fn heard(&mut self, name: &str) {
        self.tell(Command::Heard { worker: worker(name) }).unwrap();
    }

    fn succeed(&mut self, name: &str, lease: LeaseId) -> Result<Vec<Event>, Rejection> {
        self.tell(Command::Succeeded { worker: worker(name), lease })
    }

    fn fail(&mut self, name: &str, lease: LeaseId, kind: FailureKind) {
        self.tell(Command::Failed { worker: worker(name), lease, kind, error: "boom".into() }).unwrap();
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
fn a_grant_is_of_one_shape_and_a_fair_share() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    sweep.join("bob");
    // Eight trials, two workers: at most four each; two of the first shape exist.
    let leases = sweep.ask("ann", 64);
    assert_eq!(leases.len(), 2);
    let shapes: Vec<_> = leases.iter().map(|lease| sweep.scheduler.spec(lease.trial).unwrap().shape()).collect();
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(sweep.ask("bob", 1).len(), 1);
}

#[test]
fn a_worker_gets_trials_whose_vae_it_has_and_leaves_other_subsets_to_others() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    sweep.join("bob");
    let seed = |sweep: &Sweep, lease: &LeaseId| sweep.scheduler.spec(lease.trial).unwrap().seed;
    let ann = sweep.ask("ann", 1);
    let bob = sweep.ask("bob", 1);
    assert_eq!((seed(&sweep, &ann[0]), seed(&sweep, &bob[0])), (0, 1), "a subset each");
    sweep.succeed("bob", bob[0]).unwrap();
    sweep.succeed("ann", ann[0]).unwrap();
    let at_hand = specs().iter().filter(|spec| spec.seed == 1).find_map(TrialSpec::vae);
    assert!(at_hand.is_some());
    let asked = Command::Asked { worker: worker("ann"), lanes: 1, vaes: at_hand.into_iter().collect() };
    let lease = sweep.tell(asked).unwrap()[0].durable().unwrap();
    assert_eq!(seed(&sweep, &lease), 1);
}

#[test]
fn a_silent_worker_loses_its_lease_and_is_fenced() {
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
    assert_eq!(fenced.to_string(), format!("lease `{lease}` is over: attempt 2 of the trial is under way"));
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
    assert!(sweep.tell(Command::Asked { worker: worker("ann"), lanes: 1, vaes: Vec::new() }).is_err(), "off the list");
    sweep.heard("ann");
    assert_eq!(sweep.ask("ann", 1), [LeaseId { trial: lost.trial, attempt: 2 }]);
}

#[test]
fn a_lease_that_stands_still_expires_however_loud_its_worker() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let lease = sweep.ask("ann", 1)[0];
    for second in 0..60 {
        sweep.wait(30);
        let step = if second < 20 { second } else { 20 };
        let _ = sweep.tell(Command::Progressed { worker: worker("ann"), lease, step });
        sweep.heard("ann");
        // Step 20 came at 630 s; the stall limit ends the lease at 1,230 s.
        let expected = second < 40;
        assert_eq!(matches!(sweep.state(lease.trial), TrialState::Leased(_)), expected, "after {second}");
    }
    let Some(Event::Lost { error, .. }) = sweep.journal.last() else { panic!("{:?}", sweep.journal.last()) };
    assert_eq!(error, "worker `ann` stood still at step 20 for 600s");
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
        let joined = Command::Joined { worker: worker("next"), predecessor: Some(worker(name)), held: Vec::new() };
        sweep.tell(joined).unwrap();
    }
    assert!(leases.iter().all(|lease| lease.trial == leases[0].trial));
    let error = "its worker process ended".to_owned();
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
            0 => Command::Released { worker: worker("ann"), lease },
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
    let joined = Command::Joined { worker: worker("ann2"), predecessor: Some(worker("ann")), held: Vec::new() };
    let events = sweep.tell(joined).unwrap();
    assert!(matches!(&events[0], Event::Lost { lease: lost, quarantine: false, .. } if *lost == lease));
    assert_eq!(sweep.ask("ann2", 1)[0], LeaseId { trial: lease.trial, attempt: 2 });
}

#[test]
fn a_worker_that_comes_back_keeps_what_it_holds_and_frees_what_it_never_got() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let (kept, unknown) = (sweep.ask("ann", 1)[0], sweep.ask("ann", 1)[0]);
    sweep.tell(Command::Joined { worker: worker("ann"), predecessor: None, held: vec![kept] }).unwrap();
    assert!(matches!(sweep.state(kept.trial), TrialState::Leased(_)));
    assert_eq!(sweep.state(unknown.trial), &TrialState::Pending);
}

#[test]
fn strangers_and_inventions_are_turned_away() {
    let mut sweep = Sweep::new();
    sweep.join("ann");
    let asked = Command::Asked { worker: worker("eve"), lanes: 1, vaes: Vec::new() };
    assert_eq!(sweep.tell(asked).unwrap_err().to_string(), "worker `eve` has not joined");
    let lease = sweep.ask("ann", 1)[0];
    assert!(sweep.succeed("eve", lease).unwrap_err().to_string().contains("belongs to worker `ann`"));
    let invented = LeaseId { attempt: 7, ..lease };
    assert!(sweep.succeed("ann", invented).unwrap_err().to_string().contains("never granted"));
}

/// A step of a random history; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Join(u8, Option<u8>),
    Ask(u8, u32),
    Heard(u8),
    Progress(u8, usize, u64),
    Succeed(u8, usize),
    Fail(u8, usize, bool),
    Release(u8, usize),
    Leave(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (w, l) = (0u8..4, 0usize..12);
    let step = prop_oneof![
        3 => (w.clone(), prop::option::of(w.clone())).prop_map(|(a, b)| Step::Join(a, b)),
        6 => (w.clone(), 0u32..4).prop_map(|(a, n)| Step::Ask(a, n)),
        2 => w.clone().prop_map(Step::Heard),
        2 => (w.clone(), l.clone(), 0u64..100).prop_map(|(a, i, s)| Step::Progress(a, i, s)),
        4 => (w.clone(), l.clone()).prop_map(|(a, i)| Step::Succeed(a, i)),
        2 => (w.clone(), l.clone(), any::<bool>()).prop_map(|(a, i, d)| Step::Fail(a, i, d)),
        1 => (w.clone(), l).prop_map(|(a, i)| Step::Release(a, i)),
        1 => w.prop_map(Step::Leave),
        2 => (1u64..100).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_invariants(steps in steps()) {
        let mut sweep = Sweep::new();
        let mut granted: Vec<LeaseId> = Vec::new();
        let mut ended: HashMap<TrialId, TrialState> = HashMap::new();
        for step in steps {
            let name = |w: u8| worker(&format!("w{w}"));
            let lease = |i: usize| granted.get(granted.len().wrapping_sub(i + 1)).copied();
            let command = match step {
                Step::Join(w, p) => Some(Command::Joined { worker: name(w), predecessor: p.map(name), held: lease(0).into_iter().collect() }),
                Step::Ask(w, lanes) => Some(Command::Asked { worker: name(w), lanes, vaes: Vec::new() }),
                Step::Heard(w) => Some(Command::Heard { worker: name(w) }),
                Step::Progress(w, i, step) => lease(i).map(|lease| Command::Progressed { worker: name(w), lease, step }),
                Step::Succeed(w, i) => lease(i).map(|lease| Command::Succeeded { worker: name(w), lease }),
                Step::Fail(w, i, diverged) => lease(i).map(|lease| Command::Failed {
                    worker: name(w),
                    lease,
                    kind: if diverged { FailureKind::Diverged } else { FailureKind::Error },
                    error: "e".into(),
                }),
                Step::Release(w, i) => lease(i).map(|lease| Command::Released { worker: name(w), lease }),
                Step::Leave(w) => Some(Command::Left { worker: name(w) }),
                Step::Wait(seconds) => {
                    sweep.now += Duration::from_secs(seconds);
                    Some(Command::Tick)
                }
            };
            let Some(command) = command else { continue };
            let events = sweep.tell(command).unwrap_or_default();
            granted.extend(events.iter().filter(|e| matches!(e, Event::Leased { .. })).filter_map(Event::durable));

            // What ended stays as it is; the counts are the states; nobody's lease outlives its deadline by a tick.
            let counts = sweep.scheduler.counts();
            let mut seen = [0; 4];
            for (id, _, state) in sweep.scheduler.trials() {
                seen[match state {
                    TrialState::Pending => 0,
                    TrialState::Leased(_) => 1,
                    TrialState::Succeeded { .. } | TrialState::Quarantined { .. } => {
                        let before = ended.entry(id).or_insert_with(|| state.clone());
                        prop_assert_eq!(&*before, state);
                        if matches!(state, TrialState::Succeeded { .. }) { 2 } else { 3 }
                    }
                }] += 1;
            }
            prop_assert_eq!(seen, [counts.pending, counts.leased, counts.succeeded, counts.quarantined]);
        }
        // Each attempt was granted once, and in order.
        let mut attempts: HashMap<TrialId, u32> = HashMap::new();
        for lease in &granted {
            let last = attempts.entry(lease.trial).or_default();
            prop_assert_eq!(lease.attempt, *last + 1);
            *last = lease.attempt;
        }
        // The journal alone gives the same trials again.
        let mut replayed = Scheduler::new(LIMITS, specs());
        for event in &sweep.journal {
            replayed.evolve(Duration::ZERO, event).unwrap();
        }
        let plain = |scheduler: &Scheduler| scheduler.trials().map(|(id, _, state)| match state {
            TrialState::Leased(lease) => (id, format!("{}/{}", lease.worker, lease.attempt)),
            other => (id, format!("{other:?}")),
        }).collect::<Vec<_>>();
        prop_assert_eq!(plain(&replayed), plain(&sweep.scheduler));
        // In the end every lease of a silent worker comes free: another can finish the sweep.
        sweep.wait(601);
        prop_assert_eq!(sweep.scheduler.counts().leased, 0);
        sweep.join("last");
        while let [lease] = sweep.ask("last", 1)[..] {
            sweep.succeed("last", lease).unwrap();
        }
        prop_assert!(sweep.scheduler.counts().finished());
    }
}
