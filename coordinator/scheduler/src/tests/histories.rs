//! Random histories against what must always hold.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;
use swfn_shared::{
    capacity::Capacity,
    ids::{LeaseId, TrialId},
};

use super::{
    super::{Command, Event, FailureKind, LeaseReport, Scheduler, TrialState},
    LIMITS, Sweep, dead, room, specs, worker,
};

/// A step of a random history; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Join(u8, Option<u8>),
    /// Whether for one of the shapes only, too.
    Ask(u8, u32, Option<usize>),
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
        6 => (w.clone(), 0u32..5, prop::option::of(0usize..8)).prop_map(|(a, n, s)| Step::Ask(a, n, s)),
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
                Step::Join(w, p) => Some(Command::Joined { worker: name(w), predecessor: p.map(|p| dead(&format!("w{p}"))), held: lease(0).into_iter().collect() }),
                Step::Ask(w, lanes, of) => {
                    let capacity = Capacity { shape: of.map(|index| specs()[index].shape()), ..room(lanes) };
                    Some(Command::Asked { worker: name(w), capacity })
                }
                Step::Heard(w) => Some(Command::Heard { worker: name(w) }),
                Step::Progress(w, i, step) => lease(i).map(|lease| Command::Reported { worker: name(w), lease, report: LeaseReport::Progressed { step, waits: false } }),
                Step::Succeed(w, i) => lease(i).map(|lease| Command::Reported { worker: name(w), lease, report: LeaseReport::Succeeded }),
                Step::Fail(w, i, diverged) => lease(i).map(|lease| Command::Reported { worker: name(w), lease, report: LeaseReport::Failed { kind: if diverged { FailureKind::Diverged } else { FailureKind::Error }, error: "e".into(), log: String::new() } }),
                Step::Release(w, i) => lease(i).map(|lease| Command::Reported { worker: name(w), lease, report: LeaseReport::Released }),
                Step::Leave(w) => Some(Command::Left { worker: name(w) }),
                Step::Wait(seconds) => {
                    sweep.now += Duration::from_secs(seconds);
                    Some(Command::Tick)
                }
            };
            let Some(command) = command else { continue };
            let pending = sweep.scheduler.counts().pending;
            let idle = matches!(&command, Command::Asked { worker, .. } if sweep.scheduler.held_by(worker) == 0);
            let answer = sweep.tell(command.clone());
            let events = answer.clone().unwrap_or_default();
            let leases: Vec<_> = events.iter().filter(|e| matches!(e, Event::Leased { .. })).filter_map(Event::durable).collect();
            granted.extend(&leases);

            // A grant fills lanes and no more, with one shape. An idle worker that takes any shape
            // gets some.
            if let (Command::Asked { worker, capacity: Capacity { lanes, shape, .. } }, Ok(_)) = (&command, &answer) {
                prop_assert!(leases.is_empty() || sweep.scheduler.held_by(worker) <= *lanes as usize);
                let wanted = shape.or_else(|| leases.first().map(|lease| sweep.shape(*lease)));
                prop_assert!(leases.iter().all(|lease| Some(sweep.shape(*lease)) == wanted));
                prop_assert!(!leases.is_empty() || !idle || pending == 0 || *lanes == 0 || shape.is_some());
            }

            // Ended trials stay ended; the counts are the states; no lease outlives its deadline by
            // a tick.
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
