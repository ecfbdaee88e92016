//! Events of damaged journals, which do not follow from the state. Each is refused and changes
//! nothing.

use super::{
    super::{Blame, Event, FailureKind, TrialState},
    Sweep, worker,
};

#[test]
fn an_event_of_another_attempt_changes_nothing() {
    let mut sweep = Sweep::of_one_shape(1);
    sweep.join("ann");
    let now = sweep.now;
    let all = |sweep: &Sweep| {
        let states = sweep.scheduler.trials().map(|(.., state)| state.clone());
        (sweep.scheduler.counts(), states.collect::<Vec<_>>())
    };
    let refuse = |sweep: &mut Sweep, event: &Event| {
        let before = all(sweep);
        let refused = sweep.scheduler.evolve(now, event).expect_err("it is of another attempt");
        assert!(refused.contains("does not follow from"), "{refused}");
        assert_eq!(all(sweep), before, "{event:?}");
    };

    let lease = sweep.ask("ann", 1)[0];
    let wrong = |attempt| swfn_shared::ids::LeaseId { attempt, ..lease };
    for attempt in [0, 2, 3] {
        let (lease, error, log) = (wrong(attempt), String::new(), String::new());
        refuse(&mut sweep, &Event::Succeeded { lease });
        refuse(&mut sweep, &Event::Released { lease });
        refuse(
            &mut sweep,
            &Event::Failed { lease, error: error.clone(), log: log.clone(), quarantine: true },
        );
        refuse(
            &mut sweep,
            &Event::Lost { lease, error, log, blame: Blame::Alone, quarantine: true },
        );
    }

    sweep.scheduler.evolve(now, &Event::Released { lease }).unwrap();
    for attempt in [0, 1, 3] {
        refuse(&mut sweep, &Event::Leased { lease: wrong(attempt), worker: worker("ann") });
    }

    let lease = sweep.ask("ann", 1)[0];
    sweep.fail("ann", lease, FailureKind::Diverged);
    assert!(
        sweep.scheduler.trials().all(|(.., state)| matches!(state, TrialState::Quarantined { .. }))
    );
    for attempt in [0, 1, 3] {
        refuse(&mut sweep, &Event::Retried { lease: wrong(attempt) });
    }
    sweep.scheduler.evolve(now, &Event::Retried { lease }).unwrap();
}
