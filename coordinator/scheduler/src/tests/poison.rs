//! A trial that ends workers is found, and its neighbours lose nothing.

use std::{collections::HashSet, time::Duration};

use swfn_shared::{
    ids::{LeaseId, TrialId},
    trial::TrialSpec,
};

use super::{
    super::{Command, Event, FailureKind, LeaseReport, TrialState},
    LIMITS, Sweep, dead, specs, worker,
};

impl Sweep {
    /// The worker process ends, and its supervisor starts another.
    fn replace(&mut self, old: &str, new: &str) -> Vec<Event> {
        let joined =
            Command::Joined { worker: worker(new), predecessor: Some(dead(old)), held: Vec::new() };
        self.tell(joined).unwrap()
    }

    fn losses(&self, trial: TrialId) -> u32 {
        self.scheduler.trials[self.scheduler.by_id[&trial]].losses
    }

    fn number(&self, lease: LeaseId) -> usize {
        self.scheduler.by_id[&lease.trial]
    }
}

#[test]
fn the_trial_to_blame_is_found_alone() {
    let mut sweep = Sweep::of_one_shape(6);
    sweep.join("w0");
    let guilty = sweep.ask("w0", 4)[2].trial;
    sweep.replace("w0", "w1");
    // Trials without suspicion go on in company, and first.
    let fresh = sweep.ask("w1", 4);
    assert_eq!(fresh.iter().map(|lease| sweep.number(*lease)).collect::<Vec<_>>(), [4, 5]);
    for lease in fresh {
        assert_eq!(sweep.ask("w1", 4), [], "a suspect waits until it can be alone");
        sweep.succeed("w1", lease).unwrap();
    }
    let mut process = 1;
    while !sweep.scheduler.counts().finished() {
        let name = format!("w{process}");
        let [lease] = sweep.ask(&name, 4)[..] else { panic!("one suspect at a time") };
        assert_eq!(sweep.ask(&name, 4), [], "and nothing beside it");
        if lease.trial == guilty {
            process += 1;
            sweep.replace(&name, &format!("w{process}"));
        } else {
            sweep.succeed(&name, lease).unwrap();
            assert_eq!((lease.attempt, sweep.losses(lease.trial)), (2, 0));
        }
    }
    assert_eq!(process, 1 + LIMITS.max_losses, "in company, then alone until its limit");
    let error = "its worker process ended (signal 9)".to_owned();
    assert_eq!(sweep.state(guilty), &TrialState::Quarantined { error });
    assert_eq!((sweep.scheduler.counts().succeeded, sweep.scheduler.counts().quarantined), (5, 1));
    let logs = sweep
        .journal
        .iter()
        .filter(|event| matches!(event, Event::Lost { log, .. } if log == "last words"));
    assert_eq!(logs.count(), 4 + LIMITS.max_losses as usize);
}

#[test]
fn a_silent_machine_blames_no_trial_at_first() {
    let mut sweep = Sweep::of_one_shape(3);
    sweep.join("ann");
    assert_eq!(sweep.ask("ann", 3).len(), 3);
    sweep.wait(60);
    sweep.join("bob");
    let again = sweep.ask("bob", 3);
    assert_eq!(again.len(), 3, "together again");
    sweep.wait(60);
    sweep.join("cid");
    let alone = sweep.ask("cid", 3);
    assert_eq!(alone.len(), 1, "twice is suspicious");
    assert!(again.iter().all(|lease| sweep.losses(lease.trial) == 0));
    // Alone it counts.
    sweep.wait(60);
    assert_eq!(sweep.losses(alone[0].trial), 1);
}

#[test]
fn a_hanging_trial_stops_its_lane_mates() {
    let mut sweep = Sweep::of_one_shape(3);
    sweep.join("ann");
    let leases = sweep.ask("ann", 3);
    let mut last = Vec::new();
    for second in 0..80 {
        sweep.wait(10);
        let progress = |lease| Command::Reported {
            worker: worker("ann"),
            lease,
            report: LeaseReport::Progressed { step: second, waits: false },
        };
        // They report one after the other, and the third stops long before the others.
        for (index, lease) in
            leases.iter().enumerate().filter(|(index, _)| second < [20, 19, 2][*index])
        {
            sweep.now += std::time::Duration::from_millis(index as u64);
            sweep.tell(progress(*lease)).unwrap();
        }
        sweep.heard("ann");
        last.push(sweep.scheduler.counts().leased);
    }
    assert_eq!(
        (last[0], last.contains(&2), last.contains(&1)),
        (3, false, false),
        "all at once: {last:?}"
    );
    assert_eq!(last.last(), Some(&0));
    assert!(leases.iter().all(|lease| sweep.losses(lease.trial) == 0));
    sweep.join("bob");
    assert_eq!(sweep.ask("bob", 3).len(), 1);
}

#[test]
fn a_trial_that_stalls_alone_is_to_blame() {
    let mut sweep = Sweep::of_one_shape(2);
    sweep.join("ann");
    let [moving, still] = sweep.ask("ann", 2)[..] else { panic!("two") };
    for step in 0..60 {
        sweep.wait(10);
        sweep
            .tell(Command::Reported {
                worker: worker("ann"),
                lease: moving,
                report: LeaseReport::Progressed { step, waits: false },
            })
            .unwrap();
        sweep.heard("ann");
    }
    assert!(matches!(sweep.state(moving.trial), TrialState::Leased(_)));
    assert_eq!((sweep.state(still.trial), sweep.losses(still.trial)), (&TrialState::Pending, 1));
}

#[test]
fn a_trial_behind_a_hanging_one_is_spared() {
    let mut sweep = Sweep::of_one_shape(2);
    sweep.join("ann");
    let [hangs, waits] = sweep.ask("ann", 2)[..] else { panic!("two") };
    let begin = Command::Reported {
        worker: worker("ann"),
        lease: hangs,
        report: LeaseReport::Progressed { step: 1, waits: false },
    };
    // A late message tells of a step, and then nothing moves any more.
    let mut told = Some(begin);
    for second in 0..600 {
        sweep.wait(1);
        sweep.heard("ann");
        if second == 400
            && let Some(begin) = told.take()
        {
            sweep.tell(begin).unwrap();
        }
    }
    assert_eq!(
        (sweep.losses(hangs.trial), sweep.losses(waits.trial)),
        (0, 0),
        "they were lost together"
    );
}

#[test]
fn a_person_retries_a_quarantined_trial() {
    let mut sweep = Sweep::of_one_shape(1);
    sweep.join("ann");
    let trial = sweep.ask("ann", 1)[0].trial;
    assert!(
        sweep
            .tell(Command::Retried { trial })
            .unwrap_err()
            .to_string()
            .contains("is not quarantined")
    );
    let fail = |sweep: &mut Sweep, attempt| {
        sweep.fail("ann", LeaseId { trial, attempt }, FailureKind::Error)
    };
    fail(&mut sweep, 1);
    assert_eq!(sweep.ask("ann", 1).len(), 1);
    fail(&mut sweep, 2);
    assert_eq!(sweep.scheduler.counts().quarantined, 1);
    sweep.tell(Command::Retried { trial }).unwrap();
    assert_eq!(
        sweep.ask("ann", 1),
        [LeaseId { trial, attempt: 3 }],
        "attempts are never used twice"
    );
    fail(&mut sweep, 3);
    assert_eq!(sweep.state(trial), &TrialState::Pending, "its failures were forgotten");
    // Earlier reports are still fenced off.
    assert!(sweep.succeed("ann", LeaseId { trial, attempt: 2 }).is_err());
}

#[test]
fn impossible_steps_and_foreign_vaes_do_not_count() {
    let mut sweep = Sweep::of_one_shape(1);
    sweep.join("ann");
    let lease = sweep.ask("ann", 1)[0];
    let most = sweep.scheduler.spec(lease.trial).unwrap().steps();
    let beat = |step| Command::Reported {
        worker: worker("ann"),
        lease,
        report: LeaseReport::Progressed { step, waits: false },
    };
    for step in [1 << 63, u64::MAX] {
        sweep.tell(beat(step)).unwrap();
        let TrialState::Leased(held) = sweep.state(lease.trial) else { panic!("it is held") };
        assert_eq!((held.step, held.moved), (most, Duration::ZERO), "{step}");
        sweep.now += Duration::from_secs(1);
    }
    let sweep = Sweep::new();
    let own: Vec<_> = specs().iter().filter_map(TrialSpec::vae).collect();
    let foreign = (0..8_192).map(|number| format!("{number:032x}").parse().unwrap());
    let kept = sweep
        .scheduler
        .needed_vaes(foreign.chain(own.iter().copied()).chain(own.iter().copied()).collect());
    assert_eq!(kept.into_iter().collect::<HashSet<_>>(), own.into_iter().collect());
}
