//! The actor on its thread, with requests as sessions send them.

use std::{thread, time::Duration};

use swfn_scheduler::{
    Event, FailureKind, LeaseReport, Limits, REQUESTS, Scheduler,
    turn::{FromWorker, Hello, Holder, Reply},
};
use swfn_shared::{
    artifacts::{ArtifactPart, Artifacts, CONFUSION},
    capacity::Capacity,
    grid::{DEFAULT_MAX_TRIALS, Grid, Selection},
    ids::{LeaseId, ShapeId},
    metrics::{MetricPoint, Outcome, TEST_ACCURACY, TRAIN_LOSS},
    person::{CommandOutcome, Drain, PersonCommand, Refusal, Retry},
    trial::{Architecture, TrialSpec},
    trial_log::LogPart,
};
use swfn_store::{ArtifactFolder, LogFolder, Store, WorkerRow};
use tokio::{
    sync::{
        mpsc::{Sender, UnboundedReceiver, channel},
        oneshot,
    },
    time::timeout,
};

use super::{Engine, EngineError, Letter, Mailbox, Request, Reservation};

/// Three trials each of `net` and of `lenet`, all without function norm.
fn specs() -> Vec<TrialSpec> {
    let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 3 }\nsubset_size = 100\n\
                architecture = [\"net\", \"lenet\"]\nlambda = 0\n";
    Grid::parse("t", grid, DEFAULT_MAX_TRIALS).unwrap().trials().collect()
}

fn released(lease: LeaseId) -> FromWorker {
    FromWorker::Reports(vec![(lease, LeaseReport::Released)])
}

/// A worker's stream as the actor sees it.
struct Stream {
    session: u64,
    requests: Sender<Request>,
    replies: UnboundedReceiver<Letter>,
}

impl Stream {
    async fn open(requests: &Sender<Request>, session: u64, held: Vec<LeaseId>) -> Self {
        let worker = WorkerRow {
            id: "ann".parse().unwrap(),
            host: "h".into(),
            device: "cuda:0".into(),
            model: "m".into(),
            threads: Some(1),
            cuda: None,
            software: "0.1.0".into(),
            libtorch: "2.11.0".into(),
            certificate: None,
        };
        let (sender, replies) = Mailbox::new();
        let hello =
            Hello { worker: worker.id.clone(), holder: Holder::Anyone, predecessor: None, held };
        let (hello, row) = (Box::new(hello), Box::new(worker));
        let reservation = Reservation::default();
        requests
            .send(Request::Join { session, hello, row, replies: sender, reservation })
            .await
            .unwrap();
        Self { session, requests: requests.clone(), replies }
    }

    async fn say(&self, sequence: u64, message: FromWorker) {
        let worker = "ann".parse().unwrap();
        let session = self.session;
        let reservation = Reservation::default();
        self.requests
            .send(Request::Message { session, worker, sequence, message, reservation })
            .await
            .unwrap();
    }

    async fn ask(&self, lanes: u32, shape: Option<ShapeId>) {
        self.say(0, FromWorker::Ask(Capacity { lanes, shape, vaes: Vec::new() })).await;
    }

    async fn reply(&mut self) -> Reply {
        let letter = timeout(Duration::from_secs(20), self.replies.recv())
            .await
            .expect("an answer")
            .expect("a stream");
        letter.reply
    }

    async fn grant(&mut self) -> Vec<(LeaseId, TrialSpec)> {
        loop {
            match self.reply().await {
                Reply::Grant { leases, .. } => return leases,
                Reply::Acknowledge { .. } => {}
                other => panic!("{other:?} is no grant"),
            }
        }
    }
}

/// An actor on its thread.
fn engine(
    dir: &tempfile::TempDir,
) -> (Sender<Request>, thread::JoinHandle<Result<(), EngineError>>) {
    engine_with(dir, Artifacts::default())
}

fn engine_with(
    dir: &tempfile::TempDir,
    artifacts: Artifacts,
) -> (Sender<Request>, thread::JoinHandle<Result<(), EngineError>>) {
    let store = Store::open(&dir.path().join("sweep.sqlite")).unwrap();
    let folder = ArtifactFolder::open(dir.path().join("artifacts"), artifacts).unwrap();
    let minute = Duration::from_secs(60);
    let limits = Limits {
        max_failures: 3,
        max_losses: 3,
        lease: minute,
        stall: minute,
        longest: None,
        portion: 64,
    };
    let (specs, selection) = (specs(), Selection::Best);
    let scheduler = Scheduler::new(limits, specs.iter().copied());
    let mut engine =
        Engine::new(store, scheduler, &specs, selection, artifacts, folder, |_| false).unwrap();
    engine.logs = Some(LogFolder::new(dir.path().join("logs")));
    let (requests, queue) = channel(REQUESTS);
    (requests, thread::spawn(move || engine.run(queue).map(drop)))
}

#[tokio::test]
async fn an_ask_stands_until_satisfied_replaced_or_withdrawn() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, actor) = engine(&dir);
    let mut ann = Stream::open(&requests, 1, Vec::new()).await;

    ann.ask(4, None).await;
    let leases = ann.grant().await;
    assert_eq!(leases.len(), 3, "all of one shape");
    let (net, lenet) = (leases[0].1.shape(), specs()[1].shape());
    assert!(leases.iter().all(|(_, spec)| spec.architecture == Architecture::NET));

    // It stands: one lane is free until there is something of the same shape.
    let fail = |lease| {
        let (kind, error, log) = (FailureKind::Error, "boom".to_owned(), String::new());
        FromWorker::Reports(vec![(lease, LeaseReport::Failed { kind, error, log })])
    };
    let (first, second) = (leases[0].0, leases[1].0);
    ann.say(1, fail(first)).await;
    assert_eq!(ann.grant().await[0].0, LeaseId { attempt: 2, ..first });
    assert_eq!(ann.reply().await, Reply::Acknowledge { through: 1 });

    ann.ask(4, Some(lenet)).await;
    let replaced = ann.grant().await;
    assert_eq!((replaced.len(), replaced[0].1.shape()), (1, lenet), "three lanes are at work");

    ann.say(2, fail(second)).await;
    assert_eq!(
        ann.reply().await,
        Reply::Acknowledge { through: 2 },
        "satisfied, so nothing is granted"
    );

    ann.ask(9, Some(net)).await;
    assert_eq!(ann.grant().await[0].0, LeaseId { attempt: 2, ..second });
    ann.ask(0, None).await;
    ann.say(3, released(leases[2].0)).await;
    assert_eq!(
        ann.reply().await,
        Reply::Acknowledge { through: 3 },
        "withdrawn, so nothing is granted"
    );

    requests.send(Request::Stop).await.unwrap();
    actor.join().unwrap().unwrap();
}

#[tokio::test]
async fn logs_of_live_attempts_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, actor) = engine(&dir);
    let mut ann = Stream::open(&requests, 1, Vec::new()).await;
    ann.ask(1, None).await;
    let lease = ann.grant().await[0].0;
    let says = |offset, text: &str| {
        let log = Some(LogPart { offset, text: text.to_owned() });
        FromWorker::Points { lease, points: Vec::new(), log }
    };
    ann.say(1, says(0, "one\n")).await;
    assert_eq!(ann.reply().await, Reply::Acknowledge { through: 1 });
    ann.say(2, says(4, "two\n")).await;
    assert_eq!(ann.reply().await, Reply::Acknowledge { through: 2 });
    ann.say(3, released(lease)).await;
    assert_eq!(ann.reply().await, Reply::Acknowledge { through: 3 });
    // Another attempt follows, without a log; this one is over.
    ann.ask(1, None).await;
    assert_eq!(ann.grant().await[0].0, LeaseId { attempt: 2, ..lease });
    ann.say(4, says(8, "three\n")).await;
    assert!(matches!(ann.reply().await, Reply::Revoke { lease: over, .. } if over == lease));
    requests.send(Request::Stop).await.unwrap();
    actor.join().unwrap().unwrap();
    let folder = dir.path().join("logs").join(lease.trial.to_string());
    assert_eq!(std::fs::read_to_string(folder.join("1.log")).unwrap(), "one\ntwo\n");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
}

#[tokio::test]
async fn a_drained_worker_gets_no_more_trials() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, actor) = engine(&dir);
    let mut ann = Stream::open(&requests, 1, Vec::new()).await;
    ann.ask(1, None).await;
    let held = ann.grant().await[0].0;
    let drain = || {
        PersonCommand::Drain(Drain { workers: vec!["an".to_owned(), "bob".to_owned()], now: false })
    };
    let stranger = Holder::Certificate([7; 32]);
    assert!(matches!(command(&requests, drain(), stranger).await, Err(Refusal::Foreign(_))));
    let nobody = PersonCommand::Drain(Drain { workers: vec!["bob".to_owned()], now: false });
    let Err(Refusal::Missing(reason)) = command(&requests, nobody, Holder::Anyone).await else {
        panic!("he is told")
    };
    let reason = reason.to_string();
    assert!(reason.ends_with("begins with `bob`\nhint: those that are connected: ann"), "{reason}");
    let told = CommandOutcome::Drained { workers: vec!["ann".to_owned()] };
    assert_eq!(command(&requests, drain(), Holder::Anyone).await, Ok(told));
    assert!(matches!(ann.reply().await, Reply::Drain { .. }));
    // This ask was on its way already.
    ann.ask(2, None).await;
    ann.say(1, FromWorker::Points { lease: held, points: Vec::new(), log: None }).await;
    assert_eq!(ann.reply().await, Reply::Acknowledge { through: 1 }, "no grant");

    let mut ann = Stream::open(&requests, 2, vec![held]).await;
    assert_eq!(ann.reply().await, Reply::Confirm { leases: vec![held] });
    assert!(matches!(ann.reply().await, Reply::Drain { .. }), "the first message may be lost");
    ann.say(0, FromWorker::Goodbye).await;
    assert!(timeout(Duration::from_secs(20), ann.replies.recv()).await.unwrap().is_none());
    // A later process of that name is another worker.
    let mut ann = Stream::open(&requests, 3, Vec::new()).await;
    ann.ask(1, None).await;
    assert_eq!(ann.grant().await.len(), 1);

    requests.send(Request::Stop).await.unwrap();
    actor.join().unwrap().unwrap();
}

/// The answer to a person's command.
async fn command(
    requests: &Sender<Request>,
    command: PersonCommand,
    holder: Holder,
) -> Result<CommandOutcome, Refusal> {
    let (answer, answered) = oneshot::channel();
    requests.send(Request::Command { command, holder, answer }).await.unwrap();
    answered.await.unwrap()
}

#[tokio::test]
async fn failed_trials_can_be_retried() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, actor) = engine(&dir);
    let mut ann = Stream::open(&requests, 1, Vec::new()).await;
    let mut sequence = 0;
    ann.ask(1, None).await;
    // Without another place, a trial that diverges fails for good at once.
    for number in 0..6 {
        let lease = ann.grant().await[0].0;
        sequence += 1;
        let error = format!("diverged: {number}");
        let (kind, log) = (FailureKind::Diverged, String::new());
        let failed = LeaseReport::Failed { kind, error, log };
        ann.say(sequence, FromWorker::Reports(vec![(lease, failed)])).await;
        ann.ask(1, None).await;
    }
    let finished = loop {
        if let Reply::Drain { finished, .. } = ann.reply().await {
            break finished;
        }
    };
    assert!(finished);
    let retry = |retry| command(&requests, PersonCommand::Retry(retry), Holder::Anyone);
    let failed = Retry { failed: true, ..Retry::default() };
    assert_eq!(retry(failed).await, Ok(CommandOutcome::Retried { trials: 0, left_out: 6 }));
    let unknown = Retry { trials: vec!["x".to_owned()], ..Retry::default() };
    assert!(matches!(retry(unknown).await, Err(Refusal::Missing(_))));
    let trial = specs()[4].id();
    let one = Retry { trials: vec![trial.to_string()], ..Retry::default() };
    assert_eq!(retry(one).await, Ok(CommandOutcome::Retried { trials: 1, left_out: 0 }));
    // The effect is on disk when the person is answered, and the worker's ask still stands.
    let journal = Store::open(&dir.path().join("sweep.sqlite")).unwrap().journal().unwrap();
    let lease = LeaseId { trial, attempt: 1 };
    assert!(journal.contains(&Event::Retried { lease }), "{journal:?}");
    assert_eq!(ann.grant().await[0].0, LeaseId { trial, attempt: 2 });
    requests.send(Request::Stop).await.unwrap();
    actor.join().unwrap().unwrap();
}

#[tokio::test]
async fn all_lost_leases_are_revoked_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, actor) = engine(&dir);
    let mut ann = Stream::open(&requests, 1, Vec::new()).await;
    let trial = specs()[0].id();
    let lost = 1..=1_024;
    let progress = lost.clone().map(|attempt| {
        (LeaseId { trial, attempt }, LeaseReport::Progressed { step: 1, waits: false })
    });
    ann.say(0, FromWorker::Reports(progress.collect())).await;
    // A kind that only newer workers know. Without an acknowledgement it would come again.
    ann.say(7, FromWorker::Unknown).await;
    for attempt in lost {
        assert!(
            matches!(ann.reply().await, Reply::Revoke { lease, .. } if lease.attempt == attempt)
        );
    }
    assert_eq!(ann.reply().await, Reply::Acknowledge { through: 7 });
    requests.send(Request::Stop).await.unwrap();
    actor.join().unwrap().unwrap();
}

#[tokio::test]
async fn an_implausible_report_costs_only_the_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, actor) =
        engine_with(&dir, Artifacts { confusion: true, ..Artifacts::default() });
    let mut ann = Stream::open(&requests, 1, Vec::new()).await;
    ann.ask(1, None).await;
    let right = Outcome {
        final_test_accuracy: 0.5,
        best_test_accuracy: 0.75,
        final_test_loss: 1.0,
        validation_accuracy: None,
        validated_test_accuracy: None,
        vae_seconds: 0.0,
        classifier_seconds: 1.0,
    };
    let right_data = specs()[0].dataset.digest();
    let succeeded =
        |lease, outcome| FromWorker::Succeeded { lease, outcome, dataset_digest: right_data };
    let file = |lease| FromWorker::Artifact {
        lease,
        part: ArtifactPart { name: CONFUSION, offset: 0, content: vec![1], size: 1 },
    };
    let beyond = |lease| {
        let point = MetricPoint { metric: TRAIN_LOSS, step: 1 << 40, value: 1.0 };
        FromWorker::Points { lease, points: vec![point], log: None }
    };
    let odd = Outcome { final_test_accuracy: 0.123_456_789, ..right };
    /// Reports of a lease, and the reason for which they are refused.
    type Case<'c> = (&'c dyn Fn(LeaseId) -> Vec<FromWorker>, &'c str);
    let cases: [Case<'_>; 5] = [
        (&|lease| vec![FromWorker::Refused { lease, problem: "field `x`".into() }], "field `x`"),
        (&|lease| vec![beyond(lease)], "step `1099511627776`"),
        (&|lease| vec![succeeded(lease, right)], "no file `confusion.csv`"),
        (&|lease| vec![file(lease), succeeded(lease, odd)], "no share of 10000 images"),
        (&|lease| vec![file(lease), succeeded(lease, right)], ""),
    ];
    let mut sequence = 0;
    for (reports, problem) in cases {
        let lease = ann.grant().await[0].0;
        for report in reports(lease) {
            sequence += 1;
            ann.say(sequence, report).await;
        }
        if !problem.is_empty() {
            let Reply::Revoke { lease: over, reason } = revoked(&mut ann).await else {
                panic!("no revocation")
            };
            assert!(over == lease && reason.contains(problem), "{reason}");
        }
        ann.ask(1, None).await;
    }
    let lease = ann.grant().await[0].0;
    ann.say(90, file(lease)).await;
    let dataset_digest = "1".repeat(64).parse().unwrap();
    ann.say(91, FromWorker::Succeeded { lease, outcome: right, dataset_digest }).await;
    let Reply::Revoke { reason, .. } = revoked(&mut ann).await else { panic!("no revocation") };
    assert!(reason.contains("but that of data set `mnist` is"), "{reason}");
    requests.send(Request::Stop).await.unwrap();
    actor.join().unwrap().unwrap();
    let store = Store::open(&dir.path().join("sweep.sqlite")).unwrap();
    let rows = store.trials().unwrap();
    assert_eq!(rows.iter().filter(|row| row.outcome.is_some()).count(), 1);
    assert!(rows.iter().any(|row| {
        row.error.as_ref().is_some_and(|error| error.contains("worker `ann` was refused"))
    }));
}

#[tokio::test]
async fn an_outcome_must_fit_the_curve_after_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, actor) = engine(&dir);
    let mut ann = Stream::open(&requests, 1, Vec::new()).await;
    ann.ask(1, None).await;
    let (lease, spec) = ann.grant().await[0];
    let end =
        MetricPoint { metric: TEST_ACCURACY, step: spec.classifier.iterations.into(), value: 0.5 };
    ann.say(1, FromWorker::Points { lease, points: vec![end], log: None }).await;
    assert_eq!(ann.reply().await, Reply::Acknowledge { through: 1 });
    requests.send(Request::Stop).await.unwrap();
    actor.join().unwrap().unwrap();

    let (requests, actor) = engine(&dir);
    let mut ann = Stream::open(&requests, 2, vec![lease]).await;
    let outcome = Outcome {
        final_test_accuracy: 0.25,
        best_test_accuracy: 0.5,
        final_test_loss: 1.0,
        validation_accuracy: None,
        validated_test_accuracy: None,
        vae_seconds: 0.0,
        classifier_seconds: 1.0,
    };
    assert!(matches!(ann.reply().await, Reply::Confirm { leases } if leases == [lease]));
    ann.say(2, FromWorker::Succeeded { lease, outcome, dataset_digest: spec.dataset.digest() })
        .await;
    let Reply::Revoke { reason, .. } = revoked(&mut ann).await else { panic!("no revocation") };
    assert!(reason.contains("its curve ends at `0.5`"), "{reason}");
    requests.send(Request::Stop).await.unwrap();
    actor.join().unwrap().unwrap();
}

/// The next revocation, past acknowledgements.
async fn revoked(stream: &mut Stream) -> Reply {
    loop {
        match stream.reply().await {
            Reply::Acknowledge { .. } => {}
            other => return other,
        }
    }
}
